import type { ModelConfig } from "../../model/config.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { Optimizer, TensorData, Tensors, Update, Weights } from "../engine.ts"
import { layout, type ModelParameters, type Place } from "./layout.ts"

/**
 * The parameters of a model in one flat buffer, with the gradient and the two moments of AdamW beside it in the same
 * layout, so that the norm and the update are one kernel each. Gradient and moments exist from the first backward pass or
 * update on: a frozen reference model holds its parameters alone.
 */
export interface Trainable {
  /** Number of parameters. */
  readonly count: number
  readonly parameters: ModelParameters
  readonly gradients: () => ModelParameters
  readonly step: (update: Update) => number
  /** Changes whenever the parameters do: what was derived from them has to be derived again. */
  readonly version: () => number
  /** A copy of every parameter under its Hugging Face name. */
  readonly tensors: () => Tensors
  readonly optimizer: () => Optimizer
  readonly restore: (optimizer: Optimizer) => void
  readonly dispose: () => void
}

const firstMoment = "exp_avg."
const secondMoment = "exp_avg_sq."

export const trainable = (
  backend: Backend,
  config: ModelConfig,
  head: ModelConfig["head"],
  weights: Weights,
  /** Parameters that start at zero when `weights` do not hold them. */
  fresh: ReadonlySet<string>
): Trainable => {
  const { length, places, view } = layout(backend, config, head)

  const load = (flat: Tensor, tensors: Tensors, prefix: string, absent: (place: Place) => boolean): void => {
    for (const place of places) {
      const found = tensors.get(prefix + place.name)
      if (found === undefined) {
        if (absent(place)) backend.zero(backend.slice(flat, place.start, place.length))
        else {throw new Error(
            `The weights have no tensor "${prefix}${place.name}"; it should be [${place.shape.join(", ")}].`
          )}
      } else {
        if (found.shape.join() !== place.shape.join() || found.data.length !== place.length) {
          throw new Error(
            `Tensor "${prefix}${place.name}" is [${found.shape.join(", ")}], its config wants [${
              place.shape.join(", ")
            }].`
          )
        }
        backend.write(flat, found.data, place.start)
      }
    }
  }
  const save = (flat: Tensor, prefix: string): ReadonlyArray<readonly [string, TensorData]> =>
    places.map(({ length, name, shape, start }) => {
      const data = backend.read(backend.slice(flat, start, length))
      return [prefix + name, { shape, data }]
    })

  const params = backend.reals(length)
  let gradient: { readonly flat: Tensor; readonly view: ModelParameters } | null = null
  let moments: { readonly first: Tensor; readonly second: Tensor } | null = null
  let steps = 0
  let version = 0

  const free = (): void => {
    if (gradient !== null) backend.free(gradient.flat)
    if (moments !== null) {
      backend.free(moments.first)
      backend.free(moments.second)
    }
    gradient = null
    moments = null
  }
  const gradients = () => {
    if (gradient === null) {
      const flat = backend.reals(length)
      backend.zero(flat)
      gradient = { flat, view: view(flat) }
    }
    return gradient
  }
  const ensureMoments = () => {
    if (moments === null) {
      moments = { first: backend.reals(length), second: backend.reals(length) }
      backend.zero(moments.first)
      backend.zero(moments.second)
    }
    return moments
  }

  try {
    load(params, withHead(weights.tensors, config), "", ({ name }) => fresh.has(name))
  } catch (error) {
    backend.free(params)
    throw error
  }
  return {
    count: length,
    parameters: view(params),
    gradients: () => gradients().view,
    step: ({ betas: [beta1, beta2], eps, learningRate, maxGradNorm, weightDecay }) => {
      const { flat } = gradients()
      const norm = Math.sqrt(backend.sumSquares(flat))
      if (!Number.isFinite(norm)) {
        // The caller sees the norm and stops; the parameters stay those of the last good update.
        backend.zero(flat)
        return norm
      }
      const { first, second } = ensureMoments()
      steps++
      version++
      const gradScale = norm > maxGradNorm ? maxGradNorm / norm : 1
      backend.adamw(params, flat, first, second, {
        learningRate,
        beta1,
        beta2,
        eps,
        weightDecay,
        step: steps,
        gradScale
      })
      return norm
    },
    version: () => version,
    tensors: () => new Map(save(params, "")),
    optimizer: () => ({
      step: steps,
      tensors: new Map(
        moments === null ? [] : [...save(moments.first, firstMoment), ...save(moments.second, secondMoment)]
      )
    }),
    restore: (optimizer) => {
      if (optimizer.step > 0 && optimizer.tensors.size === 0) {
        throw new Error(`The optimiser made ${optimizer.step} updates but has no moments: its file is not whole.`)
      }
      free()
      steps = optimizer.step
      if (optimizer.tensors.size === 0) return
      const { first, second } = ensureMoments()
      load(first, optimizer.tensors, firstMoment, () => false)
      load(second, optimizer.tensors, secondMoment, () => false)
    },
    dispose: () => {
      free()
      backend.free(params)
    }
  }
}

/** Either of the embedding and the output matrix may stand for both (a checkpoint of a tied model holds one of them). */
const withHead = (tensors: Tensors, config: ModelConfig): Tensors => {
  const embed = tensors.get("model.embed_tokens.weight")
  const head = tensors.get("lm_head.weight")
  if (config.tied && embed === undefined && head !== undefined) {
    return new Map([...tensors, ["model.embed_tokens.weight", head]])
  }
  return tensors
}
