/** Scores of a model by a verifier, with intervals of 95 % over prompts: completions of a prompt depend on each other. */
import { ofMean, wilson } from "../ledger/interval.ts"
import { passAtK } from "./passAtK.ts"
import { majority } from "./vote.ts"

export interface Bounded {
  readonly value: number
  /** Null where a single prompt tells no interval. */
  readonly low: number | null
  readonly high: number | null
  readonly by: "Wilson" | "Student's t"
}

export interface Scores {
  /** The mean verdict; of a verifier that is all or nothing, the share that passed: pass@1. */
  readonly mean: Bounded
  readonly pass: ReadonlyArray<Bounded & { readonly k: number }>
  /** maj@n. */
  readonly majority?: Bounded
}

const truth = (x: number): boolean => x === 0 || x === 1

/** The mean of a number for each prompt: Wilson's interval where each is 0 or 1, else Student's t, within [0, 1] where they all are. */
export const bounded = (numbers: ReadonlyArray<number>): Bounded => {
  const n = numbers.length
  const value = numbers.reduce((sum, x) => sum + x, 0) / n
  if (numbers.every(truth)) return { value, ...wilson(numbers.reduce((sum, x) => sum + x, 0), n), by: "Wilson" }
  const squares = numbers.reduce((sum, x) => sum + (x - value) ** 2, 0)
  const found = ofMean(value, Math.sqrt(squares / (n - 1) / n), n)
  const shares = numbers.every((x) => x >= 0 && x <= 1)
  return {
    value,
    low: found === null ? null : shares ? Math.max(0, found.low) : found.low,
    high: found === null ? null : shares ? Math.min(1, found.high) : found.high,
    by: "Student's t"
  }
}

export const meanOf = (numbers: ReadonlyArray<number>): number =>
  numbers.reduce((sum, x) => sum + x, 0) / numbers.length

/** From the verdicts, and the votes if any, on the completions of each prompt. Shares have no pass@k. */
export const scoresOf = (
  verdicts: ReadonlyArray<ReadonlyArray<number>>,
  votes: ReadonlyArray<ReadonlyArray<number | null>> | undefined,
  passAt: ReadonlyArray<number>
): Scores => {
  const ks = verdicts.every((of) => of.every(truth)) ? passAt : []
  return {
    mean: bounded(verdicts.map(meanOf)),
    pass: ks.map((k) => ({
      k,
      ...bounded(verdicts.map((of) => passAtK(of.length, of.reduce((sum, x) => sum + x, 0), k)))
    })),
    ...(votes === undefined ? {} : { majority: bounded(verdicts.map((of, i) => majority(votes[i]!, of))) })
  }
}
