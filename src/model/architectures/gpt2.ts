/** GPT-2: LayerNorm, learned positions, a feed-forward without a gate, matrices held [in, out]. */
import { llamaStructure } from "../architecture.ts"
import { activationOf, type Architecture, layersOf, plain, tokens } from "./reading.ts"

export const gpt2: Architecture = {
  type: "gpt2",
  prefix: "GPT2",
  classes: { lm: "GPT2LMHeadModel" },
  // Dropout is none, heads of other tasks are not built, and the order of rounding is the backend's.
  ignored: [
    "attn_pdrop",
    "n_ctx",
    "reorder_and_upcast_attn",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj"
  ],
  read: (of) => {
    // The general names are those of its own attribute map.
    const either = (own: string, general: string): string => of.value(own) === undefined ? general : own
    const dim = of.size(either("n_embd", "hidden_size"))
    const layers = of.size(either("n_layer", "num_hidden_layers"), undefined, 10_000)
    const heads = of.size(either("n_head", "num_attention_heads"))
    const vocab = of.size("vocab_size")
    if (dim % heads !== 0) of.wrong(`n_embd ${dim} is not a multiple of n_head ${heads}`)
    const eps = of.number("layer_norm_epsilon", 1e-5)
    if (!(eps > 0)) of.wrong(`layer_norm_epsilon must be positive, not ${eps}`)
    if (of.flag("scale_attn_by_inverse_layer_idx", false)) of.wrong("scale_attn_by_inverse_layer_idx is not supported")
    if (of.flag("add_cross_attention", false)) of.wrong("add_cross_attention is not supported")
    const headDim = Math.max(1, Math.floor(dim / heads))
    const scaled = of.flag("scale_attn_weights", true)
    return {
      ...llamaStructure,
      vocab,
      dim,
      layers,
      heads,
      kvHeads: heads,
      headDim,
      ffn: of.value("n_inner") == null ? 4 * dim : of.size("n_inner"),
      context: of.size(either("n_positions", "max_position_embeddings"), 1024),
      tied: of.flag("tie_word_embeddings", true),
      qkvBias: true,
      outBias: true,
      mlpBias: true,
      normBias: true,
      gated: false,
      stored: "transposed",
      norms: { attentionIn: "ln_1", mlpIn: "ln_2" },
      names: {
        embed: "transformer.wte",
        positions: "transformer.wpe",
        layers: "transformer.h.",
        qkv: ["attn.c_attn"],
        out: "attn.c_proj",
        up: ["mlp.c_fc"],
        down: "mlp.c_proj",
        norm: "transformer.ln_f",
        head: "lm_head"
      },
      norm: { kind: "layer", eps, plus: 0 },
      activation: activationOf(of, "activation_function", "gelu_new"),
      ...plain(headDim),
      ...(scaled ? {} : { attentionScale: 1 }),
      ropes: [],
      blocks: layersOf(Array.from({ length: layers }, () => 0), () => null),
      ...tokens(of, vocab, { bos: 50_256, eos: 50_256 })
    }
  }
}
