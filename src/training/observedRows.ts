/** Observations of a policy as the rows of a stage that works in chunks. */
import type { Policy } from "../engine/engine.ts"
import * as Effect from "effect/Effect"
import { observe, ObservedRow } from "../ledger/observe.ts"
import type { Chunking } from "./chunks.ts"
import { finite } from "./loop.ts"

interface Observing extends Omit<Parameters<typeof observe>[1], "seeds" | "gold"> {
  /** How errors call the policy. */
  readonly name: string
  readonly seed: (prompt: number) => string
  readonly gold: (text: string, prompt: number) => number
}

/** An item is a prompt; a number that is not finite is an error. */
export const observedRows = (
  policy: Policy,
  { gold, name, prompts, seed, ...of }: Observing
): Chunking<ObservedRow, never, never> => ({
  row: ObservedRow,
  generates: of.sampling.maxNewTokens,
  make: Effect.fnUntraced(function*(from, to) {
    const asked = prompts.slice(from, to)
    const rows = observe(policy, {
      ...of,
      prompts: asked,
      seeds: asked.map((_, i) => seed(from + i)),
      gold: (text, i) => gold(text, from + i)
    })
    const mean = (metric: "gold" | "proxy" | "kl"): number =>
      rows.reduce((sum, { [metric]: value }) => sum + (value ?? 0), 0) / rows.length
    for (const metric of ["gold", "proxy", "kl"] as const) yield* finite({ [`${metric} of ${name}`]: mean(metric) })
    return {
      rows,
      tokens: rows.reduce((sum, { length }) => sum + length, 0),
      metrics: { gold: mean("gold"), ...(of.reward === undefined ? {} : { proxy: mean("proxy") }) }
    }
  })
})
