import * as Schema from "effect/Schema"
import { textsOf } from "../data/encode.ts"
import type { Policy, Row, Sampled, Sampling } from "../engine/engine.ts"
import { kl } from "../losses/kl.ts"
import { beforeStop, stopsAt } from "../sampling/stopTexts.ts"

/** The answer of a policy to one prompt, with what was observed of it. */
export const ObservedRow = Schema.Struct({
  text: Schema.String,
  gold: Schema.NullOr(Schema.Number),
  /** Of each verifier, by its name. */
  verdicts: Schema.optionalKey(Schema.Record(Schema.String, Schema.Number)),
  /** By verifiers that find an answer: the first completion of the same prompt with the same answer; null where there is none. */
  votes: Schema.optionalKey(Schema.Record(Schema.String, Schema.NullOr(Schema.Natural))),
  proxy: Schema.NullOr(Schema.Number),
  /** KL(policy‖initial) by k1, nats per sequence. */
  kl: Schema.NullOr(Schema.Number),
  /** Tokens, the end included. */
  length: Schema.Natural,
  /** 1 where the completion ended by itself, else 0. */
  finished: Schema.Literals([0, 1])
})
export type ObservedRow = typeof ObservedRow.Type

const klOf = (policy: Policy, initial: Policy, rows: ReadonlyArray<Row>): Float64Array => {
  const { logps, offsets } = policy.logprobs(rows)
  return kl(logps, initial.logprobs(rows).logps, offsets, "k1").sequences
}

export interface Observing {
  readonly prompts: ReadonlyArray<Int32Array>
  readonly sampling: Pick<Sampling, "maxNewTokens" | "temperature" | "stop">
  readonly seeds: ReadonlyArray<string>
  /** Texts that end a completion and are no part of it. */
  readonly stopTexts?: ReadonlyArray<string>
  readonly decode: (ids: Int32Array) => string
  readonly gold: ((text: string, prompt: number) => number) | undefined
  readonly initial: Policy | undefined
}

/** One answer to each prompt, to be observed. The seeds are the caller's: equal seeds for two policies make a paired comparison. */
export const answer = (
  policy: Policy,
  { decode, prompts, sampling, seeds, stopTexts = [] }: Omit<Observing, "gold" | "initial">
): ReadonlyArray<Sampled> => {
  const ends = stopTexts.length === 0 ? {} : { ends: stopsAt(stopTexts, decode) }
  return policy.sample(prompts, { ...sampling, ...ends, topK: 0, topP: 1 }, seeds)
}

/** Measures the answers of a policy, without training and without a proxy reward. KL needs samples of the policy itself: it is left out at another temperature than 1. */
export const observe = (
  policy: Policy,
  of: Observing,
  sampled: ReadonlyArray<Sampled>
): { readonly rows: ReadonlyArray<Row>; readonly seen: ReadonlyArray<ObservedRow> } => {
  const { initial, prompts, sampling, stopTexts = [] } = of
  const rows = sampled.map(({ completion }, i): Row => ({ prompt: prompts[i]!, completion }))
  const whole = textsOf(of, rows)
  const texts = whole.map((text) => beforeStop(stopTexts, text))
  const kls = initial === undefined || sampling.temperature !== 1 ? null : klOf(policy, initial, rows)
  const seen = sampled.map(({ completion, finished }, i): ObservedRow => ({
    text: texts[i]!,
    gold: of.gold?.(texts[i]!, i) ?? null,
    proxy: null,
    kl: kls?.[i] ?? null,
    length: completion.length,
    finished: finished || texts[i]! !== whole[i] ? 1 : 0
  }))
  return { rows, seen }
}
