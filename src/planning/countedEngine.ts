/**
 * The transformer on a backend that counts instead of computing, without weights: it measures the work of each verb.
 * Completions are `maxNewTokens` long, end with a stop token, and differ from each other within a call.
 */
import { modelConfig, withHead } from "../model/config.ts"
import { elements, idleExperts, parameters } from "../model/parameters.ts"
import type { Batch, Computing, Engine, Model, Packing, Policy, Scorer, TensorData, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { type Cost, type CountedWork, counting, type Held, unread } from "../tensor/counting/backend.ts"
import { noDivergence } from "../engine/transformer/divergent.ts"
import { initial } from "../engine/transformer/initial.ts"
import { cut } from "../engine/transformer/packing.ts"
import { learnedAtOnce, mostAtOnce, tokensIn } from "../engine/transformer/passes.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import { fullLengths, lengths, type Rehearsed, rehearsed } from "./placeholderText.ts"
import { microBatchTokens, transformer, type TransformerOptions } from "../engine/transformer/transformer.ts"

export interface Amounts {
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, once for each gradient. */
  readonly trained: number
  /** Tokens in any pass, prompts included. */
  readonly passed: number
}

/** In steps, an opened model replaces another; samples of `training` are only for their step. */
export type Stepping = "no" | "steps" | "training"

export interface CountedEngine {
  readonly engine: Engine
  /** The work so far. */
  readonly amounts: () => Amounts
  readonly spentIn: () => ReadonlyMap<Phase, CountedWork>
  /** The most held in each phase since `restart`. */
  readonly peaks: () => ReadonlyMap<Phase, Held>
  /** The most micro-batches whose gradients were added up for one update, since `restart`. */
  readonly accumulated: () => number
  /** The most tokens in one backward pass since `restart`, and the limit. */
  readonly atOnce: () => { readonly tokens: number; readonly most: number }
  readonly restart: () => void
  /** Assigns all following work to this phase; with null, to the phase of its own verb. */
  readonly enter: (phase: Phase | null) => void
  readonly entered: () => Phase | null
  /** Sets the state and returns the previous one. */
  readonly stepping: (now: Stepping) => Stepping
  /** Whether a model opened since `restart` rounds its products. */
  readonly rounds: () => boolean
  /** Parameters that a token passes, of the largest model opened since `restart`. */
  readonly largest: () => number
  /** The factor by which the last sampling of a step stands for more tokens than it made. */
  readonly stretched: () => number
}

/** With more tokens than these in a call, some rows stand for all: fewer rows if they make many micro-batches. */
const [manyTokens, fewTokens, enoughParts] = [2 ** 15, 2 ** 13, 32]
/** Twice as many prompts as slots stand for all prompts, but at least these. */
const fewPrompts = 32
/** The most tokens that one call makes in a training step: longer completions are cut, but counted in full length. */
const mostMade = 2 ** 17
/** Longer completions are decoded up to these lengths: the cost of a token grows by a constant with each token. */
const decoded = [2, 3, 4] as const

/** Weights of `decoded` for a completion of `length` tokens, whose cost is a quadratic polynomial of the length. */
const interpolated = (length: number): ReadonlyArray<number> =>
  decoded.map((n) => decoded.reduce((product, m) => m === n ? product : product * (length - m) / (n - m), 1))

/** A model's shape without weights, for the counting backend. */
export const withoutWeights = (raw: Weights["config"], tokenizer: Weights["tokenizer"] = new Map()): Weights => {
  const config = modelConfig(raw)
  const tensors = parameters(config, config.head).map(({ name, shape }): readonly [string, TensorData] => [
    name,
    { shape, data: unread(elements(shape)) }
  ])
  return { config: raw, tensors: new Map(tensors), tokenizer }
}

/** The outputs that a pass reads. */
type Head = Parameters<typeof cut>[1]

/** A model's shape: the `config.json` of a folder, and its tokenizer files if there are any. */
export type AssumedShape = Pick<Weights, "config" | "tokenizer">

export interface MeterOptions extends TransformerOptions {
  /** The shape of every new model, instead of its own. */
  readonly shape?: AssumedShape
  /** The cost of a backend call. */
  readonly cost?: Cost
  /** Devices that divide the state of models among them; memory is that of one. */
  readonly devices?: number
  /** The memory of packed weights on the device; by default that of our compiled kernels. */
  readonly packing?: Packing
  /** Length of every completion in tokens; `maxNewTokens` is the limit. */
  readonly completionLength?: number
  /** Whether every row of a large batch is passed. */
  readonly whole?: boolean
  /** Codecs of an earlier meter, which know the completions that it made up. */
  readonly codecs?: Codecs
}

export type Codecs = WeakMap<Weights["tokenizer"], Rehearsed>

export const countedEngine = (options: MeterOptions = {}): CountedEngine => {
  const backend = counting(options)
  const engine = transformer(backend, options)
  let [generated, trained] = [0, 0]
  let passed = 0
  /** Completions so far. */
  let written = 0
  const codecs: Codecs = options.codecs ?? new WeakMap()
  let zeros = new Int32Array(0)
  /** The rows in their full lengths. */
  const full = (batch: Batch): Batch =>
    !shortened ? batch : batch.map((row) => {
      const length = fullLengths.get(row.completion) ?? 0
      if (length === 0) return row
      if (zeros.length < length) zeros = new Int32Array(length)
      return { prompt: row.prompt, completion: zeros.subarray(0, length) }
    })
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
  let [stepping, stretched, shortened, rounds]: [Stepping, number, boolean, boolean] = ["no", 1, false, false]
  let largest = 0
  /** Opens a model. */
  const opens = <M extends Model>(of: (computing: Computing) => M, { tensors }: Weights, computing: Computing): M => {
    rounds ||= computing.precision === "bf16"
    const passed = Array.from(tensors, ([name, { data }]) => name === idleExperts ? 0 : data.length)
    largest = Math.max(largest, sum(passed))
    // The values of adapters are never read.
    const { lora } = computing
    return verb(
      stepping === "no" ? "load" : "copy",
      () => of(lora === undefined ? computing : { ...computing, lora: { ...lora, seed: null } })
    )
  }
  const verb = <A>(phase: Phase, work: () => A, times = 1): A => backend.during(entered ?? phase, work, times)
  const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0)
  /**
   * The first micro-batch of measured completions, filled to the limit by a part of the next row: completions of other
   * lengths may fill a micro-batch. Nothing where all rows are one micro-batch, or where its limit was not chosen for
   * the stage.
   */
  const filled = (batch: Batch, head: Head, computing: Computing): Batch => {
    if (entered !== "measure" || computing.microBatchTokens === undefined) return []
    const parts = partsOf(computing)
    const [first, second] = cut(batch, head, parts)
    if (second === undefined) return []
    const next = batch[second.rows[0]!]!
    const left = parts.microBatchTokens - first!.tokens
    if (left < 1) return []
    const completion = next.completion.subarray(0, left)
    const prompt = next.prompt.subarray(0, left + 1 - completion.length)
    return [...batch.slice(0, second.rows[0]), { prompt, completion }]
  }
  /**
   * Evenly spread rows of a large batch and the factor of tokens for which they stand; all rows of a smaller batch.
   * `largest` is the batch's largest micro-batch, if these rows have none as large.
   */
  const passing = (batch: Batch, head: Head, computing: Computing): {
    readonly some: Batch
    readonly largest: Batch
    readonly times: number
    readonly again: number
  } => {
    const parts = partsOf(computing)
    const lengths = batch.map(({ completion, prompt }) => prompt.length + completion.length)
    const tokens = sum(lengths)
    passed += tokens
    const enough = Math.min(manyTokens, Math.max(fewTokens, enoughParts * parts.microBatchTokens))
    const every = options.whole === true ? 1 : Math.ceil(tokens / enough)
    if (every <= 1) return { some: batch, largest: filled(batch, head, computing), times: 1, again: 0 }
    const own = sum(lengths.filter((_, i) => i % every === 0))
    const some = batch.filter((_, i) => i % every === 0)
    const times = tokens / own
    // All micro-batches but the last are recomputed before their backward pass.
    const [all, passes] = [cut(batch, head, parts), cut(some, head, parts)]
    const last = (of: typeof all): number => of.at(-1)?.tokens ?? 0
    const most = all.reduce((most, part) => part.tokens > most.tokens ? part : most)
    // With the next row, which begins another micro-batch: only the last one is not recomputed.
    const toTheLimit = filled(batch, head, computing)
    const largest = toTheLimit.length > 0
      ? toTheLimit
      : passes.some(({ tokens }) => tokens >= 0.999 * most.tokens)
      ? []
      : batch.slice(most.rows[0], most.rows[0]! + most.rows.length + 1)
    return { some, largest, times, again: (times * last(passes) - last(all)) / own }
  }

  /** The verbs of every model. */
  const common = (of: Model, head: Head, weights: Weights, computing: Computing) => {
    const { lora } = computing
    /** Micro-batches that wait for an update. */
    let waiting = 0
    /** Learns in parts of `microBatchTokens`, of which `most` are allowed. */
    const learns = (batch: Batch, microBatchTokens: number, most = microBatchTokens): void => {
      const parts = cut(batch, "tokens", { microBatchTokens })
      waiting += parts.length
      trained += offsetsOf(batch)[batch.length]!
      atOnce = {
        tokens: parts.reduce((largest, { tokens }) => Math.max(largest, tokens), atOnce.tokens),
        most: Math.max(atOnce.most, most)
      }
    }
    /** The batch that waits for its backward pass. */
    let retained = { numbers: 0, times: 1 }
    return {
      /** A pass over a batch: `read` gets some rows and returns how many numbers it read. */
      pass: (rows: Batch, retain: boolean | undefined, read: (some: Batch) => number): void => {
        const batch = full(rows)
        const { again, largest, some, times } = passing(batch, head, computing)
        const phase = retain === true ? "update" : "logps"
        // Runs for its memory, at no cost.
        if (largest.length > 0) {
          verb(phase, () => {
            const numbers = read(largest)
            if (retain === true) (of as unknown as Policy).backward(new Float64Array(numbers))
          }, 0)
        }
        const numbers = verb(phase, () => read(some), retain === true ? times + again : times)
        if (retain !== true) return
        retained = { numbers, times }
        learns(batch, partsOf(computing).microBatchTokens)
      },
      learns,
      verbs: {
        parameters: of.parameters,
        context: of.context,
        restore: of.restore,
        follow: (other, rate) => verb("update", () => of.follow(other, rate)),
        dispose: of.dispose,
        step: (update) => {
          accumulated = Math.max(accumulated, waiting)
          waiting = 0
          return verb("update", () => of.step(update))
        },
        weights: () =>
          verb("save", () => {
            // Saving merges adapters; other weights are read as they are.
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
    const { learns, pass, verbs } = common(of, "tokens", withoutWeights(weights.config, weights.tokenizer), computing)
    const config = modelConfig(weights.config)
    const windows = config.blocks.map(({ attention }) => attention.window)
    const window = windows.includes(0) ? 0 : Math.max(...windows)
    const zeroLogps = (batch: Batch) => {
      const offsets = offsetsOf(batch)
      const total = offsets[batch.length]!
      return { offsets, logps: new Float64Array(total), entropies: new Float64Array(total) }
    }
    const counted: Policy = {
      ...verbs,
      logprobs: (batch, how) => {
        pass(batch, how?.retain, (some) => of.logprobs(some, how).logps.length)
        return zeroLogps(batch)
      },
      divergences: (batch, teacher, _, how) => {
        pass(batch, how?.retain, (some) => of.divergences(some, teacher, noDivergence, how).values.length)
        const { logps: values, offsets } = zeroLogps(batch)
        return { values, offsets }
      },
      learn: (rows) => {
        const batch = full(rows)
        const { some, times } = passing(batch, "tokens", computing)
        verb("update", () => of.learn(some, ({ length }) => new Float64Array(length)), times)
        const most = mostAtOnce(config, partsOf(computing))
        learns(batch, learnedAtOnce(tokensIn(batch), most), most)
        return zeroLogps(rows)
      },
      sample: (prompts, sampling, seeds) => {
        const maxNewTokens = Math.min(sampling.maxNewTokens, options.completionLength ?? Infinity)
        const enough = Math.max(fewPrompts, 2 * (computing.slots ?? 64))
        const some = prompts.length > 2 * enough && options.whole !== true ? prompts.slice(0, enough) : prompts
        const samples = (maxNewTokens: number, stop: ReadonlyArray<number>, times: number) =>
          verb(
            "generation",
            () => of.sample(some, { ...sampling, maxNewTokens, stop }, seeds.slice(0, some.length)),
            times * prompts.length / some.length
          )
        if (options.whole === true || maxNewTokens <= 2 * decoded.length) samples(maxNewTokens, [], 1)
        else {
          // The first call may pack weights.
          samples(decoded[0], [], 1)
          samples(decoded[0], [], -1)
          // Every token is 0 here, so this call allocates the cache in its whole length and stops.
          samples(maxNewTokens, [0], 0)
          // From the length of the window on, every token costs the same.
          const within = window - sum(some.map(({ length }) => length)) / some.length + 1.5
          const grown = Math.min(maxNewTokens, window === 0 ? Infinity : Math.max(decoded.length + 1, within))
          const [now, before] = [interpolated(grown), interpolated(grown - 1)]
          decoded.forEach((n, i) => samples(n, [], now[i]! + (maxNewTokens - grown) * (now[i]! - before[i]!)))
        }
        const { completion } = speaking(weights)
        const lengths = prompts.map(({ length }) => Math.max(0, Math.min(maxNewTokens, of.context - length)))
        const total = sum(lengths)
        passed += total
        generated += total
        const most = stepping === "training" && options.whole !== true
          ? Math.max(1, Math.floor(mostMade / prompts.length))
          : Infinity
        const made = lengths.map((length) => Math.min(length, most))
        stretched = stepping === "no" ? 1 : total / Math.max(1, sum(made))
        const [tokens, logps] = [new Int32Array(sum(made)), new Float64Array(sum(made))]
        let at = 0
        return made.map((length, i) => {
          const [from, to] = [at, at += length]
          const row = completion(++written, tokens.subarray(from, to), sampling.stop[0])
          if (length < lengths[i]!) {
            fullLengths.set(row, lengths[i]!)
            shortened = true
          }
          return { completion: row, logps: logps.subarray(from, to), finished: true }
        })
      }
    }
    // With the transformer's own members.
    return { ...of, ...counted }
  }

  const scorer = (of: Scorer, weights: Weights, computing: Computing): Scorer => {
    const { pass, verbs } = common(
      of,
      "values",
      withoutWeights(withHead(weights.config, "score"), weights.tokenizer),
      computing
    )
    return {
      ...of,
      ...verbs,
      values: (batch, how) => {
        pass(batch, how?.retain, (some) => of.values(some, how).values.length)
        const offsets = offsetsOf(batch, 1)
        const values = new Float64Array(offsets[batch.length]!)
        // Scores differ: a group of equal scores may be dropped without training on it.
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
      rounds = false
      largest = 0
      backend.restart()
    },
    enter: (phase) => {
      entered = phase
    },
    entered: () => entered,
    stepping: (now) => {
      const before = stepping
      stepping = now
      if (now === "no") [stretched, shortened] = [1, false]
      return before
    },
    rounds: () => rounds,
    largest: () => largest,
    stretched: () => stretched,
    engine: {
      ...engine,
      codec: (weights) => speaking(weights).codec,
      initial: (model) => {
        if (options.shape !== undefined) return withoutWeights(options.shape.config, options.shape.tokenizer)
        // A narrow model gets its real sizes afterwards: this draws no numbers that are never read.
        const { config, tokenizer } = initial({ ...model, layers: 1, dim: 2 * model.heads, ffn: 1 })
        const { dim, ffn, layers } = model
        const sized = { ...config, hidden_size: dim, intermediate_size: ffn, num_hidden_layers: layers }
        modelConfig(sized)
        return withoutWeights(sized, tokenizer)
      },
      policy: (weights, computing = {}) =>
        policy(opens((how) => engine.policy(weights, how), weights, computing), weights, computing),
      scorer: (weights, computing = {}) =>
        scorer(opens((how) => engine.scorer(weights, how), weights, computing), weights, computing)
    }
  }
}
