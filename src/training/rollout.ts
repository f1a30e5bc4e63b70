/** The beginning of an on-policy step: sampled and scored completions with all their log-probabilities. */
import * as Effect from "effect/Effect"
import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import type { Running } from "../rewards/composed.ts"
import { type Now, type Placed, scored, type Scoring } from "./scoring.ts"

/** Numbers per token unless stated otherwise; row i owns `offsets[i] … offsets[i + 1]`. */
export interface Rollout {
  readonly rows: ReadonlyArray<Row>
  readonly offsets: Int32Array
  /** log π under the policy in training precision at the temperature of the samples, nats; the reference's are of its own at it. */
  readonly logps: Float64Array
  /** log π under the policy at sampling time: equal to `logps` except for rounding. */
  readonly samplerLogps: Float64Array
  readonly refLogps: Float64Array | null
  /** One score per row. */
  readonly scores: Float64Array
  readonly metrics: Readonly<Record<string, number>>
  /** What `whiten` over a run has seen, these completions included. */
  readonly running: Running
}

/** One completion for each prompt; completion i draws from the stream of `seeds[i]`. */
export const rollout = Effect.fnUntraced(function*(
  use: {
    readonly policy: Policy
    readonly reference: Policy | null
    readonly sampling: Sampling
    readonly scoring: Scoring
    /** Whether the loss reads the sampler's log-probabilities: at another temperature than 1 they take a pass. */
    readonly readsSampler: boolean
    readonly now: Now
  },
  prompts: ReadonlyArray<{ readonly ids: Int32Array; readonly row: Placed }>,
  seeds: ReadonlyArray<string>
) {
  const { now, policy, readsSampler, reference, sampling, scoring } = use
  const sampled = policy.sample(prompts.map(({ ids }) => ids), sampling, seeds)
  const rows = sampled.map(({ completion }, i): Row => ({ prompt: prompts[i]!.ids, completion }))
  const at = { temperature: sampling.temperature }
  const { entropies, logps } = policy.logprobs(rows, at)
  const { metrics, running, scores } = yield* scored(scoring, rows, sampled, prompts.map(({ row }) => row), now)
  const samplerLogps = joinedTokens(sampled.map(({ logps }) => logps))
  /** A sampler gives log π at temperature 1: the effect of its rounding there is carried over. */
  const tempered = (): Float64Array => {
    if (!readsSampler) return logps
    const plain = policy.logprobs(rows).logps
    return logps.map((logp, t) => logp + samplerLogps[t]! - plain[t]!)
  }
  const ended = sampled.filter(({ finished }) => finished).length / rows.length
  return {
    rows,
    offsets: offsetsOf(rows),
    logps,
    samplerLogps: sampling.temperature === 1 ? samplerLogps : tempered(),
    refLogps: reference === null ? null : reference.logprobs(rows, at).logps,
    scores,
    running,
    metrics: {
      ...metrics,
      "objective/entropy": entropies.reduce((sum, x) => sum + x, 0) / rows.length,
      "val/num_eos_tokens": ended * rows.length,
      "completions/mean_length": logps.length / rows.length
    }
  } satisfies Rollout as Rollout
})

/** The numbers of some rows out of ragged per-token numbers, one row after the other. */
export const pick = (tokens: Float64Array, offsets: Int32Array, rows: ReadonlyArray<number>): Float64Array =>
  joinedTokens(rows.map((row) => tokens.subarray(offsets[row]!, offsets[row + 1]!)))

/** Numbers of rows, one after the other. */
export const joinedTokens = (rows: ReadonlyArray<Float64Array>): Float64Array => {
  const all = new Float64Array(rows.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const row of rows) {
    all.set(row, at)
    at += row.length
  }
  return all
}
