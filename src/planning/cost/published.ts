/**
 * Plans published training steps on the device of their measurement, and compares speed and memory: the error of plans
 * without calibration. The engine's own code runs on the backend that counts, with the roofline; no figure is fitted.
 */
import type { Computing, Weights } from "../../engine/engine.ts"
import { countedEngine, withoutWeights } from "../countedEngine.ts"
import { assumed, roofline } from "./costs.ts"

const llama = {
  model_type: "llama",
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 65536,
  vocab_size: 128256
}

const qwen3 = (hidden: number, layers: number, heads: number, ffn: number): Weights["config"] => ({
  ...llama,
  model_type: "qwen3",
  hidden_size: hidden,
  intermediate_size: ffn,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  tie_word_embeddings: true,
  vocab_size: 151936
})

/** Shapes from the `config.json` of each model on Hugging Face. */
const models = {
  "Qwen3-0.6B": qwen3(1024, 28, 16, 3072),
  "Qwen3-4B": qwen3(2560, 36, 32, 9728),
  "Llama-3.1-8B": llama
}

const lora: Computing["lora"] = {
  rank: 16,
  alpha: 32,
  targetModules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  seed: "published"
}

type Published = readonly [
  source: string,
  title: string,
  model: keyof typeof models,
  device: "h100" | "h200" | "a6000" | "4090",
  devices: number,
  /** Tokens of a sequence; one sequence is in memory at a time. */
  sequence: number,
  trains: "all" | "adapters",
  /** Tokens a second of all devices together. */
  rate: number,
  /** Peak of one device, GiB. */
  peak: number,
  /** The parts of the step that the plan does not model. */
  besides: string
]

/** Sequences of a step on each device. */
const sequences = 2

const prime = "prime-rl, benchmarks/baselines"
const tune = "torchtune, README"
const slower = "by its step time, 1.99 s, it does 16,448 tokens/s"
const gathering = "communication, gathered layers"
const bits = "weights and gradients in bf16, moments of 8 bits, updates in the backward pass"
const bf16 = "weights in bf16; at 4 operations a weight and token its rate is 97 % of the data sheet's peak"

/** prime-rl's trainer alone (recomputation, FlashAttention 3, two micro-batches a step); torchtune's single-device recipes. */
export const published: ReadonlyArray<Published> = [
  [prime, "SFT 8k", "Qwen3-0.6B", "h100", 1, 8192, "all", 26_005, 31.7, "logits kept whole (our guess)"],
  [prime, "RL 16k", "Qwen3-0.6B", "h100", 1, 16384, "all", 11_896, 12.5, slower],
  [prime, "RL LoRA 64k", "Qwen3-4B", "h100", 1, 65536, "adapters", 4_200, 42.0, "–"],
  [prime, "SFT 16k", "Qwen3-4B", "h200", 8, 16384, "all", 53_100, 54.6, `${gathering}, logits kept whole (our guess)`],
  [prime, "RL 64k", "Qwen3-4B", "h200", 8, 65536, "all", 29_500, 36.1, gathering],
  [tune, "full 2k (assumed)", "Llama-3.1-8B", "4090", 1, 2048, "all", 1_650, 18.9, bits],
  [tune, "LoRA 2k (assumed)", "Llama-3.1-8B", "a6000", 1, 2048, "adapters", 4_699, 30.3, bf16]
]

interface Device {
  readonly title: string
  readonly peak: { readonly f32: number; readonly bf16: number }
  readonly bandwidth: number
}

/** Tokens a second of all devices together, and the peak of one device in GiB; devices share only the model's state. */
const planStep = ([, , model, , devices, sequence, trains]: Published, device: Device) => {
  const meter = countedEngine({ cost: roofline(device).backend, devices, microBatchTokens: sequence })
  const policy = meter.engine.policy(withoutWeights(models[model]), {
    precision: "bf16",
    recompute: true,
    ...(trains === "adapters" ? { lora } : {})
  })
  const row = { prompt: Int32Array.of(1), completion: new Int32Array(sequence - 1).fill(1) }
  for (let i = 0; i < sequences; i++) policy.learn([row], ({ length }) => new Float64Array(length))
  policy.step({ learningRate: 1e-5, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 })
  const { seconds } = meter.spentIn().get("update")!
  const { bytes } = meter.peaks().get("update")!
  policy.dispose()
  return { rate: devices * sequences * sequence / seconds, peak: bytes / 2 ** 30 }
}

const off = (planned: number, known: number): string =>
  `${planned >= known ? "+" : "−"}${Math.abs(100 * (planned / known - 1)).toFixed(0)} %`

/** Rows of a table: published and planned figures, with the error. */
export const publishedRows = (deviceOf: (name: Published[3]) => Device): ReadonlyArray<ReadonlyArray<string>> => [
  ["source", "step", "on", "tokens/s", "planned", "error", "peak GiB", "planned", "error", "not modelled"],
  ...published.map((one) => {
    const [source, title, model, name, devices, , , rate, peak, besides] = one
    const device = deviceOf(name)
    const planned = planStep(one, device)
    return [
      source,
      `${model} ${title}`,
      `${devices} × ${device.title}`,
      rate.toLocaleString("en-US"),
      Math.round(planned.rate).toLocaleString("en-US"),
      off(planned.rate, rate),
      peak.toFixed(1),
      planned.peak.toFixed(1),
      off(planned.peak, peak),
      besides
    ]
  })
]

/** The smallest and the largest error of the table, percent of what was published: `property-tests/planning/published.test.ts` computes it. */
export const publishedErrors = { rate: [-64, 196], peak: [-66, 543] } as const

/** What plans for devices are known to be worth, in a line. */
export const knownError = ((): string => {
  const from = ([least, most]: readonly [number, number]) => `−${-least} % to +${most} %`
  return `Of ${published.length} published training steps, kernels at these shares give the rate with an error of ${
    from(publishedErrors.rate)
  } and the peak memory with one of ${
    from(publishedErrors.peak)
  }, the largest where others keep other numbers in memory: keel bench --published lists them.`
})()

/** The assumptions of the table, in a line. */
export const publishedNote = `Planned at assumed shares of published peaks: products ${
  100 * assumed.products
} %, attention ${100 * assumed.attention} %, bandwidth ${
  100 * assumed.bandwidth
} %; weights, gradients and moments in float32, activations recomputed, operations counted once more for it.`
