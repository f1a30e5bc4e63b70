import * as Schema from "effect/Schema"
import { textsOf } from "../data/encode.ts"
import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { kl } from "../losses/kl.ts"

/** The answer of a policy to one prompt, with what was observed of it. */
export const ObservedRow = Schema.Struct({
  text: Schema.String,
  gold: Schema.NullOr(Schema.Number),
  /** Of each verifier, by its name. */
  verdicts: Schema.optionalKey(Schema.Record(Schema.String, Schema.Number)),
  proxy: Schema.NullOr(Schema.Number),
  /** KL(policy‖initial) by k1, nats per sequence. */
  kl: Schema.NullOr(Schema.Number),
  /** Tokens, the end included. */
  length: Schema.Natural,
  /** 1 where the completion ended by itself, else 0. */
  finished: Schema.Literals([0, 1])
})
export type ObservedRow = typeof ObservedRow.Type

/**
 * Lets a policy answer each prompt once and measures its completions, without training and without a proxy reward. KL needs samples of the policy itself: it is
 * left out at another temperature than 1. The seeds are the caller's: equal seeds for two policies make a paired comparison.
 */
export const observe = (policy: Policy, of: {
  readonly prompts: ReadonlyArray<Int32Array>
  readonly sampling: Pick<Sampling, "maxNewTokens" | "temperature" | "stop">
  readonly seeds: ReadonlyArray<string>
  readonly decode: (ids: Int32Array) => string
  readonly gold: ((text: string, prompt: number) => number) | undefined
  readonly initial: Policy | undefined
}): { readonly rows: ReadonlyArray<Row>; readonly seen: ReadonlyArray<ObservedRow> } => {
  const { initial, prompts, sampling } = of
  const sampled = policy.sample(prompts, { ...sampling, topK: 0, topP: 1 }, of.seeds)
  const rows = sampled.map(({ completion }, i): Row => ({ prompt: prompts[i]!, completion }))
  const texts = textsOf(of, rows)
  const { logps, offsets } = policy.logprobs(rows)
  const kls = initial === undefined || sampling.temperature !== 1
    ? null
    : kl(logps, initial.logprobs(rows).logps, offsets, "k1").sequences
  const seen = sampled.map(({ completion, finished }, i) => ({
    text: texts[i]!,
    gold: of.gold?.(texts[i]!, i) ?? null,
    proxy: null,
    kl: kls?.[i] ?? null,
    length: completion.length,
    finished: finished ? 1 : 0
  } satisfies ObservedRow as ObservedRow))
  return { rows, seen }
}
