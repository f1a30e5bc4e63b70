import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { OpenedModel } from "./openModel.ts"

/** Keys and values of every layer, [slots, capacity, kvHeads · headDim]: a slot is a sequence in progress. */
export interface Cache {
  readonly keys: ReadonlyArray<Tensor>
  readonly values: ReadonlyArray<Tensor>
  readonly kvHeads: number
  readonly headDim: number
  readonly capacity: number
}

/** The memory stays with the workspace, so that consecutive rollouts reuse it. */
export const cache = (
  { config, space }: Pick<OpenedModel, "config" | "space">,
  slots: number,
  capacity: number
): Cache => {
  const { headDim, kvHeads } = config
  const sizes = { capacity, headDim, kvHeads }
  const length = slots * capacity * kvHeads * headDim
  const perLayer = (name: string) =>
    Array.from({ length: config.layers }, (_, l) => space.reals(`${name}.${l}`, length))
  return { ...sizes, keys: perLayer("keys"), values: perLayer("values") }
}

/** Copies the first `tokens` positions of one slot into others. */
export const copySlot = (
  backend: Backend,
  { capacity, headDim, keys, kvHeads, values }: Cache,
  tokens: number,
  from: number,
  to: ReadonlyArray<number>
): void => {
  const width = kvHeads * headDim
  for (const held of [...keys, ...values]) {
    const prefix = backend.slice(held, from * capacity * width, tokens * width)
    for (const slot of to) backend.copy(backend.slice(held, slot * capacity * width, tokens * width), prefix)
  }
}
