/**
 * A base model from plain text: next-token cross-entropy, L = −(1/N) Σ log π(x_t | x_<t), over documents packed into rows.
 * The tokenizer has one token for each word of the corpus. Lets a recipe start without a checkpoint. Trained by
 * `src/stages/pretrain.ts`, loss in `src/losses/crossEntropy.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build, define } from "../Definition.ts"
import type { TrainingError } from "../Errors.ts"
import { Count, training } from "../Training.ts"
import { truncating } from "../Truncation.ts"
import { type Checked, data, type Given } from "../Wires.ts"

/** Shape of a Llama-family model with tied embeddings. */
export class Shape extends Schema.Class<Shape>("Shape")({
  /** Width of the residual stream (`hidden_size`). */
  dim: Count,
  layers: Count,
  heads: Count,
  /** Key/value heads; fewer than `heads` is grouped-query attention. */
  kvHeads: Count,
  /** Width of the SwiGLU feed-forward (`intermediate_size`). */
  ffn: Count,
  /** Longest sequence, tokens. */
  context: Count
}) {}

export class Pretrain extends Schema.TaggedClass<Pretrain>()("Pretrain", {
  /** Name of the new model family. */
  family: Schema.NonEmptyString,
  model: Shape,
  /** Optimiser steps. */
  steps: Count,
  /**
   * Renders conversations for the model and all that are trained from it: Jinja as in transformers. Its words must be words of the text;
   * `</s>` ends a turn.
   */
  chatTemplate: Schema.optionalKey(Schema.NonEmptyString),
  /** Documents per optimiser step. */
  batchSize: Count,
  ...truncating,
  ...training
}) {}

export const definition = define(Pretrain, { text: data("Text", "plain text, e.g. Source.text(…)") }, {
  passesOver: "text",
  mistakes: ({ lora, model: { dim, heads, kvHeads } }) => [
    lora !== undefined && "lora adapts a model that exists; pretraining starts from nothing",
    dim % heads !== 0 && `model.dim ${dim} is not a multiple of model.heads ${heads}`,
    (dim / heads) % 2 === 1 && `a head has ${dim / heads} dimensions; it must be even for RoPE`,
    heads % kvHeads !== 0 && `model.heads ${heads} is not a multiple of model.kvHeads ${kvHeads}`
  ],
  makes: "BaseModel"
})

export const make = <W extends Given, const F extends string>(
  connected: Checked<"Pretrain", typeof definition.wires, never, W>,
  params: Omit<typeof Pretrain["~type.make.in"], "family"> & { readonly family: F }
): Artifact.Output<
  W,
  "BaseModel",
  F,
  Compute,
  0,
  TrainingError
> => build(definition, connected, params)
