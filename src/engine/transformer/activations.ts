import type { Layer, ModelConfig, NormPlace, RoutedFeedForward } from "../../model/architecture.ts"
import { qkNormSize, qkvWidth, upSize } from "../../model/parameters.ts"
import type { Tensor } from "../../tensor/backend.ts"
import { statsOf } from "./norms.ts"
import type { Chosen } from "./routing.ts"
import type { Workspace } from "./workspace.ts"

/** Of a routed feed-forward. */
export interface RoutedActivations {
  /** Buffers that all layers share. */
  readonly space: Workspace
  /** The router's [N, experts]. */
  readonly logits: Tensor
  /** [N · active, 2 ffn], in the order of the slots. */
  readonly gateUp: Tensor
  /** Set by `forward`. */
  chosen: Chosen | null
}

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
  readonly routed: RoutedActivations | null
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

const routedSize = ({ active, experts, ffn }: RoutedFeedForward): number => experts + 2 * active * ffn

/** Reals of one token in one layer when all activations are kept. */
const keptPerToken = (config: ModelConfig): number => {
  const { dim, headDim, heads, norms, qkNorm } = config
  const raw = (norms.attentionOut === undefined ? 0 : 1) + (norms.mlpOut === undefined ? 0 : 1)
  return (2 + raw) * dim + (qkNorm === false ? 1 : 2) * qkvWidth(config) + heads * headDim +
    Math.max(...config.blocks.map(({ mlp }) => mlp.form === "dense" ? upSize(config) : routedSize(mlp)))
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
  const layer = (prefix: string, blocks: ReadonlyArray<Layer>): LayerActivations => {
    const dense = blocks.some(({ mlp }) => mlp.form === "dense")
    const routed = blocks.map(({ mlp }) => mlp).find((mlp) => mlp.form === "routed")
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
      gateUp: reals("gateUp", dense ? upSize(config) : 1),
      routed: routed === undefined ? null : {
        space,
        logits: reals("router", routed.experts),
        gateUp: reals("experts", 2 * routed.active * routed.ffn),
        chosen: null
      },
      gated: space.reals("gated", rows * (config.blocks.some(({ mlp }) => mlp.form === "dense") ? ffn : 1)),
      output: norms.mlpOut === undefined ? null : reals("output", dim),
      branch: norms.attentionOut === undefined && norms.mlpOut === undefined ? null : space.reals("branch", rows * dim)
    }
  }
  return {
    rows,
    layers: kept === "all"
      ? Array.from({ length: config.layers }, (_, l) => layer(`${l}.`, [config.blocks[l]!]))
      : new Array<LayerActivations>(config.layers).fill(layer("", config.blocks)),
    shared: kept !== "all",
    residual: kept === "nothing"
      ? new Array<Tensor>(config.layers + 1).fill(space.reals("residual", rows * dim))
      : Array.from({ length: config.layers + 1 }, (_, l) => space.reals(`${l}.residual`, rows * dim)),
    final: space.reals("final", rows * dim),
    finalStats: space.reals("finalStats", rows * statsOf(config))
  }
}
