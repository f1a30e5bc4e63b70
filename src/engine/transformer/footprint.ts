/**
 * The memory that a piece of work takes, before any of it is done: the engine itself runs it on a backend that only counts,
 * without the weights. So it is what the engine allocates, buffer by buffer, and stays so when the engine changes.
 */
import { modelConfig } from "../../model/config.ts"
import { elements, parameters } from "../../model/parameters.ts"
import type { Batch, Computing, Policy, Sampling, Scorer, TensorData, Weights } from "../engine.ts"
import { counting, unread } from "../../tensor/counting/backend.ts"
import { transformer, type TransformerOptions } from "./transformer.ts"

/** A model that is open while the work is done, all of them together. */
export interface Open {
  readonly name: string
  readonly kind: "policy" | "scorer"
  /** Hugging Face `config.json`. */
  readonly config: Weights["config"]
  readonly computing?: Computing
}

/** Something a stage has a model do. */
export type Work =
  | {
    readonly verb: "sample"
    readonly model: string
    readonly prompts: ReadonlyArray<Int32Array>
    readonly maxNewTokens: number
  }
  /** Log-probabilities or values. */
  | { readonly verb: "score"; readonly model: string; readonly rows: Batch }
  /** Forward and backward pass, and an update. */
  | { readonly verb: "train"; readonly model: string; readonly rows: Batch }
  /** The same, in the parts that `learn` takes. */
  | { readonly verb: "learn"; readonly model: string; readonly rows: Batch }

/** What takes memory, bytes. */
export interface Term {
  readonly what: string
  readonly bytes: number
}

export interface Footprint {
  /** The most held at any one time. */
  readonly bytes: number
  /** Largest first; they add up to `bytes`. */
  readonly terms: ReadonlyArray<Term>
  /** The most held up to the end of each phase, in order. */
  readonly phases: ReadonlyArray<{ readonly phase: Work["verb"] | "open"; readonly bytes: number }>
}

/** A model by its shape alone, for the counting backend. */
export const withoutWeights = (raw: Weights["config"], tokenizer: Weights["tokenizer"] = new Map()): Weights => {
  const config = modelConfig(raw)
  const tensors = parameters(config, config.head).map(({ name, shape }): readonly [string, TensorData] => [
    name,
    { shape, data: unread(elements(shape)) }
  ])
  return { config: raw, tensors: new Map(tensors), tokenizer }
}

const plain = { temperature: 1, topK: 0, topP: 1 } satisfies Partial<Sampling>
const anyUpdate = { learningRate: 0, betas: [0, 0], eps: 1, weightDecay: 0, maxGradNorm: 1 } as const

export const footprint = (
  models: ReadonlyArray<Open>,
  work: ReadonlyArray<Work>,
  options: TransformerOptions & { readonly alignment?: number; readonly realBytes?: number } = {}
): Footprint => {
  const backend = counting(options)
  const engine = transformer(backend, options)
  const opened = new Map<string, Policy | Scorer>(models.map(({ computing, config, kind, name }) => {
    const weights = withoutWeights(config)
    return [name, kind === "policy" ? engine.policy(weights, computing) : engine.scorer(weights, computing)]
  }))
  const of = (name: string): Policy | Scorer => opened.get(name)!
  const score = (model: Policy | Scorer, rows: Batch, retain: boolean): number =>
    "sample" in model ? model.logprobs(rows, { retain }).logps.length : model.values(rows, { retain }).values.length

  const names = models.map(({ name }) => name).join(", ")
  const terms: Record<Work["verb"] | "open" | "update", Term> = {
    open: { what: `weights of ${names}`, bytes: backend.memory().peak },
    update: { what: "gradients and AdamW moments", bytes: 0 },
    sample: { what: "KV cache and other buffers of sampling", bytes: 0 },
    score: { what: "passes without gradient", bytes: 0 },
    train: { what: "activations and their gradients", bytes: 0 },
    learn: { what: "activations and their gradients", bytes: 0 }
  }
  const phases: Array<Footprint["phases"][number]> = [{ phase: "open", bytes: terms.open.bytes }]
  const grow = (key: keyof typeof terms, bytes: number) => {
    terms[key] = { ...terms[key], bytes: terms[key].bytes + bytes }
  }
  const trained = new Set<string>()
  for (const doing of work) {
    const model = of(doing.model)
    const before = backend.memory().peak
    switch (doing.verb) {
      case "sample": {
        const { maxNewTokens, prompts } = doing
        if (!("sample" in model)) throw new Error(`${doing.model} is a scorer and samples nothing.`)
        const seeds = prompts.map((_, i) => String(i))
        // Every token is 0 here. The cache in its whole length, and then one step with it, without doing all of them.
        model.sample(prompts, { ...plain, maxNewTokens, stop: [0] }, seeds)
        model.sample(prompts, { ...plain, maxNewTokens: Math.min(2, maxNewTokens), stop: [] }, seeds)
        break
      }
      case "score":
        score(model, doing.rows, false)
        break
      case "train":
        model.backward(new Float64Array(score(model, doing.rows, true)))
        model.step(anyUpdate)
        break
      case "learn":
        if (!("sample" in model)) throw new Error(`${doing.model} is a scorer and has no verb to learn by.`)
        model.learn(doing.rows, (logps) => new Float64Array(logps.length))
        model.step(anyUpdate)
    }
    const grown = backend.memory().peak - before
    const trains = doing.verb === "train" || doing.verb === "learn"
    const updating = trains && !trained.has(doing.model) ? 3 * backend.realBytes * model.parameters : 0
    if (trains) trained.add(doing.model)
    grow("update", Math.min(updating, grown))
    grow(doing.verb, grown - Math.min(updating, grown))
    phases.push({ phase: doing.verb, bytes: backend.memory().peak })
  }
  return {
    bytes: backend.memory().peak,
    terms: Object.values(terms).filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes),
    phases
  }
}
