import type { Backend, Tensor } from "../../tensor/backend.ts"
import { attentionShape } from "./forward.ts"
import type { OpenedModel } from "./openModel.ts"

/** Keys and values of every layer, [slots, capacity, kvHeads · headDim]: a slot is a sequence in progress. */
export interface Cache {
  readonly keys: ReadonlyArray<Tensor>
  readonly values: ReadonlyArray<Tensor>
  readonly shape: ReturnType<typeof attentionShape> & { readonly capacity: number }
}

/** The memory stays with the workspace, so that consecutive rollouts reuse it. */
export const cache = (
  { config, space }: Pick<OpenedModel, "config" | "space">,
  slots: number,
  capacity: number
): Cache => {
  const length = slots * capacity * config.kvHeads * config.headDim
  const perLayer = (name: string) =>
    Array.from({ length: config.layers }, (_, l) => space.reals(`${name}.${l}`, length))
  return { keys: perLayer("keys"), values: perLayer("values"), shape: { ...attentionShape(config), capacity } }
}

/** Copies the first `tokens` positions of one slot into others. */
export const copySlot = (
  backend: Backend,
  { keys, shape: { capacity, headDim, kvHeads }, values }: Cache,
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
