/** GPT-NeoX (Pythia): LayerNorm, attention and feed-forward side by side, a rotation of a quarter of each head. */
import { type Architecture, decoder, rotated } from "./reading.ts"

export const gptNeox: Architecture = {
  type: "gpt_neox",
  prefix: "GPTNeoX",
  ignored: ["classifier_dropout", "hidden_dropout", "is_decoder"],
  read: (of) => {
    const model = decoder(of, {
      kvHeads: null,
      context: 2048,
      bos: 0,
      eos: 2,
      eps: ["layer_norm_eps", 1e-5],
      activation: ["hidden_act", "gelu"]
    })
    if (model.kvHeads !== model.heads) of.wrong("num_key_value_heads is no field of a gpt_neox")
    const bias = of.flag("attention_bias", true)
    const rope = { theta: of.number("rotary_emb_base", 10_000), partial: of.number("rotary_pct", 0.25) }
    return {
      ...model,
      ...rotated(of, model, { rope }),
      qkvBias: bias,
      outBias: bias,
      mlpBias: true,
      normBias: true,
      gated: false,
      stored: "byHead",
      norm: { ...model.norm, kind: "layer" },
      norms: { attentionIn: "input_layernorm", mlpIn: "post_attention_layernorm" },
      parallel: of.flag("use_parallel_residual", true),
      names: {
        embed: "gpt_neox.embed_in",
        layers: "gpt_neox.layers.",
        qkv: ["attention.query_key_value"],
        out: "attention.dense",
        up: ["mlp.dense_h_to_4h"],
        down: "mlp.dense_4h_to_h",
        norm: "gpt_neox.final_layer_norm",
        head: "embed_out"
      }
    }
  }
}
