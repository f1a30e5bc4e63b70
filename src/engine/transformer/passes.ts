import type { ModelConfig } from "../../model/config.ts"
import type { Backend, Ints, Tensor } from "../../tensor/backend.ts"
import type { Batch } from "../engine.ts"
import { type Activations, activations } from "./activations.ts"
import { backward } from "./backward.ts"
import { attentionShape, forward } from "./forward.ts"
import { type Limits, pack, type Packed } from "./packing.ts"
import type { RotaryTables } from "./rotary.ts"
import type { Trainable } from "./trainable.ts"
import { type Workspace, workspace } from "./workspace.ts"

/** What is read from the hidden states of a micro-batch; `hidden` is [outputs, d]. */
export interface HeadPasses {
  readonly forward: (hidden: Tensor, packed: Packed, space: Workspace) => void
  /** Sets dHidden [outputs, d] and adds to the head's gradient; `forward` on the same space was the last call before. */
  readonly backward: (dHidden: Tensor, hidden: Tensor, packed: Packed, space: Workspace) => void
}

/** The forward and backward passes over a batch, in micro-batches of whole sequences. */
export interface Passes {
  /** With `retain` a `backward` may follow. */
  readonly run: (batch: Batch, retain: boolean, head: HeadPasses) => void
  readonly backward: (head: HeadPasses) => void
  /** Whether a retained batch waits for its backward pass. */
  readonly retained: () => boolean
  /** Forgets the retained batch: the parameters have changed under it. */
  readonly forget: () => void
  readonly dispose: () => void
}

interface Pass {
  readonly at: Activations
  readonly hidden: Tensor
  readonly ids: Ints
  readonly positions: Ints
  readonly starts: Ints
  readonly outputs: Ints
}

export const passes = (
  backend: Backend,
  config: ModelConfig,
  model: Trainable,
  rotary: RotaryTables,
  inference: Workspace,
  limits: Limits,
  reads: "tokens" | "values"
): Passes => {
  // Apart from the inference buffers, so that a retained batch survives other calls before its backward pass.
  const training = workspace(backend)
  const shape = attentionShape(config)
  // Only the last micro-batch's activations are kept; the others are computed again, so that memory does not grow with
  // the batch and accumulated gradients are those of the whole batch.
  let retained: { readonly batch: ReadonlyArray<Packed>; readonly last: Pass | null } | null = null

  const longest = (packed: Packed): number =>
    packed.positions.reduce((most, position) => Math.max(most, position), 0) + 1

  const pass = (packed: Packed, retain: boolean): Pass => {
    const space = retain ? training : inference
    const ids = space.ints("ids", packed.ids)
    const positions = space.ints("positions", packed.positions)
    const starts = space.ints("starts", packed.starts)
    const outputs = space.ints("outputs", packed.outputs)
    const at = activations(space, config, packed.ids.length, retain)
    forward(
      backend,
      config,
      model.parameters,
      at,
      ids,
      positions,
      rotary.upTo(longest(packed)),
      ({ attended, lse, qkv }) => backend.attention(attended, lse, qkv, starts, shape)
    )
    const hidden = space.reals("hidden", packed.outputs.length * config.dim)
    backend.gatherRows(hidden, at.final, outputs, config.dim)
    return { at, hidden, ids, positions, starts, outputs }
  }

  return {
    run: (batch, retain, head) => {
      if (retain) retained = null
      const packs = pack(batch, reads, limits)
      let last: Pass | null = null
      packs.forEach((packed, i) => {
        const keep = retain && i === packs.length - 1
        const done = pass(packed, keep)
        head.forward(done.hidden, packed, keep ? training : inference)
        if (keep) last = done
      })
      if (retain) retained = { batch: packs, last }
    },
    backward: (head) => {
      if (retained === null) throw new Error("backward needs a batch: call with retain before, once for each backward.")
      const { batch, last } = retained
      retained = null
      const gradients = model.gradients()
      for (let i = batch.length - 1; i >= 0; i--) {
        const packed = batch[i]!
        let done = last
        if (done === null || i < batch.length - 1) {
          done = pass(packed, true)
          head.forward(done.hidden, packed, training)
        }
        const { at, hidden, ids, outputs, positions, starts } = done
        const dHidden = training.reals("dHidden", hidden.length)
        head.backward(dHidden, hidden, packed, training)
        const dFinal = training.reals("dFinal", at.final.length)
        backend.scatterRows(dFinal, dHidden, outputs, config.dim)
        const turn = rotary.upTo(longest(packed))
        backward(backend, config, model.parameters, gradients, at, dFinal, ids, positions, starts, turn, training)
      }
    },
    retained: () => retained !== null,
    forget: () => {
      retained = null
    },
    dispose: training.dispose
  }
}
