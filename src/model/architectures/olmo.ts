/** OLMo 2 and 3: norms of what a sublayer adds to the residual stream, none before it, and norms of queries and keys over all heads. */
import type { FieldReader } from "../fields.ts"
import {
  type Architecture,
  decoder,
  type Described,
  layersOf,
  layerTypes,
  ropesByType,
  rotated,
  windowsOf
} from "./reading.ts"

const olmo = (of: FieldReader): Described => {
  const model = decoder(of, { kvHeads: null, context: 2048, bos: null, eos: 50_279, eps: ["rms_norm_eps", 1e-5] })
  const bias = of.flag("attention_bias", false)
  return {
    ...model,
    qkvBias: bias,
    outBias: bias,
    qkNorm: "projection",
    norms: { attentionOut: "post_attention_layernorm", mlpOut: "post_feedforward_layernorm" }
  }
}

export const olmo2: Architecture = {
  type: "olmo2",
  prefix: "Olmo2",
  read: (of) => {
    const model = olmo(of)
    return { ...model, ...rotated(of, model) }
  }
}

/** Three layers of four have a window; long contexts are of the others' rotation alone. */
export const olmo3: Architecture = {
  type: "olmo3",
  prefix: "Olmo3",
  read: (of) => {
    const model = olmo(of)
    const types = layerTypes(of, model.layers, (i) => (i + 1) % 4 === 0 ? "full_attention" : "sliding_attention")
    // transformers gives `rope_theta` to the full layers, and 500,000 to the others where `rope_parameters` does not say more.
    const theta = { full: of.number("rope_theta", 500_000), sliding: 500_000 }
    return {
      ...model,
      ropes: ropesByType(of, model, theta),
      blocks: layersOf(windowsOf(of, types, model.context, 4096), (i) => types[i] === "full_attention" ? 0 : 1)
    }
  }
}
