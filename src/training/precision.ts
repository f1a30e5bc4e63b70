/** The precision of a stage's description: how its models are opened, and the effect of rounding on their numbers. */
import type { Batch, Computing, Engine, Policy, Precision, Scorer, Weights } from "../engine/engine.ts"
import type { Metrics } from "../store/runLog.ts"

/** Options of trained models only; the loop adds them when it opens a model. */
export type Trained = Pick<Computing, "lora">

/** Opens every model of a stage, frozen models too, in one precision, so that their numbers are comparable. */
export const openers = (
  engine: Engine,
  { precision, recompute }: Required<Pick<Computing, "precision" | "recompute">>
) => {
  return {
    policy: (weights: Weights, trained: Trained = {}): Policy =>
      engine.policy(weights, { precision, recompute, ...trained }),
    scorer: (weights: Weights, trained: Trained = {}): Scorer =>
      engine.scorer(weights, { precision, recompute, ...trained })
  }
}

export type Openers = ReturnType<typeof openers>

/** Where in a stage rounding is measured, and whether at all. */
export interface Rounding {
  readonly engine: Engine
  readonly precision: Precision
  /** The current step, and the number of steps. */
  readonly n: number
  readonly steps: number
}

/** At the first step and at the last: training can make a model more sensitive. A tabular world is exact. */
const measured = ({ engine, n, precision, steps }: Rounding): boolean =>
  precision === "bf16" && engine.precisions !== undefined && (n === 0 || n === steps - 1)

const gap = (name: string, rounded: Float64Array, exact: Float64Array): Metrics => {
  let [sum, most] = [0, 0]
  rounded.forEach((x, i) => {
    const difference = Math.abs(x - exact[i]!)
    sum += difference
    // Not Math.max alone: a NaN must not look like agreement.
    if (!(difference <= most)) most = difference
  })
  return rounded.length === 0
    ? {}
    : { [`bf16/${name}_gap_mean`]: sum / rounded.length, [`bf16/${name}_gap_max`]: most }
}

/**
 * Mean and largest |log π_bf16 − log π_f32| of the tokens of a batch, nats; for a scorer the same of its values, in
 * their unit (a new head is zero, and so is its first gap). `numbers` are the model's own where known.
 */
export const roundingGap = (
  rounding: Rounding,
  model: Policy | Scorer,
  batch: Batch,
  numbers: Float64Array | null
): Metrics => {
  if (!measured(rounding)) return {}
  const read = (how?: { readonly precision: Precision }): Float64Array =>
    "values" in model ? model.values(batch, how).values : model.logprobs(batch, how).logps
  return gap("values" in model ? "value" : "logp", numbers ?? read(), read({ precision: "f32" }))
}
