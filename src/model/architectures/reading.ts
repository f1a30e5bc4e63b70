/** The fields of `config.json` that most architectures share, in the names of transformers. */
import type { Functions, Layer, ModelConfig } from "../architecture.ts"
import { llamaStructure } from "../architecture.ts"
import type { FieldReader } from "../fields.ts"
import { type Rope, type RopeDefaults, ropeOf } from "../ropeConfig.ts"

/** The description in the file of a model, apart from its head. */
export type Described = Omit<ModelConfig, "family" | "head" | "carried" | "raw">

/** An architecture of transformers: its `config.json` as a `ModelConfig`. */
export interface Architecture {
  /** `model_type`. */
  readonly type: string
  /** Its classes begin with this: `…ForCausalLM`, `…ForSequenceClassification`. */
  readonly prefix: string
  /** Those that are called otherwise. */
  readonly classes?: Partial<Readonly<Record<ModelConfig["head"], string>>>
  /** Fields that its owner's code does not read, or that have no effect on the results. */
  readonly ignored?: ReadonlyArray<string>
  /** Tensors beside the model that post-training leaves alone. */
  readonly carried?: RegExp
  readonly read: (of: FieldReader) => Described
}

/**
 * Values of keys that `config.json` leaves out, as transformers fills them in (its configuration classes, 5.18). Sizes that decide
 * the shape of every tensor are not guessed: they must be there.
 */
export interface Defaults {
  /** null: as many as query heads. */
  readonly kvHeads: number | null
  /** null: `hidden_size / num_attention_heads`. */
  readonly headDim?: number | null
  readonly context: number
  readonly bos: number | null
  readonly eos: number | null
  readonly tied?: boolean
  /** The field of ε, and its value. */
  readonly eps?: readonly [field: string, value: number]
  /** The field of the activation, and its value. */
  readonly activation?: readonly [field: string, value: string]
  readonly rope?: Omit<RopeDefaults, "context" | "headDim">
}

/** A decoder that differs from a Llama as its architecture says. */
export const decoder = (of: FieldReader, defaults: Defaults): Described => {
  const dim = of.size("hidden_size")
  const layers = of.size("num_hidden_layers", undefined, 10_000)
  const heads = of.size("num_attention_heads")
  const kvHeads = of.value("num_key_value_heads") === null
    ? heads
    : of.size("num_key_value_heads", defaults.kvHeads ?? heads)
  const headDim = headDimOf(of, defaults.headDim ?? null, dim, heads)
  const context = of.size("max_position_embeddings", defaults.context)
  const vocab = of.size("vocab_size")
  const [epsField, epsValue] = defaults.eps ?? ["rms_norm_eps", 1e-6]
  const eps = of.number(epsField, epsValue)
  if (!(eps > 0)) of.wrong(`${epsField} must be positive, not ${eps}`)
  if (heads % kvHeads !== 0) {
    of.wrong(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`)
  }
  return {
    ...llamaStructure,
    vocab,
    dim,
    layers,
    heads,
    kvHeads,
    headDim,
    ffn: of.size("intermediate_size"),
    context,
    tied: of.flag("tie_word_embeddings", defaults.tied ?? false),
    norm: { kind: "rms", eps, plus: 0 },
    activation: activationOf(of, ...defaults.activation ?? ["hidden_act", "silu"]),
    ...plain(headDim),
    ropes: [],
    blocks: layersOf(Array.from({ length: layers }, () => 0), () => null),
    ...tokens(of, vocab, defaults)
  }
}

/** The rotation of every layer, and the window of each. */
export const rotated = (
  of: FieldReader,
  { context, headDim, layers }: Described,
  { rope, windows = [] }: {
    readonly rope?: Defaults["rope"] | undefined
    readonly windows?: ReadonlyArray<number>
  } = {}
): Pick<Described, "blocks" | "ropes"> => ({
  ropes: [ropeOf(of, { ...rope, context, headDim })],
  blocks: layersOf(Array.from({ length: layers }, (_, i) => windows[i] ?? 0), () => 0)
})

/** Layers by their windows; `rope` is that of layer i. */
export const layersOf = (
  windows: ReadonlyArray<number>,
  rope: (layer: number) => number | null
): ReadonlyArray<Layer> =>
  windows.map((window, i) => ({ attention: { form: "grouped", window, rope: rope(i) }, mlp: { form: "dense" } }))

/** Functions that only some architectures change. */
export const plain = (
  headDim: number
): Omit<Functions, "activation" | "blocks" | "norm" | "ropes"> => ({
  parallel: false,
  attentionScale: 1 / Math.sqrt(headDim),
  attentionCap: 0,
  embedScale: 1,
  logitScale: 1,
  logitCap: 0
})

export const tokens = (
  of: FieldReader,
  vocab: number,
  { bos, eos }: Pick<Defaults, "bos" | "eos">
): Pick<ModelConfig, "bos" | "eos" | "pad"> => ({
  bos: of.ids("bos_token_id", bos, vocab)[0] ?? null,
  eos: of.ids("eos_token_id", eos, vocab),
  pad: padOf(of.value("pad_token_id"), vocab)
})

/** The code never looks a padding token up, so an id outside the vocabulary (as in some real checkpoints) is no mistake. */
const padOf = (id: unknown, vocab: number): number | null =>
  typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocab ? id : null

const activations: Readonly<Record<string, Functions["activation"]>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh"
}

export const activationOf = (of: FieldReader, field: string, otherwise: string): Functions["activation"] => {
  const name = of.text(field, otherwise)
  if (!Object.hasOwn(activations, name)) {
    of.wrong(`${field} ${name} is not supported, only ${Object.keys(activations).join(", ")} are`)
  }
  return activations[name] ?? "silu"
}

const headDimOf = (of: FieldReader, otherwise: number | null, dim: number, heads: number): number => {
  const given = of.value("head_dim")
  const size = given !== undefined && given !== null
    ? of.size("head_dim")
    : given === undefined && otherwise !== null
    ? otherwise
    : dim / heads
  if (!Number.isInteger(size)) {
    of.wrong(`hidden_size ${dim} is not a multiple of num_attention_heads ${heads} and head_dim is missing`)
  } else if (size % 2 !== 0) of.wrong(`the head size ${size} is odd, rotary embeddings need an even size`)
  return Math.max(2, Math.floor(size))
}

/** A cap: a positive number, or 0 for none. */
export const capOf = (of: FieldReader, field: string, otherwise: number | null): number => {
  if (of.value(field) === null || (of.value(field) === undefined && otherwise === null)) return 0
  const cap = of.number(field, otherwise ?? undefined)
  if (!(cap > 0)) of.wrong(`${field} must be positive, not ${cap}`)
  return cap
}

export type LayerType = "sliding_attention" | "full_attention"

/** `layer_types`, or the architecture's own where they are left out. */
export const layerTypes = (
  of: FieldReader,
  layers: number,
  otherwise: (layer: number) => LayerType
): ReadonlyArray<LayerType> => {
  const types = of.value("layer_types")
  const usual = Array.from({ length: layers }, (_, i) => otherwise(i))
  if (types === undefined || types === null) return usual
  if (!Array.isArray(types)) {
    of.wrong("layer_types must be a list")
    return usual
  }
  const list = types as ReadonlyArray<unknown>
  const known = (type: unknown): type is LayerType => type === "sliding_attention" || type === "full_attention"
  const other = list.find((type) => !known(type))
  if (other !== undefined) of.wrong(`layer_types ${JSON.stringify(other)} is not supported`)
  if (list.length !== layers) of.wrong(`layer_types has ${list.length} entries for ${layers} layers`)
  return usual.map((type, i) => known(list[i]) ? list[i] : type)
}

/** Every `sliding_window_pattern`-th layer is full, and the others have a window. */
export const everyNth = (of: FieldReader, otherwise: number): (layer: number) => LayerType => {
  const n = of.size("sliding_window_pattern", otherwise)
  return (layer) => (layer + 1) % n === 0 ? "full_attention" : "sliding_attention"
}

/** The window of each layer, tokens. A window that no sequence can outgrow has no effect. */
export const windowsOf = (
  of: FieldReader,
  types: ReadonlyArray<LayerType>,
  context: number,
  otherwise: number | null
): ReadonlyArray<number> => {
  const none = of.value("sliding_window") === null || (of.value("sliding_window") === undefined && otherwise === null)
  const size = none ? 0 : of.size("sliding_window", otherwise ?? undefined)
  return types.map((type) => type === "sliding_attention" && size < context ? size : 0)
}

/** Rotations by kind of layer: those of full layers, and those of layers with a window. */
export const ropesByType = (
  of: FieldReader,
  { context, headDim }: Pick<Described, "context" | "headDim">,
  theta: { readonly full: number; readonly sliding: number }
): ReadonlyArray<Rope> => {
  const given = of.value("rope_parameters")
  const nested = (kind: LayerType): Readonly<Record<string, unknown>> | undefined => {
    const own = typeof given === "object" && given !== null ? (given as Record<string, unknown>)[kind] : undefined
    return typeof own === "object" && own !== null ? own as Record<string, unknown> : undefined
  }
  const scaling = of.value("rope_scaling")
  const scaled = typeof scaling === "object" && scaling !== null ? scaling as Record<string, unknown> : {}
  return [
    ropeOf(of, { context, headDim, theta: theta.full, given: { ...nested("full_attention"), ...scaled } }),
    ropeOf(of, { context, headDim, theta: theta.sliding, given: nested("sliding_attention") ?? {} })
  ]
}
