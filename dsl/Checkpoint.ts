/**
 * A model that exists already: a Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`), here or on the hub; or one of
 * which only the shape is known, for plans.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "./Artifact.ts"
import { build, define } from "./Definition.ts"
import { Count } from "./Training.ts"

/** The shape of a decoder, as its publication reports it. */
export class Shape extends Schema.Class<Shape>("CheckpointShape")({
  /** The model's own name, e.g. `GPT-3 175B`. */
  name: Schema.optionalKey(Schema.NonEmptyString),
  /** Its name on the Hugging Face hub, where its weights are published. */
  hub: Schema.optionalKey(Schema.NonEmptyString),
  layers: Count,
  /** Width of the residual stream. */
  dim: Count,
  /** Query heads. */
  heads: Count,
  /** Key and value heads; as many as `heads` when left out. */
  kvHeads: Schema.optionalKey(Count),
  /** Size of a head; `dim / heads` when left out. */
  headDim: Schema.optionalKey(Count),
  /** Width of the feed-forward: of its two inner matrices, or of its only one where `gated` is false. */
  ffn: Count,
  /** Whether the feed-forward has a gate (SwiGLU, three matrices); of GPT-2 and GPT-3 it has none (two). Default: it has. */
  gated: Schema.optionalKey(Schema.Boolean),
  /** Whether the output matrix is the embedding. Default: it is not. */
  tied: Schema.optionalKey(Schema.Boolean),
  /** Size of the vocabulary, tokens. */
  vocab: Count,
  /** Longest sequence, tokens. */
  context: Count,
  /** Of a mixture of experts, in place of one feed-forward: how many there are, how many a token passes, and the width of each. */
  experts: Schema.optionalKey(Schema.Struct({
    count: Count,
    active: Count,
    ffn: Count,
    /** Experts that every token passes, beside the active ones. */
    shared: Schema.optionalKey(Schema.Natural),
    /** The first layers, which have one feed-forward and no experts (`first_k_dense_replace`); 0 when left out. */
    dense: Schema.optionalKey(Schema.Natural)
  }))
}) {}

export class Checkpoint extends Schema.TaggedClass<Checkpoint>()("Checkpoint", {
  /** The family whose tokenizer it speaks; models of different families do not mix. */
  family: Schema.NonEmptyString,
  /** A folder, or a model of the hub: `hf://owner/name@revision`. */
  path: Schema.optionalKey(Schema.NonEmptyString),
  /** In place of `path`: a model that is planned by its shape and cannot run. */
  shape: Schema.optionalKey(Shape),
  /** A folder with a LoRA adapter in PEFT's layout, which is merged into the weights. */
  adapter: Schema.optionalKey(Schema.NonEmptyString),
  /**
   * Renders conversations, in place of the model's own chat template, which a base model may not have: Jinja as in transformers, the text and
   * not a path. It is saved with every model that is trained from this one.
   */
  chatTemplate: Schema.optionalKey(Schema.NonEmptyString)
}) {}

export const definition = define(Checkpoint, {}, {
  mistakes: ({ adapter, chatTemplate, path, shape }) => [
    (path === undefined) === (shape === undefined) &&
    "it needs its weights, path, or for plans alone its shape: write one of the two",
    shape !== undefined && (adapter ?? chatTemplate) !== undefined &&
    "adapter and chatTemplate are of a model with weights, and this is a shape: leave them out",
    ...shape === undefined ? [] : shapeMistakes(shape)
  ],
  makes: "BaseModel"
})

const shapeMistakes = ({ dim, experts, headDim, heads, kvHeads = heads }: Shape): ReadonlyArray<string | false> => [
  headDim === undefined && dim % heads !== 0 &&
  `shape.dim ${dim} is not a multiple of shape.heads ${heads}: write headDim`,
  heads % kvHeads !== 0 && `shape.heads ${heads} is not a multiple of shape.kvHeads ${kvHeads}`,
  experts !== undefined && experts.active > experts.count &&
  `${experts.active} of ${experts.count} experts are active: active is at most count`
]

/** A base model from a Hugging Face folder. */
export const huggingFace = <const F extends string>(
  family: F,
  path: string,
  options: { readonly adapter?: string; readonly chatTemplate?: string } = {}
): Artifact.Artifact<"BaseModel", F> => build(definition, {}, { family, path, ...options })

/**
 * A base model of the Hugging Face hub, by its name (`owner/name`): safetensors of the Llama family. It is fetched once into the cache; a
 * branch or tag is resolved to a commit then, which the run says, and again by `keel fetch`.
 */
export const hub = <const F extends string>(
  family: F,
  name: string,
  { revision = "main", ...options }: { readonly revision?: string; readonly adapter?: string } = {}
): Artifact.Artifact<"BaseModel", F> => huggingFace(family, `hf://${name}@${encodeURIComponent(revision)}`, options)

/**
 * A base model of which only the shape is known, because it is not published or not at hand. It type-checks and plans; `keel run` refuses
 * it, and says which checkpoint to put in its place.
 *
 * ```ts
 * import { Checkpoint } from "../dsl/index.ts"
 * const gpt3 = Checkpoint.described("gpt3", {
 *   name: "GPT-3 175B",
 *   layers: 96,
 *   dim: 12_288,
 *   heads: 96,
 *   ffn: 49_152,
 *   gated: false,
 *   vocab: 50_257,
 *   context: 2048
 * })
 * gpt3.node.kind // => "BaseModel"
 * ```
 */
export const described = <const F extends string>(
  family: F,
  shape: typeof Shape["~type.make.in"]
): Artifact.Artifact<"BaseModel", F> => build(definition, {}, { family, shape })
