/** A model that exists already: a Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`), here or on the hub. */
import * as Schema from "effect/Schema"
import type * as Artifact from "./Artifact.ts"
import { build, define } from "./Definition.ts"

export class Checkpoint extends Schema.TaggedClass<Checkpoint>()("Checkpoint", {
  /** The family whose tokenizer it speaks; models of different families do not mix. */
  family: Schema.NonEmptyString,
  /** A folder, or a model of the hub: `hf://owner/name@revision`. */
  path: Schema.NonEmptyString,
  /** A folder with a LoRA adapter in PEFT's layout, which is merged into the weights. */
  adapter: Schema.optionalKey(Schema.NonEmptyString),
  /**
   * Renders conversations, in place of the model's own chat template, which a base model may not have: Jinja as in transformers, the text and
   * not a path. It is saved with every model that is trained from this one.
   */
  chatTemplate: Schema.optionalKey(Schema.NonEmptyString)
}) {}

export const definition = define(Checkpoint, {}, { makes: "BaseModel" })

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
