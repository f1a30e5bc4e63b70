/** An engine with counted verbs, for every caller: stages, measurements of KL, evaluations, stages from outside. */
import { type Around, aroundEngine, same } from "./around.ts"
import { type Batch, type Engine, offsetsOf } from "./engine.ts"

export interface TokenCounts {
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Tokens that environments wrote and a policy read, each once. */
  readonly given: number
  /** Own tokens with a gradient, of any model, counted at each use. */
  readonly trained: number
  /** As `Engine.flops`; 0 where the engine does not count. */
  readonly flops: number
}

export interface Metering {
  readonly engine: Engine
  readonly counts: () => TokenCounts
}

/** `used` gets the prompt of every completion that is sampled or trained on, as token ids. */
export const metering = (engine: Engine, used: (prompt: Int32Array) => void): Metering => {
  let [generated, given, trained] = [0, 0, 0]
  const train = (batch: Batch): void => {
    trained += offsetsOf(batch)[batch.length]!
    for (const { prompt } of batch) used(prompt)
  }
  const model = (): Around => ({
    pass: (own) => (batch, options) => {
      if (options?.retain === true) train(batch)
      return own(batch, options)
    },
    compare: (own) => (batch, teacher, divergence, options) => {
      if (options?.retain === true) train(batch)
      return own(batch, teacher, divergence, options)
    },
    learn: (own) => (batch, gradientOf) => {
      train(batch)
      return own(batch, gradientOf)
    },
    sample: (own) => (prompts, sampling, seeds) => {
      const sampled = own(prompts, sampling, seeds)
      if (sampling.given === undefined) { for (const prompt of prompts) used(prompt) }
      given += sampling.given ?? 0
      for (const { completion } of sampled) generated += completion.length
      return sampled
    },
    backward: same,
    step: same,
    state: same,
    dispose: same
  })
  return {
    counts: () => ({ generated, given, trained, flops: engine.flops?.() ?? 0 }),
    engine: aroundEngine(engine, { model })
  }
}
