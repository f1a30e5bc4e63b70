/**
 * A base model from plain text: next-token cross-entropy, L = −(1/N) Σ log π(x_t | x_<t), over documents packed into rows.
 * The tokenizer has one token for each word of the corpus. Lets a recipe start without a checkpoint. From the model on the wire `init`
 * it is continued pretraining (Gururangan et al. 2020, arXiv 2004.10964): its family, shape and tokenizer stay, and `family`, `model` and
 * `chatTemplate` are left out. Trained by `src/stages/pretrain.ts`, loss in `src/losses/crossEntropy.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build, define } from "../Definition.ts"
import type { TrainingError } from "../Errors.ts"
import { Count, training } from "../Training.ts"
import { truncating } from "../Truncation.ts"
import { type Checked, data, type Given, model, optional } from "../Wires.ts"

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
  family: Schema.optionalKey(Schema.NonEmptyString),
  /** Of a new model. */
  model: Schema.optionalKey(Shape),
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

/** Mistakes in a new model. */
const newMistakes = ({ family, lora, model }: Pretrain): ReadonlyArray<string | false> => {
  const { dim, heads, kvHeads } = model ?? { dim: 2, heads: 1, kvHeads: 1 }
  return [
    family === undefined && "family is missing: name the new model family, or connect Pretrain.init",
    model === undefined && "model is missing: give the shape of the new model, or connect Pretrain.init",
    lora !== undefined &&
    "lora adapts a model that exists; pretraining starts from nothing: connect Pretrain.init, or leave lora out",
    dim % heads !== 0 && `model.dim ${dim} is not a multiple of model.heads ${heads}`,
    (dim / heads) % 2 === 1 && `a head has ${dim / heads} dimensions; it must be even for RoPE`,
    heads % kvHeads !== 0 && `model.heads ${heads} is not a multiple of model.kvHeads ${kvHeads}`
  ]
}

export const definition = define(Pretrain, {
  text: data("Text", "plain text, e.g. Source.text(…)"),
  init: optional(model(["BaseModel", "Policy"], "the model to continue from, e.g. Checkpoint.huggingFace(…)"))
}, {
  main: "init",
  parent: "init",
  opens: { trained: ["init"] },
  passesOver: "text",
  mistakes: (stage, { init }) =>
    init === undefined
      ? newMistakes(stage)
      : (["family", "model", "chatTemplate"] as const).map((name) =>
        stage[name] !== undefined && `${name} is that of Pretrain.init: leave it out, or leave init out`
      ),
  makes: "BaseModel"
})

type Params = typeof Pretrain["~type.make.in"]

export const make = <W extends Given, const F extends string = never>(
  connected: Checked<"Pretrain", typeof definition.wires, "init", W>,
  params: W extends { readonly init: unknown } ? Omit<Params, "family" | "model" | "chatTemplate">
    : Omit<Params, "family" | "model"> & { readonly family: F; readonly model: NonNullable<Params["model"]> }
): Artifact.Output<
  W,
  "BaseModel",
  W extends { readonly init: infer I } ? Artifact.FamilyOf<I> : F,
  Compute,
  W extends { readonly init: infer I } ? Artifact.AllottedOf<I> : 0,
  TrainingError
> => build(definition, connected, params)
