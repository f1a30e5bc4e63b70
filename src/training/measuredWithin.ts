/**
 * Measurements of KL that a stage made under other caps, held against its caps now: by them a result is reused, and a checkpoint gone on
 * from, exactly if a run under these caps would have come to it.
 */
import { type KlCap, passed } from "../../dsl/KlCap.ts"
import type { Measurement } from "../store/runLog.ts"

/** A cap with the key of its initial model, by which a kept measurement names it (`from`). */
export interface KeyedKlCap extends Omit<KlCap, "from"> {
  readonly key: string
}

/** The fields of `dsl/KlSpending.ts` that say when and how precisely to measure; one measurement at the end without them. */
export interface MeasuredHow {
  readonly measureEvery?: number
  readonly measureSamples?: number
}

/** The statistic by which a measurement passed a cap. */
export const passedBy = (cap: KeyedKlCap, { max = null, mean, p95 = null }: Measurement) =>
  passed(cap as never, { mean, p95, max })

/** Whether a measurement has every statistic that the cap limits. */
const tells = ({ max, p95 }: KeyedKlCap, measured: Measurement): boolean =>
  (p95 === undefined || measured.p95 !== null) && (max === undefined || measured.max !== null)

/** Whether a run under these caps measures at `step`; `last` is its last step, if known. A start is measured only to go back to it. */
export const isDue = (
  caps: ReadonlyArray<KeyedKlCap>,
  { measureEvery }: MeasuredHow,
  step: number,
  last?: number
): boolean =>
  step === 0
    ? caps.some(({ whenSpent }) => whenSpent === "rollback")
    : step === last || (measureEvery !== undefined && step % measureEvery === 0)

/** Whether a run under these caps would have been at step `at`, by the measurements so far; `last` as in `isDue`. */
export const measuredWithin = (
  caps: ReadonlyArray<KeyedKlCap>,
  how: MeasuredHow,
  measured: ReadonlyArray<Measurement>,
  at: number,
  last?: number
): boolean =>
  caps.every((cap) => {
    const mine = measured.filter(({ from, step }) => from === cap.key && step <= at && isDue(caps, how, step, last))
    const steps = new Set(mine.map(({ step }) => step))
    for (let step = 1; step <= at; step++) if (isDue(caps, how, step, last) && !steps.has(step)) return false
    return mine.every((one) =>
      one.samples >= (how.measureSamples ?? 0) && tells(cap, one) &&
      (cap.whenSpent === "warn" || passedBy(cap, one) === undefined)
    )
  })
