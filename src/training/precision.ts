/** The precision that a stage's description asks for: how its models are opened, and what rounding does to their numbers. */
import type { Batch, Computing, Engine, Policy, Precision, Scorer, Weights } from "../engine/engine.ts"
import type { Metrics } from "../store/runLog.ts"

/** What concerns only the models that a stage trains; the loop adds it when it opens them. */
export type Trained = Pick<Computing, "lora">

/** Opens every model of a stage, those that only look on too, so that what is compared was computed in the same way. */
export const openers = (engine: Engine, { precision, recompute }: Omit<Computing, "lora">) => {
  const computing: Computing = {
    ...(precision === undefined ? {} : { precision }),
    ...(recompute === undefined ? {} : { recompute })
  }
  return {
    policy: (weights: Weights, trained: Trained = {}): Policy => engine.policy(weights, { ...computing, ...trained }),
    scorer: (weights: Weights, trained: Trained = {}): Scorer => engine.scorer(weights, { ...computing, ...trained })
  }
}

/** Where in a stage it is measured what rounding does, and whether at all. */
export interface Rounding {
  readonly engine: Engine
  readonly precision: Precision | undefined
  /** The step about to be made, and how many there are. */
  readonly n: number
  readonly steps: number
}

/** At the first step and at the last: training can make a model more sensitive. A world without precisions is exact. */
const measured = ({ engine, n, precision, steps }: Rounding): boolean =>
  precision === "bf16" && engine.precisions !== undefined && (n === 0 || n === steps - 1)

/** The steps that rounding makes longer than others, as `turns` of a rehearsal. */
export const roundingTurns = (precision: Precision | undefined, steps: number): ReadonlyArray<number> =>
  precision === "bf16" ? [1, steps - 1] : []

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

/** Mean and largest |log π_bf16 − log π_f32| of the tokens of a batch, nats; `logps` are the policy's own. */
export const logpGap = (rounding: Rounding, policy: Policy, batch: Batch, logps: Float64Array): Metrics =>
  measured(rounding) ? gap("logp", logps, policy.logprobs(batch, { precision: "f32" }).logps) : {}

/** The same of a scalar head, in the unit of its values; a new head is zero, so the gap of the first step is too. */
export const valueGap = (rounding: Rounding, scorer: Scorer, batch: Batch, values: Float64Array): Metrics =>
  measured(rounding) ? gap("value", values, scorer.values(batch, { precision: "f32" }).values) : {}
