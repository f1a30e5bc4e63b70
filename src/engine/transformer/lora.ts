import type { ModelConfig } from "../../model/config.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { Adapter, Lora, TensorData, Tensors, Weights } from "../engine.ts"
import { reordered } from "../../model/parameters.ts"
import { type AdapterPair, adapters } from "./adapters.ts"
import { layout, type Place } from "./layout.ts"
import { loadState, optimised, saveState } from "./adamwState.ts"
import { type Trainable, withHead } from "./trainable.ts"

/** A model with frozen parameters and trained adapters. A scalar head, which no adapter reaches, is trained too. */
export const loraTrainable = (
  backend: Backend,
  config: ModelConfig,
  head: ModelConfig["head"],
  weights: Weights,
  fresh: ReadonlySet<string>,
  lora: Lora
): Trainable => {
  const { length, places, view } = layout(backend, config, head)
  const scalar = head === "score" ? places.find(({ name }) => name === "score.weight")! : undefined
  const held: { values: Tensor; gradient: () => Tensor } = { values: undefined as never, gradient: undefined as never }
  const low = adapters(backend, config, lora, { values: () => held.values, gradient: () => held.gradient() })
  const own: ReadonlyArray<Place> = scalar === undefined
    ? low.places
    : [...low.places, { ...scalar, start: low.length }]
  const count = low.length + (scalar?.length ?? 0)

  const params = backend.reals(length, "weights")
  held.values = backend.reals(count, "weights")
  const state = optimised(backend, own, held.values, low.mask)
  held.gradient = state.gradient
  const headOf = (flat: Tensor): Tensor | null =>
    scalar === undefined ? null : backend.slice(flat, low.length, scalar.length)
  const dispose = (): void => {
    state.free()
    low.dispose()
    backend.free(held.values)
    backend.free(params)
  }
  try {
    loadState(backend, places, params, withHead(weights.tensors, config), "", ({ name }) => fresh.has(name))
  } catch (error) {
    dispose()
    throw error
  }
  low.initialise(held.values, lora.seed)
  if (scalar !== undefined) backend.copy(headOf(held.values)!, backend.slice(params, scalar.start, scalar.length))

  const base = view(params)
  const at = new Map(places.map((place) => [place.name, place]))

  // Not rounded to bf16, whatever the precision of the model's products.
  const exact = backend.at("f32")
  /** Bᵀ [r, out] of a projection by itself: its block may hold others beside it. */
  const transposed = ({ b, outputs, stride }: AdapterPair): Tensor => {
    const rows = exact.reals(outputs * lora.rank, "merged")
    for (let i = 0; i < lora.rank; i++) {
      exact.copy(exact.slice(rows, i * outputs, outputs), exact.slice(held.values, b + i * stride, outputs))
    }
    return rows
  }
  const down = ({ a, inputs }: AdapterPair): Tensor => exact.slice(held.values, a, lora.rank * inputs)
  /** sum [out, in] += xᵀ y of x [r, out] and y [r, in]: the gradient of a weight. */
  const addProduct = (sum: Tensor, x: Tensor, y: Tensor, inputs: number, outputs: number): void =>
    exact.linearBackward({ dX: null, accumulate: false, dW: sum, dBias: null }, x, y, sum, lora.rank, inputs, outputs)
  /** W + (α/r) B A */
  const merged = (pair: AdapterPair): TensorData => {
    const { inputs, module, outputs } = pair
    const place = at.get(`${module}.weight`)!
    const { length, shape, start } = place
    const sum = exact.reals(length, "merged")
    const b = transposed(pair)
    exact.copy(sum, exact.slice(params, start, length))
    exact.write(b, exact.read(b).map((x) => x * lora.alpha / lora.rank))
    addProduct(sum, b, down(pair), inputs, outputs)
    const data = reordered(place, exact.read(sum), "file")
    exact.free(sum)
    exact.free(b)
    return { shape, data }
  }
  /** B [out, r], which is Bᵀᵀ I. */
  const up = (pair: AdapterPair): TensorData => {
    const { outputs } = pair
    const { rank } = lora
    const [sum, b, one] = [exact.reals(outputs * rank, "merged"), transposed(pair), exact.reals(rank * rank)]
    exact.zero(sum)
    exact.write(one, Float64Array.from({ length: rank * rank }, (_, i) => i % (rank + 1) === 0 ? 1 : 0))
    addProduct(sum, b, one, rank, outputs)
    const data = exact.read(sum)
    for (const buffer of [sum, b, one]) exact.free(buffer)
    // PEFT adds to the module's own outputs, whatever the order in which the file holds its weight.
    const rowOf = at.get(`${pair.module}.weight`)!.order?.rowOf
    const shape = [outputs, rank]
    return { shape, data: rowOf === undefined ? data : reordered({ name: "", shape, order: { rowOf } }, data, "file") }
  }

  const tensors = (): Tensors => {
    const changed = new Map(low.pairs.map((pair) => [`${pair.module}.weight`, merged(pair)]))
    if (scalar !== undefined) {
      changed.set(scalar.name, { shape: scalar.shape, data: backend.read(headOf(held.values)!) })
    }
    return new Map(places.map((place) => [
      place.name,
      changed.get(place.name) ?? saveState(backend, [place], params, "")[0]![1]
    ]))
  }

  return {
    // Without the blocks that would mix projections.
    count: low.pairs.reduce((sum, { inputs, outputs }) => sum + lora.rank * (inputs + outputs), scalar?.length ?? 0),
    parameters: { ...base, head: headOf(held.values) ?? base.head },
    gradients: () => ({ embed: null, positions: null, layers: null, norm: null, head: headOf(state.gradient()) }),
    adapters: low,
    step: state.step,
    // Adapters have no derived data, and the rest never changes.
    version: () => 0,
    tensors,
    merged: (use) => {
      const flat = backend.reals(length, "merged")
      try {
        loadState(backend, places, flat, tensors(), "")
        use(flat)
      } finally {
        backend.free(flat)
      }
    },
    follow: () => {
      throw new Error("A model with adapters follows no other: open it without them.")
    },
    adapter: (): Adapter => {
      const { alpha, rank } = lora
      return {
        rank,
        alpha,
        targetModules: [...new Set(low.pairs.map(({ module }) => module.slice(module.lastIndexOf(".") + 1)))],
        head: scalar === undefined ? null : { shape: scalar.shape, data: backend.read(headOf(held.values)!) },
        pairs: new Map(low.pairs.map((pair) => {
          const a = { shape: [rank, pair.inputs], data: exact.read(down(pair)) }
          return [pair.module, { a, b: up(pair) }]
        }))
      }
    },
    optimizer: () => {
      const { step, tensors } = state.optimizer()
      // The adapters are not in the weights that the model was opened from, so they go with the state.
      return { step, tensors: new Map([...tensors, ...saveState(backend, own, held.values, "")]) }
    },
    restore: (optimizer) => {
      loadState(backend, own, held.values, optimizer.tensors, "")
      state.restore(optimizer)
    },
    dispose
  }
}
