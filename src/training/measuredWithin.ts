/**
 * Measurements of KL that a stage made under other caps, held against its caps now: by them a result is reused, and a checkpoint gone on
 * from, exactly if a run under these caps would have come to it.
 */
import { type KlCap, nats, type Statistic, statistics } from "../../dsl/KlCap.ts"
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

export interface Passed {
  readonly statistic: Statistic
  /** Nats per sequence. */
  readonly spent: number
  readonly cap: number
  /** Measured below the cap, and not told from it. */
  readonly undecided?: true
}

/** The statistic by which a measurement passed a cap: of one that it was not told to be within. */
export const passedBy = (cap: KeyedKlCap, { least, max = null, mean, p95 = null }: Measurement): Passed | undefined => {
  const found = statistics.flatMap((statistic): ReadonlyArray<Passed> => {
    const [spent, most] = [{ mean, p95, max }[statistic], nats(cap, statistic)]
    // Old measurements were not tested.
    const from = least === undefined ? spent : least[statistic]
    if (spent === null || most === undefined || (from !== null && from <= most)) return []
    return [{ statistic, spent, cap: most, ...(spent <= most ? { undecided: true as const } : {}) }]
  })
  return found.find(({ undecided }) => undecided === undefined) ?? found[0]
}

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
  caps.filter(({ mnats }) => mnats !== undefined).every((cap) => {
    const mine = measured.filter(({ from, step }) => from === cap.key && step <= at && isDue(caps, how, step, last))
    const steps = new Set(mine.map(({ step }) => step))
    for (let step = 1; step <= at; step++) if (isDue(caps, how, step, last) && !steps.has(step)) return false
    return mine.every((one) =>
      one.samples >= (how.measureSamples ?? 0) && tells(cap, one) &&
      (cap.whenSpent === "warn" || passedBy(cap, one) === undefined)
    )
  })
