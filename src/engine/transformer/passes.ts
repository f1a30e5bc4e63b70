import type { ModelConfig } from "../../model/config.ts"
import type { Backend, Ints, Tensor } from "../../tensor/backend.ts"
import type { Batch } from "../engine.ts"
import { type Activations, activations, learnTokens } from "./activations.ts"
import { backward } from "./backward.ts"
import { forward } from "./forward.ts"
import { attentionShape } from "./groupedAttention.ts"
import { lengthsOf, pack, type Packed, type PassLimits } from "./packing.ts"
import type { RotaryTables } from "./rotary.ts"
import type { Pass } from "./sublayer.ts"
import type { Trainable } from "./trainable.ts"
import { type Workspace, workspace } from "./workspace.ts"

/** A function of the hidden states of a micro-batch; `hidden` is [outputs, d]. */
export interface HeadPasses {
  readonly forward: (hidden: Tensor, packed: Packed, space: Workspace) => void
  /** Sets dHidden [outputs, d] and adds to the head's gradient; the call before it on the same space was `forward`. */
  readonly backward: (dHidden: Tensor, hidden: Tensor, packed: Packed, space: Workspace) => void
}

/** The forward and backward passes over a batch, in micro-batches of whole sequences. */
export interface Passes {
  /** With `retain` a `backward` may follow. `on` is the same backend in another precision, for comparing. */
  readonly run: (batch: Batch, retain: boolean, head: HeadPasses, on?: Backend) => void
  readonly backward: (head: HeadPasses) => void
  /** The hidden states [outputs, d] that a head would read of these rows; good until the next call without `retain`. */
  readonly hidden: (packed: Packed) => Tensor
  /** Forward and backward pass of one part of the batch after the other; `between` comes after a part's forward pass. */
  readonly learn: (batch: Batch, head: HeadPasses, between: (packed: Packed) => void) => void
  /** Whether a retained batch waits for its backward pass. */
  readonly retained: () => boolean
  /** Forgets the retained batch: the parameters have changed under it. */
  readonly forget: () => void
  readonly dispose: () => void
}

interface Done {
  readonly pass: Pass
  readonly at: Activations
  readonly hidden: Tensor
  readonly ids: Ints
  readonly starts: Ints
  readonly outputs: Ints
}

/** Most tokens of one learning pass, except for a longer row. */
export const mostAtOnce = (config: ModelConfig, { microBatchTokens }: Pick<PassLimits, "microBatchTokens">): number =>
  Math.min(microBatchTokens, learnTokens(config))

export const tokensIn = (batch: Batch): number =>
  batch.reduce((sum, { completion, prompt }) => sum + prompt.length + completion.length, 0)

/** Tokens of each part of a learning batch. Parts are about equal: a small rest would pay for reading all weights. */
export const learnedAtOnce = (tokens: number, most: number): number => Math.ceil(tokens / Math.ceil(tokens / most))

export const passes = (
  backend: Backend,
  config: ModelConfig,
  model: Trainable,
  rotary: RotaryTables,
  inference: Workspace,
  limits: PassLimits,
  options: { readonly reads: "tokens" | "values"; readonly recompute: boolean }
): Passes => {
  // Apart from the inference buffers, so that a retained batch survives other calls before its backward pass.
  const training = workspace(backend)
  // Only the last micro-batch's activations are kept; the others are computed again, so that memory does not grow with
  // the batch and accumulated gradients are the whole batch's.
  let retained: { readonly batch: ReadonlyArray<Packed>; readonly last: Done | null } | null = null

  const longest = ({ starts }: Packed): number =>
    starts.reduce((most, start, b) => Math.max(most, start - (starts[b - 1] ?? 0)), 1)

  const run = (on: Backend, packed: Packed, retain: boolean): Done => {
    const space = retain ? training : inference
    const ids = space.ints("ids", packed.ids)
    const starts = space.ints("starts", packed.starts)
    const outputs = space.ints("outputs", packed.outputs)
    const pass: Pass = {
      backend: on,
      config,
      parameters: model.parameters,
      multiply: on.linear,
      adapters: model.adapters,
      positions: space.ints("positions", rotary.rowsOf(packed.positions, lengthsOf(packed))),
      rotary: rotary.upTo(longest(packed)),
      attend: ({ attended, lse, qkv }, l) => on.attention(attended, lse, qkv, starts, attentionShape(config, l))
    }
    const at = activations(
      space,
      config,
      packed.ids.length,
      !retain ? "nothing" : options.recompute ? "inputs" : "all"
    )
    forward(pass, at, ids)
    const hidden = space.reals("hidden", packed.outputs.length * config.dim)
    on.gatherRows(hidden, at.final, outputs, config.dim)
    return { pass, at, hidden, ids, starts, outputs }
  }

  const back = ({ at, hidden, ids, outputs, pass, starts }: Done, packed: Packed, head: HeadPasses): void => {
    const dHidden = training.reals("dHidden", hidden.length)
    head.backward(dHidden, hidden, packed, training)
    const dFinal = training.reals("dFinal", at.final.length)
    backend.scatterRows(dFinal, dHidden, outputs, config.dim)
    // The tables may have grown, and so moved, since the forward pass.
    const turned = {
      ...pass,
      rotary: rotary.upTo(longest(packed)),
      gradients: model.gradients(),
      starts,
      space: training
    }
    backward(turned, at, dFinal, ids)
  }

  return {
    run: (batch, retain, head, on = backend) => {
      if (retain && on !== backend) {
        throw new Error("A batch can only be retained in the precision of the model itself.")
      }
      if (retain) retained = null
      const packs = pack(batch, options.reads, limits)
      let last: Done | null = null
      packs.forEach((packed, i) => {
        const keep = retain && i === packs.length - 1
        const done = run(on, packed, keep)
        head.forward(done.hidden, packed, keep ? training : inference)
        if (keep) last = done
      })
      if (retain) retained = { batch: packs, last }
    },
    backward: (head) => {
      if (retained === null) throw new Error("backward needs a batch: call with retain before, once for each backward.")
      const { batch, last } = retained
      retained = null
      for (let i = batch.length - 1; i >= 0; i--) {
        const packed = batch[i]!
        let done = last
        if (done === null || i < batch.length - 1) {
          done = run(backend, packed, true)
          head.forward(done.hidden, packed, training)
        }
        back(done, packed, head)
      }
    },
    learn: (batch, head, between) => {
      retained = null
      const microBatchTokens = learnedAtOnce(tokensIn(batch), mostAtOnce(config, limits))
      for (const packed of pack(batch, options.reads, { ...limits, microBatchTokens })) {
        const done = run(backend, packed, true)
        head.forward(done.hidden, packed, training)
        between(packed)
        back(done, packed, head)
      }
    },
    hidden: (packed) => run(backend, packed, false).hidden,
    retained: () => retained !== null,
    forget: () => {
      retained = null
    },
    dispose: training.dispose
  }
}
