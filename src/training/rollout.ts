/** The beginning of an on-policy step: sampled and scored completions with all their log-probabilities. */
import * as Effect from "effect/Effect"
import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { joinedTokens } from "../losses/ragged.ts"
import type { Running } from "../rewards/composed.ts"
import type { Answering, Played, Prompt } from "./answering.ts"
import { type Now, scored, type Scoring } from "./scoring.ts"

/** Numbers per token unless stated otherwise; row i owns `offsets[i] … offsets[i + 1]`. */
export interface Rollout {
  readonly rows: ReadonlyArray<Row>
  readonly offsets: Int32Array
  /** log π under the policy in training precision at the temperature of the samples, nats; the reference's are of its own at it. */
  readonly logps: Float64Array
  /** log π under the policy at sampling time: equal to `logps` except for rounding. */
  readonly samplerLogps: Float64Array
  readonly refLogps: Float64Array | null
  /** One score per row, with what an environment gave. */
  readonly scores: Float64Array
  /** The part of the scores that stands at a token before the last, as `Played.earned`; null without an environment. */
  readonly earned: Float64Array | null
  readonly metrics: Readonly<Record<string, number>>
  /** What `whiten` over a run has seen, these completions included. */
  readonly running: Running
  /** Whether all verifiers passed the row. */
  readonly passed: ReadonlyArray<boolean>
}

/** The part that losses read. */
export type Episodes = Omit<Rollout, "running">

/** A rollout as it was sampled. */
export interface Sampled extends Rollout {
  /** Its first answer, to show. */
  readonly first: Played
}

/** The score of each answer, its environment's rewards included. */
export const scoresOf = Effect.fnUntraced(function*(
  scoring: Scoring,
  prompts: ReadonlyArray<Prompt>,
  played: ReadonlyArray<Played>,
  now: Now
) {
  // A reward model reads the whole of an episode, verifiers its last message.
  const rows = played.map(({ row: { completion, prompt } }): Row => ({ prompt, completion }))
  const { scores, ...rest } = yield* scored(
    scoring,
    rows,
    played.map(({ last }) => last),
    prompts.map(({ row }) => row),
    now
  )
  const earned = played.map(({ earned }) => earned?.reduce((sum, r) => sum + r, 0) ?? 0)
  return { ...rest, scores: scores.map((score, i) => score + earned[i]!) }
})

/** Means over episodes. */
const episodeMetrics = (played: ReadonlyArray<Played>): Record<string, number> => {
  const mean = (of: (one: Played) => number): number => played.reduce((sum, one) => sum + of(one), 0) / played.length
  if (played[0]?.earned == null) return {}
  return {
    "environment/reward": mean(({ earned }) => earned!.reduce((sum, r) => sum + r, 0)),
    "environment/turns": mean(({ turns }) => turns.length),
    "environment/tokens": mean(({ row: { given } }) => given?.reduce((sum, one) => sum + one, 0) ?? 0),
    "environment/unanswered": mean(({ unanswered }) => Number(unanswered)),
    "tools/call_frequency": mean(({ turns }) => turns.reduce((sum, { calls }) => sum + calls.length, 0))
  }
}

/** One answer to each prompt; answer i draws from the stream of `seeds[i]`. */
export const rollout = Effect.fnUntraced(function*(
  use: {
    readonly answering: Answering
    readonly policy: Policy
    readonly reference: Policy | null
    readonly sampling: Sampling
    readonly scoring: Scoring
    /** Whether the loss reads the sampler's log-probabilities: at another temperature than 1 they take a pass. */
    readonly readsSampler: boolean
    readonly now: Now
  },
  prompts: ReadonlyArray<Prompt>,
  seeds: ReadonlyArray<string>
) {
  const { answering, now, policy, readsSampler, reference, sampling, scoring } = use
  const played = yield* answering.sample(policy, prompts, sampling, seeds)
  const rows = played.map(({ row }) => row)
  const at = { temperature: sampling.temperature }
  const { entropies, logps } = policy.logprobs(rows, at)
  const { metrics, passed, running, scores } = yield* scoresOf(scoring, prompts, played, now)
  const samplerLogps = joinedTokens(played.map(({ logps }) => logps))
  /** A sampler gives log π at temperature 1: the effect of its rounding there is carried over. */
  const tempered = (): Float64Array => {
    if (!readsSampler) return logps
    const plain = policy.logprobs(rows).logps
    return logps.map((logp, t) => logp + samplerLogps[t]! - plain[t]!)
  }
  const ended = played.filter(({ last }) => last.finished).length / rows.length
  return {
    rows,
    offsets: offsetsOf(rows),
    logps,
    samplerLogps: sampling.temperature === 1 ? samplerLogps : tempered(),
    refLogps: reference === null ? null : reference.logprobs(rows, at).logps,
    scores,
    running,
    passed,
    earned: played.some(({ earned }) => earned === null) ? null : joinedTokens(played.map(({ earned }) => earned!)),
    first: played[0]!,
    metrics: {
      ...metrics,
      ...episodeMetrics(played),
      "objective/entropy": entropies.reduce((sum, x) => sum + x, 0) / rows.length,
      "val/num_eos_tokens": ended * rows.length,
      "completions/mean_length": logps.length / rows.length
    }
  } satisfies Sampled as Sampled
})

/** The numbers of some rows out of ragged per-token numbers, one row after the other. */
export const pick = (tokens: Float64Array, offsets: Int32Array, rows: ReadonlyArray<number>): Float64Array =>
  joinedTokens(rows.map((row) => tokens.subarray(offsets[row]!, offsets[row + 1]!)))
