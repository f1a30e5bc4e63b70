import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { Optimizer, TensorData, Tensors, Update } from "../engine.ts"
import { reordered } from "../../model/parameters.ts"
import type { Place } from "./layout.ts"

/** Writes named tensors to a flat buffer. Throws for a missing tensor (unless `absent`: then 0) or a wrong shape. */
export const loadState = (
  backend: Backend,
  places: ReadonlyArray<Place>,
  flat: Tensor,
  tensors: Tensors,
  prefix: string,
  absent: (place: Place) => boolean = () => false
): void => {
  for (const place of places) {
    const { length, shape, start } = place
    const name = prefix + place.name
    const wanted = `[${shape.join(", ")}]`
    const found = tensors.get(name)
    if (found === undefined) {
      if (!absent(place)) throw new Error(`The weights have no tensor "${name}"; it should be ${wanted}.`)
      backend.zero(backend.slice(flat, start, length))
    } else if (found.shape.join() !== shape.join() || found.data.length !== length) {
      throw new Error(`Tensor "${name}" is [${found.shape.join(", ")}], its config wants ${wanted}.`)
    } else backend.write(flat, reordered(place, found.data, "kernel"), start)
  }
}

/** Copies of the named tensors of a flat buffer. */
export const saveState = (
  backend: Backend,
  places: ReadonlyArray<Place>,
  flat: Tensor,
  prefix: string
): ReadonlyArray<readonly [string, TensorData]> =>
  places.map((place) => {
    const { length, name, shape, start } = place
    const data = backend.read(backend.slice(flat, start, length))
    return [prefix + name, { shape, data: reordered(place, data, "file") }]
  })

/** Stretches of the flat buffer that decay, and that do not: norms and biases, all of one dimension, as transformers has it. */
const stretches = (places: ReadonlyArray<Place>, length: number) => {
  const all: Array<{ start: number; readonly decays: boolean }> = []
  for (const { shape, start } of places) {
    const decays = shape.length > 1
    if (all.at(-1)?.decays !== decays) all.push({ start: all.length === 0 ? 0 : start, decays })
  }
  return all.map(({ decays, start }, i) => ({ decays, start, length: (all[i + 1]?.start ?? length) - start }))
}

const firstMoment = "exp_avg."
const secondMoment = "exp_avg_sq."

/**
 * The gradient and the two moments of AdamW of a flat buffer of parameters, in the same layout, so that the norm and the update
 * are one kernel each. They exist from the first backward pass or update on: a frozen model holds its parameters alone.
 */
export interface Optimised {
  readonly gradient: () => Tensor
  readonly step: (update: Update) => number
  /** Changes whenever the parameters do. */
  readonly version: () => number
  /** The parameters were changed by something else. */
  readonly changed: () => void
  readonly optimizer: () => Optimizer
  readonly restore: (optimizer: Optimizer) => void
  /** Frees gradient and moments. */
  readonly free: () => void
}

export const optimised = (
  backend: Backend,
  places: ReadonlyArray<Place>,
  params: Tensor,
  /** Before each update: sets the gradient of untrained elements to 0. */
  mask: (gradient: Tensor) => void = () => {}
): Optimised => {
  const { length } = params
  const decayed = stretches(places, length)
  let gradient: Tensor | null = null
  let moments: { readonly first: Tensor; readonly second: Tensor } | null = null
  let steps = 0
  let version = 0

  const free = (): void => {
    for (const buffer of [gradient, moments?.first, moments?.second]) if (buffer) backend.free(buffer)
    gradient = null
    moments = null
  }
  const zeros = (what: "gradients" | "optimizer"): Tensor => {
    const flat = backend.reals(length, what)
    backend.zero(flat)
    return flat
  }
  const ensureGradient = (): Tensor => (gradient ??= zeros("gradients"))
  const ensureMoments = () => (moments ??= { first: zeros("optimizer"), second: zeros("optimizer") })

  return {
    gradient: ensureGradient,
    step: ({ betas: [beta1, beta2], eps, learningRate, maxGradNorm, weightDecay }) => {
      const flat = ensureGradient()
      mask(flat)
      const norm = Math.sqrt(backend.sumSquares(flat))
      if (!Number.isFinite(norm)) {
        // The caller sees the norm and stops; the parameters stay as after the last good update.
        backend.zero(flat)
        return norm
      }
      const { first, second } = ensureMoments()
      steps++
      version++
      const gradScale = norm > maxGradNorm ? maxGradNorm / norm : 1
      const update = { learningRate, beta1, beta2, eps, weightDecay, step: steps, gradScale }
      if (weightDecay === 0) backend.adamw(params, flat, first, second, update)
      else {
        for (const { decays, length: count, start } of decayed) {
          const of = (buffer: Tensor) => backend.slice(buffer, start, count)
          backend.adamw(of(params), of(flat), of(first), of(second), decays ? update : { ...update, weightDecay: 0 })
        }
      }
      return norm
    },
    version: () => version,
    changed: () => {
      version++
    },
    optimizer: () => ({
      step: steps,
      tensors: new Map(
        moments === null ? [] : [
          ...saveState(backend, places, moments.first, firstMoment),
          ...saveState(backend, places, moments.second, secondMoment)
        ]
      )
    }),
    restore: (optimizer) => {
      if (optimizer.step > 0 && optimizer.tensors.size === 0) {
        throw new Error(`The optimiser made ${optimizer.step} updates but has no moments: its file is incomplete.`)
      }
      free()
      version++
      steps = optimizer.step
      if (optimizer.step === 0) return
      const { first, second } = ensureMoments()
      loadState(backend, places, first, optimizer.tensors, firstMoment)
      loadState(backend, places, second, optimizer.tensors, secondMoment)
    },
    free
  }
}
