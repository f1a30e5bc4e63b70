/** When a gold reward that is only observed has passed its peak (`dsl/Observe.ts`, `StopAtPeak`). */

export interface Peak {
  /** The measurement with the highest mean so far: its step, and gold reward of each sample; sample i is always of the same prompt. */
  readonly best: { readonly step: number; readonly gold: ReadonlyArray<number> }
  /** Measurements in a row at which gold lay significantly below the best. */
  readonly declines: number
}

export interface Decline {
  readonly mean: number
  readonly standardError: number
}

const meanOf = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / xs.length

/** best − now, sample by sample: the common effect of a prompt cancels. */
export const declineOf = (best: ReadonlyArray<number>, now: ReadonlyArray<number>): Decline => {
  const differences = best.map((x, i) => x - now[i]!)
  const mean = meanOf(differences)
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (differences.length - 1)
  return { mean, standardError: Math.sqrt(variance / differences.length) }
}

/** After a further measurement: the state, whether the peak is passed, and how far gold lies below the best (null for a new best). */
export const after = (
  before: Peak | null,
  step: number,
  gold: ReadonlyArray<number>,
  { patience, z }: { readonly patience: number; readonly z: number }
): { readonly peak: Peak; readonly passed: boolean; readonly decline: Decline | null } => {
  if (before === null || meanOf(gold) > meanOf(before.best.gold)) {
    return { peak: { best: { step, gold }, declines: 0 }, passed: false, decline: null }
  }
  const decline = declineOf(before.best.gold, gold)
  const fell = decline.mean > 0 && decline.mean >= z * decline.standardError
  const declines = fell ? before.declines + 1 : 0
  return { peak: { best: before.best, declines }, passed: declines >= patience, decline }
}
