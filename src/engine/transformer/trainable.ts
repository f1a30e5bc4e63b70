import type { ModelConfig } from "../../model/config.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { Adapter, Optimizer, Tensors, Update, Weights } from "../engine.ts"
import type { Adapters } from "./adapters.ts"
import { type Gradients, layout, type ModelParameters } from "./layout.ts"
import { loadState, optimised, saveState } from "./adamwState.ts"

/** The parameters of a model in one flat buffer, and updates of the trained part: all, or adapters (`lora.ts`). */
export interface Trainable {
  /** Number of trained parameters. */
  readonly count: number
  readonly parameters: ModelParameters
  readonly gradients: () => Gradients
  /** Low-rank adapters beside the parameters, which are then frozen. */
  readonly adapters: Adapters | null
  readonly step: (update: Update) => number
  /** Changes whenever the parameters do: derived data has to be derived again. */
  readonly version: () => number
  /** A copy of every parameter under its Hugging Face name, adapters merged. */
  readonly tensors: () => Tensors
  /** The adapters that are merged into `tensors`. */
  readonly adapter: () => Adapter | undefined
  /** Runs `use` on all parameters in one buffer, adapters merged. */
  readonly merged: (use: (flat: Tensor) => void) => void
  /** As `Model.follow`. */
  readonly follow: (of: Trainable, rate: number) => void
  readonly optimizer: () => Optimizer
  readonly restore: (optimizer: Optimizer) => void
  readonly dispose: () => void
}

export const trainable = (
  backend: Backend,
  config: ModelConfig,
  head: ModelConfig["head"],
  weights: Weights,
  /** Parameters that start at zero when `weights` do not hold them. */
  fresh: ReadonlySet<string>
): Trainable => {
  const { length, places, view } = layout(backend, config, head)
  const params = backend.reals(length, "weights")
  const state = optimised(backend, places, params)
  let gradients: ModelParameters | null = null
  try {
    loadState(backend, places, params, withHead(weights.tensors, config), "", ({ name }) => fresh.has(name))
  } catch (error) {
    backend.free(params)
    throw error
  }
  return {
    count: length,
    parameters: view(params),
    gradients: () => (gradients ??= view(state.gradient())),
    adapters: null,
    step: state.step,
    version: state.version,
    tensors: () => new Map(saveState(backend, places, params, "")),
    adapter: () => undefined,
    merged: (use) => use(params),
    follow: (of, rate) => {
      of.merged((flat) => backend.lerp(params, flat, rate))
      state.changed()
    },
    optimizer: state.optimizer,
    restore: (optimizer) => {
      gradients = null
      state.restore(optimizer)
    },
    dispose: () => {
      state.free()
      backend.free(params)
    }
  }
}

/** The embedding or the output matrix may stand for both: a checkpoint of a tied model holds only one of them. */
export const withHead = (tensors: Tensors, { names, tied }: ModelConfig): Tensors => {
  const embed = `${names.embed}.weight`
  const head = tensors.get(`${names.head}.weight`)
  return tied && !tensors.has(embed) && head !== undefined ? new Map([...tensors, [embed, head]]) : tensors
}
