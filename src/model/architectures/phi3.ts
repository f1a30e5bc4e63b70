/** Phi-3 and Phi-4: one matrix of queries, keys and values and one of gate and up, rotations of a part of each head, LongRoPE. */
import { llamaNames } from "../architecture.ts"
import { type Architecture, decoder, layerTypes, rotated, windowsOf } from "./reading.ts"

export const phi3: Architecture = {
  type: "phi3",
  prefix: "Phi3",
  // Code of the first releases, before transformers had the class.
  ignored: ["attention_bias", "full_attn_mod", "interpolate_factor"],
  read: (of) => {
    const model = decoder(of, { kvHeads: null, context: 4096, bos: 1, eos: 32_000, eps: ["rms_norm_eps", 1e-5] })
    of.value("original_max_position_embeddings")
    const types = layerTypes(of, model.layers, () => "sliding_attention")
    const windows = windowsOf(of, types.map(() => "sliding_attention"), model.context, null)
    return {
      ...model,
      ...rotated(of, model, {
        windows,
        rope: { known: ["default", "longrope"], aliases: { su: "longrope", yarn: "longrope" } }
      }),
      names: { ...llamaNames, qkv: ["self_attn.qkv_proj"], up: ["mlp.gate_up_proj"] }
    }
  }
}
