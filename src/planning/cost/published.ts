/**
 * Steps of training whose speed and memory others have published, planned on the device they were measured on: how far a plan may be off
 * where nobody calibrated it. The engine's own code on the backend that counts, at the roofline; nothing is fitted to the figures.
 */
import type { Computing, Weights } from "../../engine/engine.ts"
import { metered, withoutWeights } from "../countedEngine.ts"
import type { Term } from "../../tensor/counting/memoryTerms.ts"
import { assumed, roofline } from "./costs.ts"

type Config = Weights["config"]

const qwen3 = (hidden: number, layers: number, heads: number, ffn: number): Config => ({
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  hidden_act: "silu",
  hidden_size: hidden,
  intermediate_size: ffn,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 65536,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  tie_word_embeddings: true,
  attention_bias: false,
  bos_token_id: 151643,
  eos_token_id: 151645,
  vocab_size: 151936
})

/** Shapes from the `config.json` of each model on Hugging Face. */
const models = {
  "Qwen3-0.6B": qwen3(1024, 28, 16, 3072),
  "Qwen3-4B": qwen3(2560, 36, 32, 9728),
  "Llama-3.1-8B": {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 65536,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    tie_word_embeddings: false,
    attention_bias: false,
    mlp_bias: false,
    bos_token_id: 128000,
    eos_token_id: 128009,
    vocab_size: 128256
  }
} as const satisfies Readonly<Record<string, Config>>

const lora: Computing["lora"] = {
  rank: 16,
  alpha: 32,
  targetModules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  seed: "published"
}

export interface Published {
  readonly source: string
  readonly title: string
  readonly model: keyof typeof models
  readonly device: "h100" | "h200" | "a6000" | "4090"
  readonly devices: number
  /** Tokens of a sequence; one is in memory at a time. */
  readonly sequence: number
  /** Sequences of a step on each device. */
  readonly sequences: number
  readonly adapters: boolean
  /** Of all devices together, tokens a second. */
  readonly rate: number
  /** Peak of one device, GiB. */
  readonly peak: number
  /** What the plan does not model of it. */
  readonly besides: string
}

const prime = "prime-rl, benchmarks/baselines"
const tune = "torchtune, README"

/** prime-rl's trainer alone (recomputation, FlashAttention 3, two micro-batches a step); torchtune's single-device recipes. */
export const published: ReadonlyArray<Published> = [
  {
    source: prime,
    title: "SFT 8k",
    model: "Qwen3-0.6B",
    device: "h100",
    devices: 1,
    sequence: 8192,
    sequences: 2,
    adapters: false,
    rate: 26_005,
    peak: 31.7,
    besides: "logits kept whole (our guess)"
  },
  {
    source: prime,
    title: "RL 16k",
    model: "Qwen3-0.6B",
    device: "h100",
    devices: 1,
    sequence: 16384,
    sequences: 2,
    adapters: false,
    rate: 11_896,
    peak: 12.5,
    besides: "by its step time, 1.99 s, it does 16,448 tokens/s"
  },
  {
    source: prime,
    title: "RL LoRA 64k",
    model: "Qwen3-4B",
    device: "h100",
    devices: 1,
    sequence: 65536,
    sequences: 2,
    adapters: true,
    rate: 4_200,
    peak: 42.0,
    besides: "–"
  },
  {
    source: prime,
    title: "SFT 16k",
    model: "Qwen3-4B",
    device: "h200",
    devices: 8,
    sequence: 16384,
    sequences: 2,
    adapters: false,
    rate: 53_100,
    peak: 54.6,
    besides: "communication, gathered layers, logits kept whole (our guess)"
  },
  {
    source: prime,
    title: "RL 64k",
    model: "Qwen3-4B",
    device: "h200",
    devices: 8,
    sequence: 65536,
    sequences: 2,
    adapters: false,
    rate: 29_500,
    peak: 36.1,
    besides: "communication, gathered layers"
  },
  {
    source: tune,
    title: "full 2k (assumed)",
    model: "Llama-3.1-8B",
    device: "4090",
    devices: 1,
    sequence: 2048,
    sequences: 2,
    adapters: false,
    rate: 1_650,
    peak: 18.9,
    besides: "weights and gradients in bf16, moments of 8 bits, updates in the backward pass"
  },
  {
    source: tune,
    title: "LoRA 2k (assumed)",
    model: "Llama-3.1-8B",
    device: "a6000",
    devices: 1,
    sequence: 2048,
    sequences: 2,
    adapters: true,
    rate: 4_699,
    peak: 30.3,
    besides: "weights in bf16; at 4 operations a weight and token its rate is 97 % of the data sheet's peak"
  }
]

export interface PlannedStep {
  /** Of all devices together, tokens a second. */
  readonly rate: number
  /** Peak of one device, GiB. */
  readonly peak: number
  /** Share of the device's peak that the useful operations are. */
  readonly utilisation: number
}

/** State that is the same for every device, and divided among them (ZeRO, Rajbhandari et al. 2020, stage 3). */
const sharded: ReadonlySet<Term> = new Set(["weights", "gradients", "optimizer"])

/** One step of it, on devices that share nothing but the states of the model. */
export const planStep = (
  { adapters, devices, model, sequence, sequences }: Published,
  device: { readonly peak: { readonly f32: number; readonly bf16: number }; readonly bandwidth: number }
): PlannedStep => {
  const meter = metered({ cost: roofline(device).backend, microBatchTokens: sequence })
  const policy = meter.engine.policy(withoutWeights(models[model]), {
    precision: "bf16",
    recompute: true,
    ...(adapters ? { lora } : {})
  })
  const row = { prompt: Int32Array.of(1), completion: new Int32Array(sequence - 1).fill(1) }
  for (let i = 0; i < sequences; i++) policy.learn([row], ({ length }) => new Float64Array(length))
  policy.step({ learningRate: 1e-5, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 })
  const { flops, seconds } = meter.spentIn().get("update")!
  const { terms } = meter.peaks().get("update")!
  let bytes = 0
  for (const [term, held] of terms) bytes += sharded.has(term) ? held / devices : held
  policy.dispose()
  return {
    rate: devices * sequences * sequence / seconds,
    peak: bytes / 2 ** 30,
    utilisation: flops / seconds / device.peak.bf16
  }
}

const off = (planned: number, known: number): string =>
  `${planned >= known ? "+" : "−"}${Math.abs(100 * (planned / known - 1)).toFixed(0)} %`

/** Rows of a table: published beside planned, with the error. */
export const publishedRows = (
  deviceOf: (name: Published["device"]) => { readonly title: string } & Parameters<typeof planStep>[1]
): ReadonlyArray<ReadonlyArray<string>> => [
  ["source", "step", "on", "tokens/s", "planned", "error", "peak GiB", "planned", "error", "not modelled"],
  ...published.map((one) => {
    const device = deviceOf(one.device)
    const { peak, rate } = planStep(one, device)
    return [
      one.source,
      `${one.model} ${one.title}`,
      `${one.devices} × ${device.title}`,
      one.rate.toLocaleString("en-US"),
      Math.round(rate).toLocaleString("en-US"),
      off(rate, one.rate),
      one.peak.toFixed(1),
      peak.toFixed(1),
      off(peak, one.peak),
      one.besides
    ]
  })
]

/** By what the table is planned, in a line. */
export const publishedNote = `Planned at assumed shares of published peaks: products ${
  100 * assumed.products
} %, attention ${100 * assumed.attention} %, bandwidth ${
  100 * assumed.bandwidth
} %; weights, gradients and moments in float32, activations recomputed, operations counted once more for it.`
