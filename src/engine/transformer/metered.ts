/**
 * The transformer without weights and without arithmetic, with a meter: what the stages' own code asks of it is counted, verb by
 * verb. Completions reach `maxNewTokens`, the last token ends them, and no two of a call are alike.
 */
import { modelConfig, withHead } from "../../model/config.ts"
import type { Batch, Computing, Engine, Model, Policy, Scorer, Weights } from "../engine.ts"
import { offsetsOf } from "../engine.ts"
import { type Cost, counting, type Held, type Spent } from "./counting.ts"
import { withoutWeights } from "./footprint.ts"
import { initial } from "./initial.ts"
import type { Phase } from "./terms.ts"
import { lengths, type Rehearsed, rehearsed } from "./standIn.ts"
import { transformer, type TransformerOptions } from "./transformer.ts"

export interface Amounts {
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
  /** Tokens in any pass, prompts too. */
  readonly passed: number
}

export interface Metered {
  readonly engine: Engine
  /** What was done so far. */
  readonly amounts: () => Amounts
  readonly spentIn: () => ReadonlyMap<Phase, Spent>
  /** The most held in each phase since `restart`. */
  readonly peaks: () => ReadonlyMap<Phase, Held>
  readonly restart: () => void
  /** From here on, whatever is asked for belongs to this phase; to the one of its own verb when null. */
  readonly enter: (phase: Phase | null) => void
  readonly entered: () => Phase | null
}

/** A model by its shape: the `config.json` and the tokenizer files of a folder, if it has any. */
export type Shape = Pick<Weights, "config" | "tokenizer">

export interface MeterOptions extends TransformerOptions {
  /** What every model that is made from nothing has instead of its own. */
  readonly shape?: Shape
  /** What calls of the backend cost. */
  readonly cost?: Cost
  /** Length of every completion, tokens, where `maxNewTokens` is not less. */
  readonly completionLength?: number
}

export const metered = (options: MeterOptions = {}): Metered => {
  const backend = counting(options)
  const engine = transformer(backend, options)
  let [generated, trained, passed] = [0, 0, 0]
  /** Completions so far. */
  let written = 0
  const codecs = new WeakMap<Weights["tokenizer"], Rehearsed>()
  const speaking = (weights: Weights): Rehearsed => {
    const known = codecs.get(weights.tokenizer)
    if (known !== undefined) return known
    const { vocab } = modelConfig(weights.config)
    const made = rehearsed(weights.tokenizer.size === 0 ? lengths(vocab) : engine.codec(weights))
    codecs.set(weights.tokenizer, made)
    return made
  }
  let entered: Phase | null = null
  const verb = <A>(phase: Phase, work: () => A): A => backend.during(entered ?? phase, work)
  const passing = (batch: Batch, retain = false): Phase => {
    for (const { completion, prompt } of batch) passed += prompt.length + completion.length
    if (!retain) return "logps"
    trained += offsetsOf(batch)[batch.length]!
    return "update"
  }

  /** The verbs that any model has. */
  const common = (of: Model, weights: Weights, { lora }: Computing) => {
    let stepped = false
    return {
      step: ((update) => {
        stepped = true
        return verb("update", () => of.step(update))
      }) satisfies Model["step"],
      weights: () =>
        verb("save", () => {
          // Adapters are merged for it, and others are read as they are.
          if (lora !== undefined) of.weights()
          return weights
        }),
      optimizer: () => verb("save", () => stepped ? { step: 1, tensors: new Map() } : of.optimizer()),
      backward: (gradient: Float64Array) => verb("update", () => (of as unknown as Policy).backward(gradient))
    }
  }

  const policy = (of: Policy, weights: Weights, computing: Computing): Policy => {
    return {
      ...of,
      ...common(of, withoutWeights(weights.config, weights.tokenizer), computing),
      logprobs: (batch, how) => verb(passing(batch, how?.retain), () => of.logprobs(batch, how)),
      divergences: (batch, teacher, divergence, how) =>
        verb(passing(batch, how?.retain), () => of.divergences(batch, teacher, divergence, how)),
      learn: (batch, gradientOf) => verb(passing(batch, true), () => of.learn(batch, gradientOf)),
      sample: (prompts, sampling, seeds) => {
        const maxNewTokens = Math.min(sampling.maxNewTokens, options.completionLength ?? Infinity)
        const sampled = verb("generation", () => of.sample(prompts, { ...sampling, maxNewTokens, stop: [] }, seeds))
        const { completion } = speaking(weights)
        return sampled.map(({ logps }) => {
          generated += logps.length
          passed += logps.length
          return { completion: completion(++written, logps.length, sampling.stop[0]), logps, finished: true }
        })
      }
    }
  }

  const scorer = (of: Scorer, weights: Weights, computing: Computing): Scorer => ({
    ...of,
    ...common(of, withoutWeights(withHead(weights.config, "score"), weights.tokenizer), computing),
    values: (batch, how) => {
      const read = verb(passing(batch, how?.retain), () => of.values(batch, how))
      // Scores that differ: what is all alike may be dropped, and not trained on.
      for (let row = 1; row <= batch.length; row++) read.values[read.offsets[row]! - 1] = row % 2
      return read
    }
  })

  return {
    amounts: () => ({ generated, trained, passed }),
    spentIn: backend.spentIn,
    peaks: backend.peaks,
    restart: backend.restart,
    enter: (phase) => {
      entered = phase
    },
    entered: () => entered,
    engine: {
      ...engine,
      codec: (weights) => speaking(weights).codec,
      initial: (model) => {
        if (options.shape !== undefined) return withoutWeights(options.shape.config, options.shape.tokenizer)
        // Narrow, and given its real sizes afterwards: numbers nobody reads are not drawn.
        const { config, tokenizer } = initial({ ...model, layers: 1, dim: 2 * model.heads, ffn: 1 })
        const { dim, ffn, layers } = model
        const sized = { ...config, hidden_size: dim, intermediate_size: ffn, num_hidden_layers: layers }
        modelConfig(sized)
        return withoutWeights(sized, tokenizer)
      },
      policy: (weights, computing = {}) =>
        policy(verb("load", () => engine.policy(weights, computing)), weights, computing),
      scorer: (weights, computing = {}) =>
        scorer(verb("load", () => engine.scorer(weights, computing)), weights, computing)
    }
  }
}
