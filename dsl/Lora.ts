/**
 * Low-rank adaptation of a training stage (Hu et al. 2021, arXiv 2106.09685, eq. 3): W + (α/r) B A with W frozen; A [r, in]
 * starts random, B [out, r] at 0, and they alone have gradients and optimiser state. What the stage makes is an ordinary model,
 * with the adapter merged into its weights; the adapter is kept beside it in the store, in PEFT's layout.
 *
 * It concerns the models that a stage trains (a value model too; a scalar head is trained as a whole, no adapter reaches it).
 * A reference stays whatever is on its wire: connect what the stage starts from for the model without its adapter. There is no
 * dropout: what is compared with a reference must be a function of the weights.
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
