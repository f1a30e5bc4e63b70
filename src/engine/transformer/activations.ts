import type { ModelConfig } from "../../model/config.ts"
import type { Tensor } from "../../tensor/backend.ts"
import type { Workspace } from "./workspace.ts"

/** Activations of one layer for its backward pass, `N` token rows each. */
export interface LayerActivations {
  /** Output of either RMS norm [N, d], in one buffer of all layers: cheaper to recompute than to keep. */
  readonly normed: Tensor
  /** 1 / rms of the first norm [N]. */
  readonly inv: Tensor
  /** Queries, keys and values before QK-norm; the same buffer as `qkv` in a model without it. */
  readonly rawQkv: Tensor
  /** Queries, keys and values for attention: normed and rotated. */
  readonly qkv: Tensor
  readonly invQuery: Tensor | null
  readonly invKey: Tensor | null
  readonly attended: Tensor
  readonly lse: Tensor
  /** Residual stream between attention and feed-forward [N, d]. */
  readonly middle: Tensor
  readonly invMiddle: Tensor
  readonly gateUp: Tensor
  /** swiglu(gateUp), also in one buffer of all layers. */
  readonly gated: Tensor
}

/** Residual stream into each layer and, last, out of the trunk; per-layer activations; the final norm. */
export interface Activations {
  readonly rows: number
  readonly residual: ReadonlyArray<Tensor>
  readonly layers: ReadonlyArray<LayerActivations>
  /** Whether all layers share the buffers of one layer. */
  readonly shared: boolean
  readonly final: Tensor
  readonly invFinal: Tensor
}

/** Reals of one token in one layer when all activations are kept. */
const keptPerToken = ({ dim, ffn, headDim, heads, kvHeads, qkNorm }: ModelConfig): number =>
  2 * dim + (qkNorm ? 2 : 1) * (heads + 2 * kvHeads) * headDim + heads * headDim + 2 * ffn

/**
 * Tokens of a micro-batch at which cutting a batch is free: its activations are about 32 MiB, and products still have
 * enough rows to be worth reading the weights. Larger parts are no faster (LOG.md).
 */
export const learnTokens = (config: ModelConfig): number =>
  Math.max(512, Math.floor(2 ** 23 / (config.layers * keptPerToken(config))))

/**
 * Kept part of a forward pass: none (inference), all activations that are dear to recompute, or only the input of every
 * layer, from which the layer can be computed again.
 */
export type KeptActivations = "nothing" | "inputs" | "all"

/**
 * Buffers for `rows` token rows. Unless "all" is kept, the layers share one set (each buffer of a layer is dead when the next
 * layer writes it); "nothing" shares the residual stream too.
 */
export const activations = (
  space: Workspace,
  config: ModelConfig,
  rows: number,
  kept: KeptActivations
): Activations => {
  const { ffn, headDim, heads, dim, kvHeads } = config
  const qkv = (heads + 2 * kvHeads) * headDim
  const layer = (prefix: string): LayerActivations => {
    const reals = (name: string, width: number) => space.reals(prefix + name, rows * width)
    const rotated = reals("qkv", qkv)
    return {
      normed: space.reals("normed", rows * dim),
      inv: reals("inv", 1),
      rawQkv: config.qkNorm ? reals("rawQkv", qkv) : rotated,
      qkv: rotated,
      invQuery: config.qkNorm ? reals("invQuery", heads) : null,
      invKey: config.qkNorm ? reals("invKey", kvHeads) : null,
      attended: reals("attended", heads * headDim),
      lse: reals("lse", heads),
      middle: reals("middle", dim),
      invMiddle: reals("invMiddle", 1),
      gateUp: reals("gateUp", 2 * ffn),
      gated: space.reals("gated", rows * ffn)
    }
  }
  return {
    rows,
    layers: kept === "all"
      ? Array.from({ length: config.layers }, (_, l) => layer(`${l}.`))
      : new Array<LayerActivations>(config.layers).fill(layer("")),
    shared: kept !== "all",
    residual: kept === "nothing"
      ? new Array<Tensor>(config.layers + 1).fill(space.reals("residual", rows * dim))
      : Array.from({ length: config.layers + 1 }, (_, l) => space.reals(`${l}.residual`, rows * dim)),
    final: space.reals("final", rows * dim),
    invFinal: space.reals("invFinal", rows)
  }
}
