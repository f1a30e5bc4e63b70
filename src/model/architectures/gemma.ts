/** Gemma 2 and 3 (text): norms before and after each sublayer, weights of norms held less 1, scaled embeddings, caps of scores and logits. */
import type { FieldReader } from "../fields.ts"
import {
  type Architecture,
  capOf,
  decoder,
  type Described,
  everyNth,
  layersOf,
  layerTypes,
  ropesByType,
  rotated,
  windowsOf
} from "./reading.ts"

const gemma = (
  of: FieldReader,
  { caps, context }: {
    readonly context: number
    readonly caps: { readonly attention: number | null; readonly logits: number | null }
  }
): Described => {
  const model = decoder(of, {
    kvHeads: 4,
    headDim: 256,
    context,
    bos: 2,
    eos: 1,
    tied: true,
    activation: ["hidden_activation", "gelu_pytorch_tanh"]
  })
  const scalar = of.number("query_pre_attn_scalar", 256)
  if (!(scalar > 0)) of.wrong(`query_pre_attn_scalar must be positive, not ${scalar}`)
  if (of.value("use_bidirectional_attention")) of.wrong("use_bidirectional_attention is not supported")
  const bias = of.flag("attention_bias", false)
  return {
    ...model,
    qkvBias: bias,
    outBias: bias,
    norm: { ...model.norm, plus: 1 },
    norms: {
      attentionIn: "input_layernorm",
      attentionOut: "post_attention_layernorm",
      mlpIn: "pre_feedforward_layernorm",
      mlpOut: "post_feedforward_layernorm"
    },
    attentionScale: 1 / Math.sqrt(scalar),
    attentionCap: capOf(of, "attn_logit_softcapping", caps.attention),
    logitCap: capOf(of, "final_logit_softcapping", caps.logits),
    embedScale: Math.fround(Math.sqrt(model.dim))
  }
}

/** Every second layer has a window. */
export const gemma2: Architecture = {
  type: "gemma2",
  prefix: "Gemma2",
  ignored: ["hidden_act"],
  read: (of) => {
    const model = gemma(of, { context: 8192, caps: { attention: 50, logits: 30 } })
    const types = layerTypes(of, model.layers, (i) => i % 2 === 0 ? "sliding_attention" : "full_attention")
    return { ...model, ...rotated(of, model, { windows: windowsOf(of, types, model.context, 4096) }) }
  }
}

/** Five layers of six have a window and a rotation of their own, and queries and keys have norms. */
export const gemma3: Architecture = {
  type: "gemma3_text",
  prefix: "Gemma3",
  classes: { score: "Gemma3TextForSequenceClassification" },
  ignored: ["hidden_act"],
  read: (of) => {
    const model = gemma(of, { context: 131_072, caps: { attention: null, logits: null } })
    const types = layerTypes(of, model.layers, everyNth(of, 6))
    const theta = { full: of.number("rope_theta", 1_000_000), sliding: of.number("rope_local_base_freq", 10_000) }
    return {
      ...model,
      qkNorm: "heads",
      ropes: ropesByType(of, model, theta),
      blocks: layersOf(windowsOf(of, types, model.context, 4096), (i) => types[i] === "full_attention" ? 0 : 1)
    }
  }
}
