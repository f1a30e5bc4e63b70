/**
 * Low-rank adaptation of a training stage (Hu et al. 2021, arXiv 2106.09685, eq. 3): W + (α/r) B A with W frozen; A [r,
 * in] starts random, B [out, r] at 0, and they alone have gradients and optimiser state. The result of the stage is an
 * ordinary model with the adapter merged into its weights; the store keeps the adapter beside it, in PEFT's layout.
 *
 * It applies to the models that a stage trains (also a value model; a scalar head is trained as a whole, without an
 * adapter). To train against the model without its adapter, connect the stage's start to the wire of the reference.
 * There is no dropout: a policy compared with a reference must be a function of its weights.
 *
 * On the tabular engine, whose policies are tables and have no matrices to adapt, the whole table is trained.
 */
import * as Schema from "effect/Schema"

/** The linear layers of a Llama-family model, under their Hugging Face names. */
export const TargetModule = Schema.Literals([
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj"
])
export type TargetModule = typeof TargetModule.Type

export const Lora = Schema.Struct({
  /** r (PEFT `r`): at most the smaller dimension of each target. */
  rank: Schema.Int.check(Schema.isGreaterThan(0, { message: "must be a whole number above 0" })),
  /** The update is scaled by α/r (PEFT `lora_alpha`). */
  alpha: Schema.Finite.check(Schema.isGreaterThan(0, { message: "must be above 0" })),
  /** Which projections of every layer get an adapter. Hu et al. adapt `q_proj` and `v_proj`. */
  targetModules: Schema.NonEmptyArray(TargetModule).check(
    Schema.makeFilter((names: ReadonlyArray<string>) =>
      new Set(names).size === names.length || "must name each module once"
    )
  )
})
export type Lora = typeof Lora.Type

/** Every linear layer (QLoRA, Dettmers et al. 2023, §4). */
export const allLinear = TargetModule.literals
