import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import type { Price } from "../store/spent.ts"
import type { Problem } from "./check.ts"
import { currenciesOf } from "./limits.ts"

/**
 * Caps on money of which nobody can say whether they hold. `check` cannot know: a description does not say where it will run, nor what that
 * costs there.
 */
export const lackingPrices = (root: Artifact.Any, price: Price | null): ReadonlyArray<Problem> =>
  Artifact.lineage(root).flatMap((cap) => {
    const others = currenciesOf(cap).filter((currency) => currency !== price?.currency)
    if (others.length === 0) return []
    const problem = price === null
      ? "its money is capped and there is no price table: give one with --prices FILE.json, or cap seconds"
      : `its money is capped in ${
        others.join(" and ")
      } and the price table is in ${price.currency}: give both in one currency`
    return [{ stage: label(cap), problem }]
  })
