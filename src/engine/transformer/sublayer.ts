import type { ModelConfig } from "../../model/architecture.ts"
import type { Backend, Ints, Tensor } from "../../tensor/backend.ts"
import type { LayerActivations } from "./activations.ts"
import type { Adapters, Site } from "./adapters.ts"
import type { Gradients, ModelParameters } from "./layout.ts"
import type { Rotary } from "./rotary.ts"
import type { Workspace } from "./workspace.ts"

/** One matrix product of a layer: `linear`, or `linearPacked` when the parameters are packed. */
export type Multiply = Backend["linear"]

/** How a layer mixes its tokens: packed causal attention, or against a cache. Reads `at.qkv`, writes `at.attended`. */
export type Attend = (at: LayerActivations, layer: number) => void

/** Everything that a layer needs besides its input: the same for every layer of a pass. */
export interface Pass {
  readonly backend: Backend
  readonly config: ModelConfig
  /** Its matrices as `multiply` reads them. */
  readonly parameters: ModelParameters
  readonly multiply: Multiply
  /** Low-rank terms of the layer's products. */
  readonly adapters: Adapters | null
  /** Of rotations and learned embeddings. */
  readonly positions: Ints
  /** By the index of a rope in the configuration. */
  readonly rotary: ReadonlyArray<Rotary>
  readonly attend: Attend
}

/** The further needs of a gradient. */
export interface BackwardPass extends Pass {
  readonly gradients: Gradients
  readonly starts: Ints
  readonly space: Workspace
}

/** A summand of the residual stream: a form of attention, or of the feed-forward. */
export interface Sublayer {
  /** All but the last product, of the states `x` [rows, dim]. */
  readonly forward: (pass: Pass, at: LayerActivations, layer: number, x: Tensor, rows: number) => void
  /** out = the last product + residual */
  readonly end: (
    pass: Pass,
    at: LayerActivations,
    layer: number,
    out: Tensor,
    residual: Tensor | null,
    rows: number
  ) => void
  /** Sets dX from the gradient of the output; adds to the gradients of its parameters. `x` as in `forward`; `fresh`: `at` is as `forward` left it. */
  readonly backward: (
    pass: BackwardPass,
    at: LayerActivations,
    layer: number,
    dX: Tensor,
    dOut: Tensor,
    x: () => Tensor,
    rows: number,
    fresh: boolean
  ) => void
}

/** out = w x + bias + residual, with its adapter. */
export const product = (
  { adapters, backend, multiply, parameters }: Pass,
  layer: number,
  site: Site,
  out: Tensor,
  x: Tensor,
  [rows, inputs, outputs]: readonly [rows: number, inputs: number, outputs: number],
  residual: Tensor | null = null
): void => {
  const p = parameters.layers[layer]!
  multiply(out, x, p[site]!, p[`${site}Bias`], rows, inputs, outputs, residual)
  adapters?.forward(backend, layer, site, out, x, rows)
}

/** Sets the gradient of the input of a product, and adds to the gradients of its parameters and adapter. */
export const productBackward = (
  { adapters, backend, gradients, parameters }: BackwardPass,
  layer: number,
  site: Site,
  dX: Tensor,
  dOut: Tensor,
  x: Tensor,
  [rows, inputs, outputs]: readonly [rows: number, inputs: number, outputs: number]
): void => {
  const g = gradients.layers?.[layer]
  const into = { dX, accumulate: false, dW: g?.[site] ?? null, dBias: g?.[`${site}Bias`] ?? null }
  backend.linearBackward(into, dOut, x, parameters.layers[layer]![site]!, rows, inputs, outputs)
  adapters?.backward(backend, layer, site, dX, dOut, x, rows)
}
