import type { ModelConfig, NormPlace } from "../../model/architecture.ts"
import { qkNormSize, qkvWidth, upSize } from "../../model/parameters.ts"
import type { Tensor } from "../../tensor/backend.ts"
import { statsOf } from "./norms.ts"
import type { Workspace } from "./workspace.ts"

/** Activations of one layer for its backward pass, `N` token rows each. */
export interface LayerActivations {
  /** Output of the norm before either sublayer [N, d], in one buffer of all layers: cheaper to recompute than to keep. */
  readonly normed: Tensor
  /** Numbers that each norm keeps of its rows. */
  readonly stats: Readonly<Partial<Record<NormPlace, Tensor>>>
  /** Queries, keys and values before QK-norm; the same buffer as `qkv` in a model without it. */
  readonly rawQkv: Tensor
  /** Queries, keys and values for attention: normed and rotated. */
  readonly qkv: Tensor
  readonly invQuery: Tensor | null
  readonly invKey: Tensor | null
  readonly attended: Tensor
  readonly lse: Tensor
  /** Output of attention before its norm [N, d], where it has one. */
  readonly mixed: Tensor | null
  /** Residual stream between attention and feed-forward [N, d]. */
  readonly middle: Tensor
  readonly gateUp: Tensor
  /** Activation of gateUp, also in one buffer of all layers. */
  readonly gated: Tensor
  /** Output of the feed-forward before its norm [N, d], where it has one. */
  readonly output: Tensor | null
  /** Output of the norm behind either sublayer, in one buffer of all layers. */
  readonly branch: Tensor | null
}

/** Residual stream into each layer and, last, out of the trunk; per-layer activations; the final norm. */
export interface Activations {
  readonly rows: number
  readonly residual: ReadonlyArray<Tensor>
  readonly layers: ReadonlyArray<LayerActivations>
  /** Whether all layers share the buffers of one layer. */
  readonly shared: boolean
  readonly final: Tensor
  readonly finalStats: Tensor
}

/** Reals of one token in one layer when all activations are kept. */
const keptPerToken = (config: ModelConfig): number => {
  const { dim, headDim, heads, norms, qkNorm } = config
  const raw = (norms.attentionOut === undefined ? 0 : 1) + (norms.mlpOut === undefined ? 0 : 1)
  return (2 + raw) * dim + (qkNorm === false ? 1 : 2) * qkvWidth(config) + heads * headDim + upSize(config)
}

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
  const { ffn, headDim, heads, dim, kvHeads, norms, qkNorm } = config
  const qkv = qkvWidth(config)
  const groups = (of: number): number => of * headDim / qkNormSize(config, of)
  const layer = (prefix: string): LayerActivations => {
    const reals = (name: string, width: number) => space.reals(prefix + name, rows * width)
    const rotated = reals("qkv", qkv)
    return {
      normed: space.reals("normed", rows * dim),
      stats: Object.fromEntries(
        Object.keys(norms).map((place) => [place, reals(`stats.${place}`, statsOf(config))])
      ),
      rawQkv: qkNorm === false ? rotated : reals("rawQkv", qkv),
      qkv: rotated,
      invQuery: qkNorm === false ? null : reals("invQuery", groups(heads)),
      invKey: qkNorm === false ? null : reals("invKey", groups(kvHeads)),
      attended: reals("attended", heads * headDim),
      lse: reals("lse", heads),
      mixed: norms.attentionOut === undefined ? null : reals("mixed", dim),
      middle: reals("middle", dim),
      gateUp: reals("gateUp", upSize(config)),
      gated: space.reals("gated", rows * ffn),
      output: norms.mlpOut === undefined ? null : reals("output", dim),
      branch: norms.attentionOut === undefined && norms.mlpOut === undefined ? null : space.reals("branch", rows * dim)
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
    finalStats: space.reals("finalStats", rows * statsOf(config))
  }
}
