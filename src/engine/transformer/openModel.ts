import { type ModelConfig } from "../../model/config.ts"
import type { Backend } from "../../tensor/backend.ts"
import type { Computing, Model, Precision, Weights } from "../engine.ts"
import { loraTrainable } from "./lora.ts"
import type { PassLimits } from "./packing.ts"
import { type Passes, passes } from "./passes.ts"
import { type RotaryTables, rotaryTables } from "./rotary.ts"
import { type Trainable, trainable } from "./trainable.ts"
import { type Workspace, workspace } from "./workspace.ts"

/** Shared by policy and scorer: parameters in backend memory, passes over batches, and the verbs of `Model`. */
export interface OpenedModel {
  /** In the model's precision. */
  readonly backend: Backend
  /** The backend in any precision. */
  readonly at: (precision: Precision) => Backend
  readonly config: ModelConfig
  readonly limits: PassLimits
  /** Sequences sampled at the same time; further prompts wait until enough of them have ended. */
  readonly slots: number
  readonly trainable: Trainable
  readonly rotary: RotaryTables
  readonly space: Workspace
  readonly passes: Passes
  readonly model: Model
}

/** Decisions of the engine (`microBatchTokens`) and of a description. */
export interface Options extends Computing {
  readonly microBatchTokens: number
  readonly slots: number
}

export const openModel = (
  chosen: Backend,
  config: ModelConfig,
  weights: Weights,
  options: Options & {
    readonly head: ModelConfig["head"]
    /** Parameters that start at zero when the weights do not hold them. */
    readonly fresh: ReadonlyArray<string>
  }
): OpenedModel => {
  const at = (precision: Precision): Backend => precision === "f32" ? chosen : chosen.at(precision)
  const backend = at(options.precision ?? "f32")
  // By itself: a closure over `weights` would keep a copy of every parameter on the host.
  const { tokenizer } = weights
  const carried = [...weights.tensors].filter(([name]) => config.carried?.test(name) === true)
  const limits = { vocab: config.vocab, context: config.context, microBatchTokens: options.microBatchTokens }
  const of = [backend, config, options.head, weights, new Set(options.fresh)] as const
  const held = options.lora === undefined ? trainable(...of) : loraTrainable(...of, options.lora)
  const rotary = rotaryTables(backend, config)
  const space = workspace(backend)
  const run = passes(backend, config, held, rotary, space, limits, {
    reads: options.head === "score" ? "values" : "tokens",
    recompute: options.recompute ?? false
  })
  const model: Model = {
    parameters: held.count,
    context: config.context,
    step: (update) => {
      run.forget()
      return held.step(update)
    },
    weights: () => {
      const adapter = held.adapter()
      const tensors = carried.length === 0 ? held.tensors() : new Map([...held.tensors(), ...carried])
      return { config: config.raw, tensors, tokenizer, ...(adapter === undefined ? {} : { adapter }) }
    },
    follow: (of, rate) => {
      const { opened } = of as Model & { readonly opened?: OpenedModel }
      if (opened === undefined) throw new Error("The followed model is not a transformer: both share an engine.")
      run.forget()
      held.follow(opened.trainable, rate)
    },
    optimizer: held.optimizer,
    restore: held.restore,
    dispose: () => {
      run.dispose()
      space.dispose()
      rotary.dispose()
      held.dispose()
    }
  }
  return { backend, at, config, limits, slots: options.slots, trainable: held, rotary, space, passes: run, model }
}
