/** What a checkpoint holds, and the tokenizer that reads its files: what a model is before any engine opens it. */

/** Named arrays, as safetensors holds them. */
export interface TensorData {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array | Float64Array
}
export type Tensors = ReadonlyMap<string, TensorData>

/** What a checkpoint holds: the model's configuration (Hugging Face `config.json`), its weights, and its tokenizer files. */
export interface Weights {
  readonly config: Readonly<Record<string, unknown>>
  readonly tensors: Tensors
  /** File name → contents, e.g. `tokenizer.json`; the same in every checkpoint of a family. */
  readonly tokenizer: ReadonlyMap<string, string>
  /** Reward models that are read as one, in place of tensors. */
  readonly ensemble?: EnsembleReading
  /** What was merged into `tensors` last, when they were trained as adapters: to be kept beside them. */
  readonly adapter?: Adapter
}

/** A trained adapter. */
export interface Adapter {
  readonly rank: number
  readonly alpha: number
  /** The projections of every layer that it is for, under their Hugging Face names, e.g. `q_proj`. */
  readonly targetModules: ReadonlyArray<string>
  /** A [r, in] and B [out, r] by the module that they are added to, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly pairs: ReadonlyMap<string, { readonly a: TensorData; readonly b: TensorData }>
  /** The scalar head, which is trained as a whole; null of a policy. */
  readonly head: TensorData | null
}

/** How the rewards of an ensemble's members become one: the data of `dsl/stages/Ensemble.ts`. */
export type EnsembleRule =
  | { readonly _tag: "Mean" }
  | { readonly _tag: "WorstCase" }
  | { readonly _tag: "UncertaintyWeighted"; readonly lambda: number }

/** Reward models that are read as one. */
export interface EnsembleReading {
  readonly members: ReadonlyArray<Weights>
  readonly rule: EnsembleRule
}

/** Text to token ids and back, for one model family. */
export interface Codec {
  /** Includes what the model wants in front (bos). */
  readonly encodePrompt: (text: string) => Int32Array
  /** Continues a prompt: nothing in front; `end` appends the end-of-sequence token. */
  readonly encodeCompletion: (text: string, options: { readonly end: boolean }) => Int32Array
  /**
   * The tokens of the joined texts, divided at their boundaries; a token that spans one belongs to the later part. Null or left out where
   * parts are encoded apart: those of a world, and of a vocabulary of whole words.
   */
  readonly encodeParts?: (parts: ReadonlyArray<string>) => ReadonlyArray<Int32Array> | null
  /** Without special tokens. */
  readonly decode: (ids: ArrayLike<number>) => string
  /**
   * A conversation to prompt text with the model's own chat template, given further variables such as `tools`; throws when it has
   * none.
   */
  readonly chat: (
    messages: ReadonlyArray<{ readonly role: string; readonly content: string | null }>,
    variables?: Readonly<Record<string, unknown>>
  ) => string
  /**
   * For models without a tokenizer, in place of a chat template: the tokens of an answer to a turn, null where nothing can follow the
   * turn.
   */
  readonly answers?: (turn: { readonly ended: boolean }, text: string) => Int32Array | null
  /** End-of-sequence tokens. */
  readonly stop: ReadonlyArray<number>
  readonly vocab: number
  /** The token of text that no other token stands for (`<unk>`), if there is one. */
  readonly unknown?: number
}
