import { BadCheckpoint } from "./BadCheckpoint.ts"
import { type FieldReader, fields } from "./fields.ts"
import { parseJson } from "./json.ts"
import { type Rope, ropeOf } from "./ropeConfig.ts"

/** The fields of a Hugging Face `config.json` that the code for the Llama family needs. */
export interface ModelConfig {
  readonly family: Family
  /** Next-token logits, or a scalar a position (`…ForSequenceClassification` with one label). */
  readonly head: "lm" | "score"
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
  /** Inner size of the SwiGLU feed-forward. */
  readonly ffn: number
  /** Of a plan: parameters of experts that a token does not pass, which take memory and no operation. */
  readonly idle?: number
  /** Longest sequence, tokens (`max_position_embeddings`). */
  readonly context: number
  /** ε of every RMSNorm. */
  readonly normEps: number
  readonly rope: Rope
  /** The output matrix is the embedding. */
  readonly tied: boolean
  /** Biases of the query, key and value projections. */
  readonly qkvBias: boolean
  /** Bias of the attention output projection. */
  readonly outBias: boolean
  /** Biases of the feed-forward projections. */
  readonly mlpBias: boolean
  /** RMSNorm of each query and key head before the rotation (Qwen3). */
  readonly qkNorm: boolean
  /** Sliding window, the same in every layer: a token sees itself and `window − 1` tokens before it. 0 is unlimited. */
  readonly window: number
  readonly bos: number | null
  readonly eos: ReadonlyArray<number>
  readonly pad: number | null
  /** `config.json` as it was read, for writing it back. */
  readonly raw: Readonly<Record<string, unknown>>
}

/**
 * The defaults of transformers for keys that `config.json` leaves out (its configuration classes, 5.18). Sizes that decide
 * the shape of every tensor are not guessed: they must be there.
 */
const absent = {
  llama: { prefix: "Llama", kvHeads: null, headDim: null, context: 2048, bos: 1, eos: 2 },
  mistral: { prefix: "Mistral", kvHeads: 8, headDim: null, context: 131072, bos: 1, eos: 2 },
  qwen2: { prefix: "Qwen2", kvHeads: 32, headDim: null, context: 32768, bos: null, eos: null },
  qwen3: { prefix: "Qwen3", kvHeads: 32, headDim: 128, context: 32768, bos: null, eos: null }
}

export type Family = keyof typeof absent

const families = Object.keys(absent) as ReadonlyArray<Family>
const isFamily = (name: unknown): name is Family => families.includes(name as Family)
const architectureOf = (family: Family, head: ModelConfig["head"]): string =>
  absent[family].prefix + (head === "lm" ? "ForCausalLM" : "ForSequenceClassification")

/** Architectures that can be loaded, as `config.json` names them. */
export const supported: ReadonlyArray<string> = families.flatMap((family) => [
  architectureOf(family, "lm"),
  architectureOf(family, "score")
])

/** The text of a `config.json` as an object. Throws `BadCheckpoint`. */
export const parseConfig = (text: string, path = "config.json"): Readonly<Record<string, unknown>> => {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    // The message may quote several lines of the file.
    const problem = `not JSON (${(error as Error).message.replace(/\s+/gu, " ")})`
    throw new BadCheckpoint({ path, problem, remedy: "Download the file again." })
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new BadCheckpoint({ path, problem: "not a JSON object", remedy: "Point at a Hugging Face model folder." })
  }
  return value as Record<string, unknown>
}

/** The key of `ModelConfig.idle`. */
export const idleKey = "keel_idle_parameters"

/** Reads a `config.json` of the Llama family. Keys it does not know are left alone. Throws `BadCheckpoint` with every mistake. */
export const modelConfig = (raw: Readonly<Record<string, unknown>>, path = "config.json"): ModelConfig => {
  const family = raw["model_type"]
  if (!isFamily(family)) {
    throw new BadCheckpoint({
      path,
      problem: `model_type ${JSON.stringify(family) ?? "missing"} is not supported`,
      remedy: `Supported model types: ${families.join(", ")} (architectures ${supported.join(", ")}).`
    })
  }
  const defaults = absent[family]
  const of = fields(raw)
  const head = headOf(of, family)
  const dim = of.size("hidden_size")
  const layers = of.size("num_hidden_layers", undefined, 10_000)
  const heads = of.size("num_attention_heads")
  const kvHeads = raw["num_key_value_heads"] === null
    ? heads
    : of.size("num_key_value_heads", defaults.kvHeads ?? heads)
  const headDim = headDimOf(of, defaults.headDim, dim, heads)
  const context = of.size("max_position_embeddings", defaults.context)
  const vocab = of.size("vocab_size")
  const attentionBias = (family === "llama" || family === "qwen3") && of.flag("attention_bias", false)
  const config: ModelConfig = {
    family,
    head,
    vocab,
    dim,
    layers,
    heads,
    kvHeads,
    headDim,
    ffn: of.size("intermediate_size"),
    ...(raw[idleKey] === undefined ? {} : { idle: of.size(idleKey, 0, Number.MAX_SAFE_INTEGER) }),
    context,
    normEps: of.number("rms_norm_eps", 1e-6),
    rope: ropeOf(of, context),
    tied: of.flag("tie_word_embeddings", false),
    qkvBias: family === "qwen2" || attentionBias,
    outBias: attentionBias,
    mlpBias: family === "llama" && of.flag("mlp_bias", false),
    qkNorm: family === "qwen3",
    window: windowOf(of, family, layers, context),
    bos: of.ids("bos_token_id", defaults.bos, vocab)[0] ?? null,
    eos: of.ids("eos_token_id", defaults.eos, vocab),
    pad: padOf(raw["pad_token_id"], vocab),
    raw
  }
  if (!(config.normEps > 0)) of.wrong(`rms_norm_eps must be positive, not ${config.normEps}`)
  if (heads % kvHeads !== 0) {
    of.wrong(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`)
  }
  if (headDim % 2 !== 0) of.wrong(`the head size ${headDim} is odd, rotary embeddings need an even size`)
  const activation = of.text("hidden_act", "silu")
  if (activation !== "silu" && activation !== "swish") {
    of.wrong(`hidden_act ${activation} is not supported, only silu is`)
  }
  if (raw["quantization_config"] != null) of.wrong("the weights are quantized (quantization_config)")
  if (of.problems.length > 0) {
    throw new BadCheckpoint({
      path,
      problem: of.problems.join("; "),
      remedy: `Use an unmodified checkpoint of one of ${supported.join(", ")}.`
    })
  }
  return config
}

/** The code never looks a padding token up, so an id outside the vocabulary (as in some real checkpoints) is no mistake. */
const padOf = (id: unknown, vocab: number): number | null =>
  typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocab ? id : null

const headOf = (of: FieldReader, family: Family): ModelConfig["head"] => {
  const names = of.raw["architectures"]
  if (names === undefined || names === null) return "lm"
  const name = Array.isArray(names) && names.length === 1 ? names[0] as unknown : names
  if (name === architectureOf(family, "lm")) return "lm"
  if (name !== architectureOf(family, "score")) {
    const known = `${architectureOf(family, "lm")} and ${architectureOf(family, "score")}`
    of.wrong(`architecture ${JSON.stringify(name)} is not supported for model_type ${family}, only ${known} are`)
    return "lm"
  }
  const labels = of.raw["id2label"]
  const count = of.raw["num_labels"] ?? (typeof labels === "object" && labels !== null ? Object.keys(labels).length : 2)
  if (count !== 1) {
    of.wrong(`the classification head has ${JSON.stringify(count)} labels, only 1 (a scalar) is supported`)
  }
  return "score"
}

const headDimOf = (of: FieldReader, otherwise: number | null, dim: number, heads: number): number => {
  const given = of.raw["head_dim"]
  if (given !== undefined && given !== null) return of.size("head_dim")
  if (given === undefined && otherwise !== null) return otherwise
  if (dim % heads !== 0) {
    of.wrong(`hidden_size ${dim} is not a multiple of num_attention_heads ${heads} and head_dim is missing`)
  }
  return Math.max(2, Math.floor(dim / heads))
}

/** Llama has no window; Mistral has the same window in all layers; Qwen lists the layers that have it. */
const windowOf = (of: FieldReader, family: Family, layers: number, context: number): number => {
  if (family === "llama") return 0
  const size = of.raw["sliding_window"] === null ? 0 : of.size("sliding_window", 4096)
  const used = family === "mistral" || of.flag("use_sliding_window", false)
  const types = of.raw["layer_types"]
  const sliding: ReadonlyArray<boolean> = Array.isArray(types)
    ? types.map((type) => type === "sliding_attention")
    : family === "mistral"
    ? Array.from({ length: layers }, () => true)
    : Array.from({ length: layers }, (_, i) => used && size > 0 && i >= of.size("max_window_layers", 28, undefined, 0))
  if (Array.isArray(types)) {
    const other = types.find((type) => type !== "sliding_attention" && type !== "full_attention") as unknown
    if (other !== undefined) of.wrong(`layer_types ${JSON.stringify(other)} is not supported`)
    if (types.length !== layers) of.wrong(`layer_types has ${types.length} entries for ${layers} layers`)
  }
  if (!sliding.includes(true)) return 0
  if (family !== "mistral" && !(used && size > 0)) {
    of.wrong("layer_types has sliding_attention but sliding_window is not in use")
  }
  // A window that no sequence can outgrow has no effect, whichever layers have it.
  if (size === 0 || size >= context) return 0
  if (sliding.includes(false)) {
    of.wrong(
      "some layers have a sliding window and some do not (layer_types, max_window_layers): mixed windows are not supported"
    )
  }
  return size
}

/**
 * The same model with a scalar head instead of the vocabulary's, or back: the `config.json` that goes with the weights. A new scalar head
 * has no padding token where that is the end: transformers would read the score before the end.
 */
export const withHead = (
  raw: Readonly<Record<string, unknown>>,
  head: ModelConfig["head"]
): Readonly<Record<string, unknown>> => {
  const { eos, family, head: before, pad } = modelConfig(raw)
  const { id2label: _i, label2id: _l, num_labels: _n, problem_type: _p, ...rest } = raw
  const architectures = [architectureOf(family, head)]
  return head === "lm"
    ? { ...rest, architectures }
    : {
      ...rest,
      ...(before === "lm" && pad !== null && eos.includes(pad) ? { pad_token_id: null } : {}),
      architectures,
      id2label: { 0: "LABEL_0" },
      label2id: { LABEL_0: 0 }
    }
}
