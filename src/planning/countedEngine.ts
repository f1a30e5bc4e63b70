/**
 * The transformer without weights and without arithmetic, with a meter: what the stages' own code asks of it is counted, verb by
 * verb. Completions reach `maxNewTokens`, the last token ends them, and no two of a call are alike.
 */
import { modelConfig, withHead } from "../model/config.ts"
import { elements, parameters } from "../model/parameters.ts"
import type { Batch, Computing, Engine, Model, Packing, Policy, Scorer, TensorData, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { type Cost, type CountedWork, counting, type Held, unread } from "../tensor/counting/backend.ts"
import { initial } from "../engine/transformer/initial.ts"
import { cut } from "../engine/transformer/packing.ts"
import { learnedAtOnce, mostAtOnce, tokensIn } from "../engine/transformer/passes.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import { fullLengths, lengths, type Rehearsed, rehearsed } from "./placeholderText.ts"
import { microBatchTokens, transformer, type TransformerOptions } from "../engine/transformer/transformer.ts"

export interface Amounts {
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
  /** Tokens in any pass, prompts too. */
  readonly passed: number
}

/** Whether steps are being made: a model that is opened then takes the place of another, and what is sampled while training serves the step alone. */
export type Stepping = "no" | "steps" | "training"

export interface CountedEngine {
  readonly engine: Engine
  /** What was done so far. */
  readonly amounts: () => Amounts
  readonly spentIn: () => ReadonlyMap<Phase, CountedWork>
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
  /** Says what begins; answers what it was before. */
  readonly stepping: (now: Stepping) => Stepping
  /** Whether a model that was opened since `restart` rounds its products. */
  readonly rounds: () => boolean
  /** How many times as many tokens as it made the last sampling of a step stands for. */
  readonly stretched: () => number
}

/** Rows of more tokens than these in one call are alike enough for some of them to stand for all: fewer where they are many micro-batches. */
const [manyTokens, fewTokens, enoughParts] = [2 ** 15, 2 ** 13, 32]
/** Twice as many of the prompts that are sampled from as there are slots stand for all, but no fewer than these. */
const fewPrompts = 32
/** Tokens that a call makes in a step of training: of longer completions only beginnings are made, and every verb counts their full lengths. */
const mostMade = 2 ** 17
/** Completions that are longer are decoded up to these lengths: a token costs more than the one before it by as much each time. */
const decoded = [2, 3, 4] as const

/** How many times each of `decoded` counts for a completion of `length` tokens, whose cost is a polynomial of the second degree in them. */
const interpolated = (length: number): ReadonlyArray<number> =>
  decoded.map((n) => decoded.reduce((product, m) => m === n ? product : product * (length - m) / (n - m), 1))

/** A model by its shape alone, for the counting backend. */
export const withoutWeights = (raw: Weights["config"], tokenizer: Weights["tokenizer"] = new Map()): Weights => {
  const config = modelConfig(raw)
  const tensors = parameters(config, config.head).map(({ name, shape }): readonly [string, TensorData] => [
    name,
    { shape, data: unread(elements(shape)) }
  ])
  return { config: raw, tensors: new Map(tensors), tokenizer }
}

/** What a pass reads. */
type Head = Parameters<typeof cut>[1]

/** A model by its shape: the `config.json` and the tokenizer files of a folder, if it has any. */
export type AssumedShape = Pick<Weights, "config" | "tokenizer">

export interface MeterOptions extends TransformerOptions {
  /** What every model that is made from nothing has instead of its own. */
  readonly shape?: AssumedShape
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

export const countedEngine = (options: MeterOptions = {}): CountedEngine => {
  const backend = counting(options)
  const engine = transformer(backend, options)
  let [generated, trained] = [0, 0]
  let passed = 0
  /** Completions so far. */
  let written = 0
  const codecs: Codecs = options.codecs ?? new WeakMap()
  let zeros = new Int32Array(0)
  /** Rows in their full lengths. */
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
  /** Opens a model. */
  const opens = <M extends Model>(of: (computing: Computing) => M, computing: Computing): M => {
    rounds ||= computing.precision === "bf16"
    // Nobody looks at the numbers of adapters.
    const { lora } = computing
    return verb(
      stepping === "no" ? "load" : "copy",
      () => of(lora === undefined ? computing : { ...computing, lora: { ...lora, seed: null } })
    )
  }
  const verb = <A>(phase: Phase, work: () => A, times = 1): A => backend.during(entered ?? phase, work, times)
  const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0)
  /**
   * Some rows of a large batch, evenly spread, and for how many times as many tokens they stand; all of a smaller one. `largest` is its
   * largest micro-batch, where these have none as large.
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
    if (every <= 1) return { some: batch, largest: [], times: 1, again: 0 }
    const own = sum(lengths.filter((_, i) => i % every === 0))
    const some = batch.filter((_, i) => i % every === 0)
    const times = tokens / own
    // All micro-batches but the last are computed again before they go backward.
    const [all, passes] = [cut(batch, head, parts), cut(some, head, parts)]
    const last = (of: typeof all): number => of.at(-1)?.tokens ?? 0
    const most = all.reduce((most, part) => part.tokens > most.tokens ? part : most)
    // With the row after it, which begins another: the last one alone is not computed again.
    const largest = passes.some(({ tokens }) => tokens >= most.tokens)
      ? []
      : batch.slice(most.rows[0], most.rows[0]! + most.rows.length + 1)
    return { some, largest, times, again: (times * last(passes) - last(all)) / own }
  }

  /** The verbs that any model has. */
  const common = (of: Model, head: Head, weights: Weights, computing: Computing) => {
    const { lora } = computing
    /** Micro-batches that wait for an update. */
    let waiting = 0
    /** In parts of so many tokens, of which there might be `most`. */
    const learns = (batch: Batch, microBatchTokens: number, most = microBatchTokens): void => {
      const parts = cut(batch, head, { microBatchTokens })
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
      pass: (rows: Batch, retain: boolean | undefined, read: (some: Batch) => number): void => {
        const batch = full(rows)
        const { again, largest, some, times } = passing(batch, head, computing)
        const phase = retain === true ? "update" : "logps"
        // For what it holds.
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
    const { learns, pass, verbs } = common(of, "tokens", withoutWeights(weights.config, weights.tokenizer), computing)
    const config = modelConfig(weights.config)
    const { window } = config
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
      divergences: (batch, teacher, divergence, how) => {
        pass(batch, how?.retain, (some) => of.divergences(some, teacher, divergence, how).values.length)
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
          // The first time weights may be packed.
          samples(decoded[0], [], 1)
          samples(decoded[0], [], -1)
          // Every token is 0 here: the cache in its whole length, for what it holds.
          samples(maxNewTokens, [0], 0)
          // From a window's length on, a token costs what the one before it does.
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
    // With the members that are the transformer's own.
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
      ...verbs,
      values: (batch, how) => {
        pass(batch, how?.retain, (some) => of.values(some, how).values.length)
        const offsets = offsetsOf(batch, 1)
        const values = new Float64Array(offsets[batch.length]!)
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
      rounds = false
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
    stretched: () => stretched,
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
        policy(opens((how) => engine.policy(weights, how), computing), weights, computing),
      scorer: (weights, computing = {}) =>
        scorer(opens((how) => engine.scorer(weights, how), computing), weights, computing)
    }
  }
}
