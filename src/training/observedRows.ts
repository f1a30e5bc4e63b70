/** Observations of a policy as the rows of a stage that works in chunks. */
import * as Effect from "effect/Effect"
import type { UnusableData } from "../../dsl/Errors.ts"
import type { Gold } from "../../dsl/Gold.ts"
import type { Verifier } from "../../dsl/Verifier.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Policy } from "../engine/engine.ts"
import { observe, ObservedRow } from "../ledger/observe.ts"
import { Judge, type Unjudged } from "../rewards/judge.ts"
import { type OpenReward, proxyOf } from "../rewards/rewarding.ts"
import { verified } from "../rewards/verified.ts"
import type { Chunking } from "./chunks.ts"
import { finite } from "./loop.ts"

interface Observing extends Omit<Parameters<typeof observe>[1], "seeds" | "gold"> {
  /** How errors call the policy, and the stage. */
  readonly name: string
  readonly stage: string
  readonly seed: (prompt: number) => string
  /** The rows of the prompts. */
  readonly rows: ReadonlyArray<PromptRow>
  readonly gold: Gold | undefined
  readonly verifiers?: ReadonlyArray<Verifier>
  /** The proxy; it is not whitened, so that models can be compared. */
  readonly reward: OpenReward | undefined
}

/** An item is a prompt; a number that is not finite is an error. */
export const observedRows = (
  policy: Policy,
  { gold, name, prompts, reward, rows: asked, seed, stage, verifiers = [], ...of }: Observing
): Chunking<ObservedRow, Unjudged | UnusableData, Judge> => ({
  row: ObservedRow,
  generates: of.sampling.maxNewTokens,
  make: Effect.fnUntraced(function*(from, to) {
    const judge = yield* Judge
    const some = prompts.slice(from, to)
    const { rows: sampled, seen } = observe(policy, {
      ...of,
      prompts: some,
      seeds: some.map((_, i) => seed(from + i)),
      gold: gold === undefined ? undefined : (text, i) => judge.gold(gold, asked[from + i]!.prompt, text)
    })
    const questions = seen.map(({ finished, length, text }, i) => ({
      ...asked[from + i]!,
      row: from + i + 1,
      completion: text,
      ended: finished === 1,
      tokens: length
    }))
    const { verdicts } = yield* verified(stage, judge, verifiers, questions)
    const all = Object.entries(verdicts)
    const proxies = reward === undefined
      ? null
      : yield* proxyOf({ stage, judge }, reward, questions, sampled)
    const rows = seen.map((row, i): ObservedRow => ({
      ...row,
      proxy: proxies?.[i] ?? null,
      ...(all.length === 0 ? {} : { verdicts: Object.fromEntries(all.map(([verifier, of]) => [verifier, of[i]!])) })
    }))
    const mean = (values: ReadonlyArray<number | null>): number =>
      values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / rows.length
    const means = {
      gold: mean(rows.map(({ gold }) => gold)),
      proxy: mean(rows.map(({ proxy }) => proxy)),
      kl: mean(rows.map(({ kl }) => kl))
    }
    for (const [metric, value] of Object.entries(means)) yield* finite({ [`${metric} of ${name}`]: value })
    return {
      rows,
      tokens: rows.reduce((sum, { length }) => sum + length, 0),
      metrics: {
        ...(gold === undefined ? {} : { gold: means.gold }),
        ...(reward === undefined ? {} : { proxy: means.proxy }),
        ...Object.fromEntries(all.map(([verifier, of]) => [`rewards/${verifier}/mean`, mean(of)]))
      }
    }
  })
})
