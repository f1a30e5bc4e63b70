/** Observations of a policy as the rows of a stage that works in chunks. */
import * as Effect from "effect/Effect"
import type { UnusableData } from "../../dsl/Errors.ts"
import type { Gold } from "../../dsl/Gold.ts"
import { namesOf, type Verifier } from "../../dsl/Verifier.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Policy } from "../engine/engine.ts"
import { votesOf } from "../evaluation/vote.ts"
import { answer, observe, ObservedRow, type Observing as Observed } from "../ledger/observe.ts"
import { Judge, type Unjudged } from "../rewards/judge.ts"
import { type OpenReward, proxyOf } from "../rewards/rewarding.ts"
import { verified } from "../rewards/verified.ts"
import { votingOf } from "../rewards/vote.ts"
import type { Chunking } from "./chunks.ts"
import { breathe, finite } from "./loop.ts"

interface Observing extends Omit<Observed, "seeds" | "gold"> {
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
  /** Of each prompt, one after the other; default 1. The first has the prompt's seed. */
  readonly completions?: number
}

/** The votes of the completions of each prompt, `n` of them, by each verifier that finds an answer in them. */
const votesBy = (verifiers: ReadonlyArray<Verifier>, texts: ReadonlyArray<string>, n: number) => {
  const names = namesOf(verifiers)
  return verifiers.flatMap((verifier, v) => {
    const voting = votingOf(verifier)
    if (voting === null) return []
    const votes = Array.from(
      { length: texts.length / n },
      (_, i) => votesOf(texts.slice(i * n, (i + 1) * n).map(voting.answer), voting.same)
    ).flat()
    return [[names[v]!, votes] as const]
  })
}

/** An item is a prompt; a number that is not finite is an error. */
export const observedRows = (
  policy: Policy,
  { completions: n = 1, gold, name, prompts, reward, rows: asked, seed, stage, verifiers = [], ...of }: Observing
): Chunking<ObservedRow, Unjudged | UnusableData, Judge> => ({
  row: ObservedRow,
  generates: n * of.sampling.maxNewTokens,
  rowsPerItem: n,
  make: Effect.fnUntraced(function*(from, to) {
    const judge = yield* Judge
    const copies = Array.from({ length: n * (to - from) }, (_, i) => ({ at: from + Math.floor(i / n), copy: i % n }))
    const observing = {
      ...of,
      prompts: copies.map(({ at }) => prompts[at]!),
      seeds: copies.map(({ at, copy }) => copy === 0 ? seed(at) : `${seed(at)}/${copy}`),
      gold: gold === undefined
        ? undefined
        : (text: string, i: number) => judge.gold(gold, asked[copies[i]!.at]!.prompt, text)
    }
    const sampled = answer(policy, observing)
    // A signal that came meanwhile is heard before texts are decoded under a watch of their own (`model/foreign.ts`), which would drop it.
    yield* breathe
    const { rows: encoded, seen } = observe(policy, observing, sampled)
    const questions = seen.map(({ finished, length, text }, i) => ({
      ...asked[copies[i]!.at]!,
      row: copies[i]!.at + 1,
      completion: text,
      ended: finished === 1,
      tokens: length
    }))
    const { verdicts } = yield* verified(stage, judge, verifiers, questions)
    const all = Object.entries(verdicts)
    const votes = n === 1 ? [] : votesBy(verifiers, seen.map(({ text }) => text), n)
    const named = <A>(columns: ReadonlyArray<readonly [string, ReadonlyArray<A>]>, i: number) =>
      Object.fromEntries(columns.map(([verifier, of]) => [verifier, of[i]!]))
    const proxies = reward === undefined ? null : yield* proxyOf({ stage, judge }, reward, questions, encoded)
    const rows = seen.map((row, i): ObservedRow => ({
      ...row,
      proxy: proxies?.[i] ?? null,
      ...(all.length === 0 ? {} : { verdicts: named(all, i) }),
      ...(votes.length === 0 ? {} : { votes: named(votes, i) })
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
