/**
 * The transformer without weights and without arithmetic, with a meter: what the stages' own code asks of it is counted, verb by
 * verb. Completions reach `maxNewTokens`, the last token ends them, and no two of a call are alike.
 */
import { modelConfig, withHead } from "../../model/config.ts"
import type { Batch, Codec, Engine, Model, Policy, Scorer, Weights } from "../engine.ts"
import { offsetsOf } from "../engine.ts"
import { counting } from "./counting.ts"
import { withoutWeights } from "./footprint.ts"
import { initial } from "./initial.ts"
import { transformer, type TransformerOptions } from "./transformer.ts"

export interface Amounts {
  /** Floating-point operations: see `Spent`. */
  readonly flops: number
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
}

export interface Metered {
  readonly engine: Engine
  /** What was done so far. */
  readonly amounts: () => Amounts
  /** The most held since `restart`, bytes, and what made it grow, largest first. */
  readonly peak: () => { readonly bytes: number; readonly terms: ReadonlyArray<{ what: string; bytes: number }> }
  readonly restart: () => void
}

type Term =
  | "weights"
  | "gradients and AdamW moments"
  | "activations"
  | "KV cache and sampling"
  | "passes without gradient"

/** Tokens that are text by themselves: what they make survives being decoded and encoded again. */
const wordsOf = ({ decode, encodeCompletion, vocab }: Codec): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let id = 0; id < Math.min(vocab, 2000) && found.length < 8; id++) {
    const twice = [id, id, id]
    const text = decode(twice)
    if (text !== "" && String([...encodeCompletion(text, { end: false })]) === String(twice)) found.push(id)
  }
  return found.length > 0 ? found : [0]
}

export const metered = (options: TransformerOptions = {}): Metered => {
  const backend = counting()
  const engine = transformer(backend, options)
  let [generated, trained] = [0, 0]
  const terms = new Map<Term, number>()
  const grow = (term: Term, bytes: number): void => void terms.set(term, (terms.get(term) ?? 0) + bytes)

  /** The verbs that any model has, each with what it makes memory grow by. */
  const verbs = <M extends Model>(of: M, weights: Weights) => {
    // Gradients and two moments are there from the first update on.
    let optimiser = 3 * backend.realBytes * of.parameters
    const verb = <A>(term: Term, work: () => A): A => {
      const before = backend.memory().peak
      const value = work()
      const grown = backend.memory().peak - before
      const own = term === "activations" ? Math.min(optimiser, grown) : 0
      optimiser -= own
      grow("gradients and AdamW moments", own)
      grow(term, grown - own)
      return value
    }
    const passing = (batch: Batch, retain = false): Term => {
      if (!retain) return "passes without gradient"
      trained += offsetsOf(batch)[batch.length]!
      return "activations"
    }
    const common = {
      step: ((update) => verb("activations", () => of.step(update))) satisfies Model["step"],
      weights: () => weights,
      backward: (gradient: Float64Array) => verb("activations", () => (of as unknown as Policy).backward(gradient))
    }
    return { verb, passing, common }
  }

  const opening = <M>(work: () => M): M => {
    const before = backend.memory().peak
    const model = work()
    grow("weights", backend.memory().peak - before)
    return model
  }

  const policy = (of: Policy, weights: Weights): Policy => {
    const { common, passing, verb } = verbs(of, withoutWeights(weights.config, weights.tokenizer))
    let words: ReadonlyArray<number> | null = null
    return {
      ...of,
      ...common,
      logprobs: (batch, how) => verb(passing(batch, how?.retain), () => of.logprobs(batch, how)),
      divergences: (batch, teacher, divergence, how) =>
        verb(passing(batch, how?.retain), () => of.divergences(batch, teacher, divergence, how)),
      learn: (batch, gradientOf) => verb(passing(batch, true), () => of.learn(batch, gradientOf)),
      sample: (prompts, sampling, seeds) => {
        const sampled = verb("KV cache and sampling", () => of.sample(prompts, { ...sampling, stop: [] }, seeds))
        const some = words ??= wordsOf(engine.codec(weights))
        return sampled.map(({ logps }, i) => {
          generated += logps.length
          // The number of the completion in digits that are words.
          const completion = Int32Array.from(logps, (_, t) => some[Math.floor(i / some.length ** t) % some.length]!)
          if (completion.length > 0 && sampling.stop.length > 0) completion[completion.length - 1] = sampling.stop[0]!
          return { completion, logps, finished: true }
        })
      }
    }
  }

  const scorer = (of: Scorer, weights: Weights): Scorer => {
    const { common, passing, verb } = verbs(of, withoutWeights(withHead(weights.config, "score"), weights.tokenizer))
    return {
      ...of,
      ...common,
      values: (batch, how) => {
        const read = verb(passing(batch, how?.retain), () => of.values(batch, how))
        // Scores that differ: what is all alike may be dropped, and not trained on.
        for (let row = 1; row <= batch.length; row++) read.values[read.offsets[row]! - 1] = row % 2
        return read
      }
    }
  }

  return {
    amounts: () => ({ flops: backend.spent().flops, generated, trained }),
    peak: () => ({
      bytes: backend.memory().peak,
      terms: [...terms].map(([what, bytes]) => ({ what, bytes })).filter(({ bytes }) => bytes > 0)
        .sort((a, b) => b.bytes - a.bytes)
    }),
    restart: () => {
      terms.clear()
      backend.restart()
      if (backend.memory().live > 0) grow("weights", backend.memory().live)
    },
    engine: {
      ...engine,
      initial: (model) => {
        // Narrow, and given its real sizes afterwards: numbers nobody reads are not drawn.
        const { config, tokenizer } = initial({ ...model, layers: 1, dim: 2 * model.heads, ffn: 1 })
        const { dim, ffn, layers } = model
        const sized = { ...config, hidden_size: dim, intermediate_size: ffn, num_hidden_layers: layers }
        modelConfig(sized)
        return withoutWeights(sized, tokenizer)
      },
      policy: (weights, computing) => policy(opening(() => engine.policy(weights, computing)), weights),
      scorer: (weights, computing) => scorer(opening(() => engine.scorer(weights, computing)), weights)
    }
  }
}
