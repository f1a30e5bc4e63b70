/** Cohere 2 (Command R7B, Command A): attention and feed-forward of one norm, side by side, and no rotation in full layers. */
import { type Architecture, decoder, everyNth, layersOf, layerTypes, rotated, windowsOf } from "./reading.ts"

export const cohere2: Architecture = {
  type: "cohere2",
  prefix: "Cohere2",
  // Its own code's names of what the class always does.
  ignored: [
    "order_of_interleaved_layers",
    "position_embedding_type",
    "rotary_pct",
    "use_embedding_sharing",
    "use_gated_activation",
    "use_parallel_block",
    "use_parallel_embedding"
  ],
  read: (of) => {
    const model = decoder(of, {
      kvHeads: null,
      context: 8192,
      bos: 5,
      eos: 255_001,
      tied: true,
      eps: ["layer_norm_eps", 1e-5]
    })
    const types = layerTypes(of, model.layers, everyNth(of, 4))
    const windows = windowsOf(of, types, model.context, 4096)
    const bias = of.flag("attention_bias", false)
    const sliding = of.value("sliding_window") !== null
    return {
      ...model,
      ...rotated(of, model),
      blocks: layersOf(windows, (i) => sliding && types[i] === "sliding_attention" ? 0 : null),
      qkvBias: bias,
      outBias: bias,
      norm: { ...model.norm, kind: "layer" },
      norms: { attentionIn: "input_layernorm" },
      parallel: true,
      stored: "pairs",
      logitScale: of.number("logit_scale", 0.0625)
    }
  }
}
