/** Architectures whose feed-forward is routed: Qwen 3 MoE, OLMoE, Mixtral. */
import type { RoutedFeedForward } from "../architecture.ts"
import type { FieldReader } from "../fields.ts"
import { type Architecture, decoder, type Described, layerTypes, rotated, windowsOf } from "./reading.ts"
import { qwenWindows } from "./llama.ts"

const experts: RoutedFeedForward["names"] = {
  router: "mlp.gate",
  experts: "mlp.experts.",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj"
}

/** Sets the feed-forward of the layers that `sparse` names. */
const withExperts = (
  of: FieldReader,
  model: Described,
  form: Omit<RoutedFeedForward, "form" | "active">,
  activeDefault: number,
  sparse: (layer: number) => boolean = () => true
): Described => {
  const active = of.size("num_experts_per_tok", activeDefault)
  if (active > form.experts) of.wrong(`num_experts_per_tok ${active} is more than the ${form.experts} experts`)
  if (model.activation !== "silu") of.wrong("hidden_act of routed experts must be silu")
  if (model.dim % 2 !== 0) of.wrong(`hidden_size ${model.dim} is odd`)
  if (of.flag("output_router_logits", false)) {
    of.wrong("output_router_logits (the router's load-balance loss) is not supported: set it to false")
  }
  const mlp: RoutedFeedForward = { ...form, form: "routed", active: Math.min(active, form.experts) }
  return { ...model, blocks: model.blocks.map((block, l) => sparse(l) ? { ...block, mlp } : block) }
}

/** The coefficient counts only where `output_router_logits` is set. */
const ignored = ["router_aux_loss_coef"]

export const qwen3Moe: Architecture = {
  type: "qwen3_moe",
  prefix: "Qwen3Moe",
  ignored,
  read: (of) => {
    const model = decoder(of, { kvHeads: 4, context: 32_768, bos: null, eos: null })
    const bias = of.flag("attention_bias", false)
    const windows = qwenWindows(of, model.layers, model.context)
    const step = of.size("decoder_sparse_step", 1)
    const dense = of.value("mlp_only_layers") ?? []
    if (!Array.isArray(dense) || !dense.every(Number.isInteger)) of.wrong("mlp_only_layers must be a list of layers")
    const only = new Set(Array.isArray(dense) ? dense as ReadonlyArray<unknown> : [])
    return withExperts(
      of,
      { ...model, ...rotated(of, model, { windows }), qkvBias: bias, outBias: bias, qkNorm: "heads" },
      {
        experts: of.value("num_local_experts") === undefined
          ? of.size("num_experts", 128)
          : of.size("num_local_experts"),
        ffn: of.size("moe_intermediate_size", 768),
        renormalised: of.flag("norm_topk_prob", false),
        names: experts
      },
      8,
      (l) => !only.has(l) && (l + 1) % step === 0
    )
  }
}

export const olmoe: Architecture = {
  type: "olmoe",
  prefix: "Olmoe",
  ignored,
  read: (of) => {
    const model = decoder(of, { kvHeads: 16, context: 4096, bos: null, eos: 50_279, eps: ["rms_norm_eps", 1e-5] })
    const bias = of.flag("attention_bias", false)
    return withExperts(of, { ...model, ...rotated(of, model), qkvBias: bias, outBias: bias, qkNorm: "projection" }, {
      experts: of.size("num_experts", 64),
      ffn: model.ffn,
      renormalised: of.flag("norm_topk_prob", false),
      names: experts
    }, 8)
  }
}

export const mixtral: Architecture = {
  type: "mixtral",
  prefix: "Mixtral",
  ignored,
  read: (of) => {
    const model = decoder(of, { kvHeads: 8, context: 131_072, bos: 1, eos: 2, eps: ["rms_norm_eps", 1e-5] })
    if (of.number("router_jitter_noise", 0) !== 0) of.wrong("router_jitter_noise is not supported: set it to 0")
    const windows = windowsOf(of, layerTypes(of, model.layers, () => "sliding_attention"), model.context, null)
    return withExperts(of, { ...model, ...rotated(of, model, { windows, rope: { theta: 1_000_000 } }) }, {
      experts: of.size("num_local_experts", 8),
      ffn: model.ffn,
      renormalised: true,
      names: {
        router: "block_sparse_moe.gate",
        experts: "block_sparse_moe.experts.",
        gate: "w1",
        up: "w3",
        down: "w2"
      }
    }, 2)
  }
}
