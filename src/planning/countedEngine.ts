/**
 * The transformer without weights and without arithmetic, with a meter: what the stages' own code asks of it is counted, verb by
 * verb. Completions reach `maxNewTokens`, the last token ends them, and no two of a call are alike.
 */
import { modelConfig, withHead } from "../model/config.ts"
import type { Batch, Computing, Engine, Model, Packing, Policy, Scorer, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { type Cost, counting, type Held, type Spent } from "../tensor/counting/backend.ts"
import { withoutWeights } from "../engine/transformer/footprint.ts"
import { initial } from "../engine/transformer/initial.ts"
import { cut } from "../engine/transformer/packing.ts"
import { learnedAtOnce, mostAtOnce, tokensIn } from "../engine/transformer/passes.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import { lengths, type Rehearsed, rehearsed } from "./placeholderText.ts"
import { microBatchTokens, transformer, type TransformerOptions } from "../engine/transformer/transformer.ts"

export interface Amounts {
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
  readonly passed: Passed
}

/** Rows in any pass, their tokens, prompts too, and the squares of these. */
export interface Passed {
  readonly rows: number
  readonly tokens: number
  readonly squares: number
}

export interface Metered {
  readonly engine: Engine
  /** What was done so far. */
  readonly amounts: () => Amounts
  readonly spentIn: () => ReadonlyMap<Phase, Spent>
  /** The most held in each phase since `restart`. */
  readonly peaks: () => ReadonlyMap<Phase, Held>
  /** The most micro-batches whose gradients one update has added up, since `restart`. */
  readonly accumulated: () => number
  /** The most tokens that were learnt from at once since `restart`, and how many may be. */
  readonly atOnce: () => { readonly tokens: number; readonly most: number }
  readonly restart: () => void
  /** From here on, whatever is asked for belongs to this phase; to the one of its own verb when null. */
  readonly enter: (phase: Phase | null) => void
  readonly entered: () => Phase | null
  /** Whether steps are being made: a model that is opened then takes the place of another. */
  readonly stepping: (yes: boolean) => void
}

/** Rows of more tokens than this in one call are alike enough for some of them to stand for all. */
const manyTokens = 2 ** 15
/** The same of prompts that are sampled from, a whole number of times as many as there are slots. */
const manyPrompts = 256

/** A model by its shape: the `config.json` and the tokenizer files of a folder, if it has any. */
export type Shape = Pick<Weights, "config" | "tokenizer">

export interface MeterOptions extends TransformerOptions {
  /** What every model that is made from nothing has instead of its own. */
  readonly shape?: Shape
  /** What calls of the backend cost. */
  readonly cost?: Cost
  /** What packed weights take on it; what they do in the kernels that we compile when left out. */
  readonly packing?: Packing
  /** Length of every completion, tokens, where `maxNewTokens` is not less. */
  readonly completionLength?: number
  /** Whether every row of a large batch is passed. */
  readonly whole?: boolean
  /** Of tokenizers that another meter has met: the completions that it made up are known by them. */
  readonly codecs?: Codecs
}

export type Codecs = WeakMap<Weights["tokenizer"], Rehearsed>

export const metered = (options: MeterOptions = {}): Metered => {
  const backend = counting(options)
  const engine = transformer(backend, options)
  let [generated, trained] = [0, 0]
  let passed: Passed = { rows: 0, tokens: 0, squares: 0 }
  /** Completions so far. */
  let written = 0
  const codecs: Codecs = options.codecs ?? new WeakMap()
  const speaking = (weights: Weights): Rehearsed => {
    const known = codecs.get(weights.tokenizer)
    if (known !== undefined) return known
    const { vocab } = modelConfig(weights.config)
    const made = rehearsed(weights.tokenizer.size === 0 ? lengths(vocab) : engine.codec(weights))
    codecs.set(weights.tokenizer, made)
    return made
  }
  const partsOf = ({ microBatchTokens: own }: Computing) => ({
    microBatchTokens: own ?? options.microBatchTokens ?? microBatchTokens
  })
  let accumulated = 0
  let atOnce = { tokens: 0, most: 0 }
  let entered: Phase | null = null
  let opening: Phase = "load"
  const verb = <A>(phase: Phase, work: () => A, times = 1): A => backend.during(entered ?? phase, work, times)
  /** Counts the rows of a pass by their tokens. */
  const passes = (lengths: ReadonlyArray<number>): number => {
    let { rows, squares, tokens } = passed
    for (const length of lengths) {
      rows++
      tokens += length
      squares += length ** 2
    }
    const before = passed.tokens
    passed = { rows, tokens, squares }
    return tokens - before
  }
  /** Some rows of a large batch, evenly spread, and for how many times as many tokens they stand; all of a smaller one. */
  const passing = (batch: Batch, computing: Computing): {
    readonly some: Batch
    readonly times: number
    readonly again: number
  } => {
    const parts = partsOf(computing)
    const lengths = batch.map(({ completion, prompt }) => prompt.length + completion.length)
    const tokens = passes(lengths)
    const every = options.whole === true ? 1 : Math.ceil(tokens / manyTokens)
    if (every <= 1) return { some: batch, times: 1, again: 0 }
    const own = lengths.reduce((sum, length, i) => i % every === 0 ? sum + length : sum, 0)
    const some = batch.filter((_, i) => i % every === 0)
    const times = tokens / own
    // All micro-batches but the last are computed again before they go backward.
    const last = (rows: Batch): number => cut(rows, "tokens", parts).at(-1)?.tokens ?? 0
    return { some, times, again: (times * last(some) - last(batch)) / own }
  }

  /** Zeros, good until the next call: what a scorer reads is used at once. */
  let scratch = new Float64Array(0)
  const valuesOf = (length: number): Float64Array => {
    if (scratch.length < length) scratch = new Float64Array(length)
    return scratch.subarray(0, length).fill(0)
  }

  /** The verbs that any model has. */
  const common = (of: Model, weights: Weights, computing: Computing) => {
    const { lora } = computing
    /** Micro-batches that wait for an update. */
    let waiting = 0
    /** In parts of so many tokens, of which there might be `most`. */
    const learns = (batch: Batch, microBatchTokens: number, most = microBatchTokens): void => {
      const parts = cut(batch, "tokens", { microBatchTokens })
      waiting += parts.length
      trained += offsetsOf(batch)[batch.length]!
      atOnce = {
        tokens: parts.reduce((largest, { tokens }) => Math.max(largest, tokens), atOnce.tokens),
        most: Math.max(atOnce.most, most)
      }
    }
    /** Of the batch that waits for its backward pass. */
    let retained = { numbers: 0, times: 1 }
    return {
      /** A pass over a batch, of which `read` gets some rows and says how many numbers it read. */
      pass: (batch: Batch, retain: boolean | undefined, read: (some: Batch) => number): void => {
        const { again, some, times } = passing(batch, computing)
        const numbers = verb(
          retain === true ? "update" : "logps",
          () => read(some),
          retain === true ? times + again : times
        )
        if (retain !== true) return
        retained = { numbers, times }
        learns(batch, partsOf(computing).microBatchTokens)
      },
      learns,
      verbs: {
        parameters: of.parameters,
        context: of.context,
        restore: of.restore,
        dispose: of.dispose,
        step: (update) => {
          accumulated = Math.max(accumulated, waiting)
          waiting = 0
          return verb("update", () => of.step(update))
        },
        weights: () =>
          verb("save", () => {
            // Adapters are merged for it, and others are read as they are.
            if (lora !== undefined) of.weights()
            return weights
          }),
        optimizer: () => verb("save", () => of.optimizer()),
        backward: () => {
          const { numbers, times } = retained
          verb("update", () => (of as unknown as Policy).backward(new Float64Array(numbers)), times)
        }
      } satisfies Model & Pick<Policy, "backward">
    }
  }

  const policy = (of: Policy, weights: Weights, computing: Computing): Policy => {
    const { learns, pass, verbs } = common(of, withoutWeights(weights.config, weights.tokenizer), computing)
    const config = modelConfig(weights.config)
    const zeros = (batch: Batch) => {
      const offsets = offsetsOf(batch)
      const total = offsets[batch.length]!
      return { offsets, logps: new Float64Array(total), entropies: new Float64Array(total) }
    }
    const counted: Policy = {
      ...verbs,
      logprobs: (batch, how) => {
        pass(batch, how?.retain, (some) => of.logprobs(some, how).logps.length)
        return zeros(batch)
      },
      divergences: (batch, teacher, divergence, how) => {
        pass(batch, how?.retain, (some) => of.divergences(some, teacher, divergence, how).values.length)
        const { logps: values, offsets } = zeros(batch)
        return { values, offsets }
      },
      learn: (batch) => {
        const { some, times } = passing(batch, computing)
        verb("update", () => of.learn(some, ({ length }) => new Float64Array(length)), times)
        const most = mostAtOnce(config, partsOf(computing))
        learns(batch, learnedAtOnce(tokensIn(batch), most), most)
        return zeros(batch)
      },
      sample: (prompts, sampling, seeds) => {
        const maxNewTokens = Math.min(sampling.maxNewTokens, options.completionLength ?? Infinity)
        const some = prompts.length > manyPrompts && options.whole !== true
          ? prompts.slice(0, manyPrompts / 2)
          : prompts
        verb(
          "generation",
          () => of.sample(some, { ...sampling, maxNewTokens, stop: [] }, seeds.slice(0, some.length)),
          prompts.length / some.length
        )
        const { completion } = speaking(weights)
        const lengths = prompts.map(({ length }) => Math.max(0, Math.min(maxNewTokens, of.context - length)))
        const total = passes(lengths)
        generated += total
        const [tokens, logps] = [new Int32Array(total), new Float64Array(total)]
        let at = 0
        return lengths.map((length) => {
          const [from, to] = [at, at += length]
          return {
            completion: completion(++written, tokens.subarray(from, to), sampling.stop[0]),
            logps: logps.subarray(from, to),
            finished: true
          }
        })
      }
    }
    // With the members that are the transformer's own.
    return { ...of, ...counted }
  }

  const scorer = (of: Scorer, weights: Weights, computing: Computing): Scorer => {
    const { pass, verbs } = common(of, withoutWeights(withHead(weights.config, "score"), weights.tokenizer), computing)
    return {
      ...verbs,
      values: (batch, how) => {
        pass(batch, how?.retain, (some) => of.values(some, how).values.length)
        const offsets = offsetsOf(batch, 1)
        const values = valuesOf(offsets[batch.length]!)
        // Scores that differ: what is all alike may be dropped, and not trained on.
        for (let row = 1; row <= batch.length; row++) values[offsets[row]! - 1] = row % 2
        return { values, offsets }
      }
    }
  }

  return {
    amounts: () => ({ generated, trained, passed }),
    spentIn: backend.spentIn,
    peaks: backend.peaks,
    accumulated: () => accumulated,
    atOnce: () => atOnce,
    restart: () => {
      accumulated = 0
      atOnce = { tokens: 0, most: 0 }
      backend.restart()
    },
    enter: (phase) => {
      entered = phase
    },
    entered: () => entered,
    stepping: (yes) => {
      opening = yes ? "copy" : "load"
    },
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
        policy(verb(opening, () => engine.policy(weights, undrawn(computing))), weights, computing),
      scorer: (weights, computing = {}) =>
        scorer(verb(opening, () => engine.scorer(weights, undrawn(computing))), weights, computing)
    }
  }
}

/** Adapters whose numbers nobody looks at. */
const undrawn = (computing: Computing): Computing =>
  computing.lora === undefined ? computing : { ...computing, lora: { ...computing.lora, seed: null } }
