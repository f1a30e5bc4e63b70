import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import type { Price } from "../store/spent.ts"
import type { Problem } from "./check.ts"
import { currenciesIn } from "./limits.ts"

/**
 * Caps on money of which nobody can say whether they hold. `check` cannot know: a description does not say where it will run, nor what that
 * costs there.
 */
export const lackingPrices = (root: Artifact.Any, price: Price | null): ReadonlyArray<Problem> => {
  const [currency] = currenciesIn(root)
  if (currency === undefined || price?.currency === currency) return []
  const problem = price === null
    ? "its money is capped and there is no price table: give one with --prices FILE.json, or cap seconds"
    : `its money is capped in ${currency} and the price table is in ${price.currency}: give both in one currency`
  return Artifact.lineage(root)
    .filter(({ node }) => node.op === "Cap" && currenciesOf(node.params).length > 0)
    .map((cap) => ({ stage: label(cap), problem }))
}

const currenciesOf = (params: unknown): ReadonlyArray<unknown> => {
  const { money, total } = params as { readonly money?: unknown; readonly total?: { readonly money?: unknown } }
  return [money, total?.money].filter((one) => one !== undefined)
}
