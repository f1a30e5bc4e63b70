/** An engine whose verbs are counted, whoever asks: stages, measurements of KL, evaluations, stages from outside. */
import { type Batch, type Engine, offsetsOf, type Policy, type Scorer } from "./engine.ts"

export interface Counts {
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
  /** As `Engine.flops`; 0 where nobody counts. */
  readonly flops: number
}

export interface Metering {
  readonly engine: Engine
  /** What was asked of it so far. */
  readonly counts: () => Counts
}

/** `used` gets the prompt of every completion that is sampled or trained on, as token ids. */
export const metering = (engine: Engine, used: (prompt: Int32Array) => void): Metering => {
  let [generated, trained] = [0, 0]
  const train = (batch: Batch): void => {
    trained += offsetsOf(batch)[batch.length]!
    for (const { prompt } of batch) used(prompt)
  }
  const retained =
    <O extends { readonly retain?: boolean }, A>(verb: (batch: Batch, options?: O) => A) =>
    (batch: Batch, options?: O): A => {
      if (options?.retain === true) train(batch)
      return verb(batch, options)
    }
  const policy = (of: Policy): Policy => ({
    ...of,
    logprobs: retained(of.logprobs),
    divergences: (batch, teacher, divergence, options) => {
      if (options?.retain === true) train(batch)
      return of.divergences(batch, teacher, divergence, options)
    },
    learn: (batch, gradientOf) => {
      train(batch)
      return of.learn(batch, gradientOf)
    },
    sample: (prompts, sampling, seeds) => {
      const sampled = of.sample(prompts, sampling, seeds)
      for (const prompt of prompts) used(prompt)
      for (const { completion } of sampled) generated += completion.length
      return sampled
    }
  })
  const scorer = (of: Scorer): Scorer => ({ ...of, values: retained(of.values) })
  return {
    counts: () => ({ generated, trained, flops: engine.flops?.() ?? 0 }),
    engine: {
      ...engine,
      policy: (weights, computing) => policy(engine.policy(weights, computing)),
      scorer: (weights, computing) => scorer(engine.scorer(weights, computing))
    }
  }
}
