import type { ModelConfig } from "../../model/config.ts"
import { tables } from "../../model/rope.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"

/** Cosines and sines of the rotary embedding, [positions, headDim / 2]. */
export interface Rotary {
  readonly cos: Tensor
  readonly sin: Tensor
}

/** Tables for `positions` positions, at most the model's context: they double when a longer sequence comes. */
export interface RotaryTables {
  readonly upTo: (positions: number) => Rotary
  readonly dispose: () => void
}

export const rotaryTables = (backend: Backend, config: ModelConfig): RotaryTables => {
  let held: (Rotary & { readonly positions: number }) | null = null
  const dispose = (): void => {
    if (held === null) return
    backend.free(held.cos)
    backend.free(held.sin)
    held = null
  }
  return {
    upTo: (positions) => {
      const enough = Math.min(config.context, Math.max(512, 2 ** Math.ceil(Math.log2(positions))))
      if (held !== null && held.positions >= enough) return held
      dispose()
      const none = backend.unread?.(enough * config.headDim / 2)
      const values = none === undefined ? tables(config, enough) : { cos: none, sin: none }
      const cos = backend.reals(values.cos.length)
      const sin = backend.reals(values.sin.length)
      backend.write(cos, values.cos)
      backend.write(sin, values.sin)
      held = { cos, sin, positions: enough }
      return held
    },
    dispose
  }
}
