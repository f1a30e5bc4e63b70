/** The transformer of which every supported architecture is a value. `architectures` makes it of a `config.json`; the engine reads it. */
import type { Rope } from "./ropeConfig.ts"

/** How a layer mixes its tokens. Latent attention would be another form, beside `forward.ts`'s. */
export interface Attention {
  /** Query heads in groups that share a key and a value head. */
  readonly form: "grouped"
  /** A token sees itself and `window − 1` tokens before it. 0 is unlimited. */
  readonly window: number
  /** Index in `ropes`; null where nothing is rotated (NoPE, or learned positions). */
  readonly rope: number | null
}

/** Matrices `up` and `down`, with or without a gate. */
export interface DenseFeedForward {
  readonly form: "dense"
}

/** Experts, each with a gate, `up` and `down`, of which a router chooses some for each token. */
export interface RoutedFeedForward {
  readonly form: "routed"
  readonly experts: number
  /** Experts of a token. */
  readonly active: number
  /** Inner size of an expert. */
  readonly ffn: number
  /** Weights of a token's experts are divided by their sum. */
  readonly renormalised: boolean
  /** Modules; `experts` is followed by the number of the expert. */
  readonly names: {
    readonly router: string
    readonly experts: string
    readonly gate: string
    readonly up: string
    readonly down: string
  }
}

/** The work of a layer on each token by itself. */
export type FeedForward = DenseFeedForward | RoutedFeedForward

export interface Layer {
  readonly attention: Attention
  readonly mlp: FeedForward
}

/** Places of norms in a layer: of the input of a sublayer, and of its output into the residual stream. */
export type NormPlace = "attentionIn" | "attentionOut" | "mlpIn" | "mlpOut"

/** How the owner's file holds matrices, where it is not as the kernels read them. */
export type Stored =
  /** Pairs of a rotation side by side (0, 1), (2, 3), … in the rows of queries and keys, in place of halves of a head. */
  | "pairs"
  /** Query, key and value of one head after the other, in one matrix. */
  | "byHead"
  /** [in, out] (GPT-2's Conv1D). */
  | "transposed"

/** The tensors and their names. */
export interface Structure {
  readonly qkvBias: boolean
  readonly outBias: boolean
  readonly mlpBias: boolean
  /** Norms of queries and keys before the rotation: of each head, or of all heads of a token at once. */
  readonly qkNorm: false | "heads" | "projection"
  /** Whether norms have a bias. */
  readonly normBias: boolean
  /** Whether the feed-forward has a gate beside `up`. */
  readonly gated: boolean
  /** The output matrix is the embedding. */
  readonly tied: boolean
  readonly stored: Stored | null
  /** Modules of a layer by place; a place without a module has no norm. */
  readonly norms: Readonly<Partial<Record<NormPlace, string>>>
  readonly names: {
    readonly embed: string
    /** Learned embeddings of positions. */
    readonly positions?: string
    /** Followed by the number of the layer. */
    readonly layers: string
    /** One fused module, or those of queries, keys and values. */
    readonly qkv: ReadonlyArray<string>
    readonly out: string
    /** One module, or those of gate and up. */
    readonly up: ReadonlyArray<string>
    readonly down: string
    readonly norm: string
    readonly head: string
  }
}

/** Sizes that decide the shapes of tensors. */
export interface Sizes {
  /** Size of the vocabulary, tokens. */
  readonly vocab: number
  /** Hidden size. */
  readonly dim: number
  readonly layers: number
  /** Query heads. */
  readonly heads: number
  /** Key and value heads; divides `heads`. */
  readonly kvHeads: number
  /** Size of a head; even. `heads · headDim` need not be `dim`. */
  readonly headDim: number
  /** Inner size of a dense feed-forward. */
  readonly ffn: number
  /** Of a plan: parameters of experts that a token does not pass, which take memory and no operation. */
  readonly idle?: number
  /** Longest sequence, tokens. */
  readonly context: number
}

/** Functions between the tensors. */
export interface Functions {
  /** `plus` is added to the weights of a norm: 1 where the file holds them less 1. */
  readonly norm: { readonly kind: "rms" | "layer"; readonly eps: number; readonly plus: 0 | 1 }
  readonly activation: "silu" | "gelu" | "geluTanh"
  /**
   * Attention and feed-forward read the same residual stream, and both are added to it. Without a norm `mlpIn` they read the same
   * normed states too.
   */
  readonly parallel: boolean
  /** Scores are queries · keys times this. */
  readonly attentionScale: number
  /** Scores become cap · tanh(score / cap); 0 is no cap. */
  readonly attentionCap: number
  /** Embeddings are multiplied by this. */
  readonly embedScale: number
  /** Logits are multiplied by this. */
  readonly logitScale: number
  /** Logits become cap · tanh(logit / cap); 0 is no cap. */
  readonly logitCap: number
  readonly blocks: ReadonlyArray<Layer>
  readonly ropes: ReadonlyArray<Rope>
}

export interface ModelConfig extends Sizes, Structure, Functions {
  /** `model_type`. */
  readonly family: string
  /** Next-token logits, or a scalar a position (`…ForSequenceClassification` with one label). */
  readonly head: "lm" | "score"
  /** Tensors that stay as they are: they are saved again, and no pass reads them. */
  readonly carried: RegExp | null
  readonly bos: number | null
  readonly eos: ReadonlyArray<number>
  readonly pad: number | null
  /** `config.json` as it was read, for writing it back. */
  readonly raw: Readonly<Record<string, unknown>>
}

/** Names of the tensors of a Llama, which most architectures share. */
export const llamaNames: Structure["names"] = {
  embed: "model.embed_tokens",
  layers: "model.layers.",
  qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  out: "self_attn.o_proj",
  up: ["mlp.gate_proj", "mlp.up_proj"],
  down: "mlp.down_proj",
  norm: "model.norm",
  head: "lm_head"
}

/** The tensors of a Llama without biases. */
export const llamaStructure: Structure = {
  qkvBias: false,
  outBias: false,
  mlpBias: false,
  qkNorm: false,
  normBias: false,
  gated: true,
  tied: false,
  stored: null,
  norms: { attentionIn: "input_layernorm", mlpIn: "post_attention_layernorm" },
  names: llamaNames
}
