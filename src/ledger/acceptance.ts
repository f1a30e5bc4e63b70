/**
 * How far a filter moves the law of a prompt's completions, from the counts of a run. Samples that pass with probability p are the law given
 * that: log P/R = −log p for each of them, so D∞ = KL = −log p, prompt by prompt. The shares of prompts differ: −log of the pooled share is no bound
 * for any of them, and below the mean (Jensen). A counted share is an estimate, so all this is evidence, never a bound.
 */
import { hashed } from "../data/minHash.ts"
import { numbersByHash } from "../data/numbersByHash.ts"
import type { Metrics } from "../store/runLog.ts"
import { type Interval, level, ofShare } from "./interval.ts"

/** Over the prompts with a row left; nats per sequence. */
export interface Acceptance {
  /** Mean over prompts of −log of the prompt's share. */
  readonly mean: number
  readonly largest: number
  /** Of `mean` and `largest`, at the ledger's level for all prompts at once: Clopper and Pearson's with the miss shared out (Bonferroni). */
  readonly intervals: { readonly mean: Interval; readonly largest: Interval }
  readonly prompts: number
  /** Prompts without a row left: they are not in the filtered law. */
  readonly lost: number
}

const keys = ["mean", "mean_low", "mean_high", "largest", "largest_low", "largest_high", "prompts", "lost"] as const
const named = (key: typeof keys[number]): string => `accepted/${key}`

/** From the prompt of each candidate and of each candidate that passed; a stage reports it as metrics. */
export const accepted = (candidates: ReadonlyArray<string>, passed: ReadonlyArray<string>): Metrics => {
  // Each different prompt by the place of its first candidate: prompts themselves may be larger than memory.
  const places = numbersByHash()
  const first = (prompt: string) => places.find(hashed(prompt), (place) => candidates[place] === prompt)
  const [all, good] = [new Uint32Array(candidates.length), new Uint32Array(candidates.length)]
  for (const [i, prompt] of candidates.entries()) {
    const place = first(prompt)
    if (place === undefined) places.put(hashed(prompt), i)
    all[place ?? i]!++
  }
  for (const prompt of passed) good[first(prompt)!]!++
  let [prompts, left] = [0, 0]
  for (let i = 0; i < all.length; i++) {
    if (all[i]! > 0) prompts++
    if (good[i]! > 0) left++
  }
  if (left === 0) return {}
  const known = new Map<number, { readonly at: number; readonly low: number; readonly high: number }>()
  const natsOf = (i: number) => {
    const share = all[i]! * (candidates.length + 1) + good[i]!
    const found = known.get(share)
    if (found !== undefined) return found
    const { high, low } = ofShare(good[i]!, all[i]!, (1 - level) / left)
    const nats = { at: -Math.log(good[i]! / all[i]!), low: -Math.log(high), high: -Math.log(low) }
    known.set(share, nats)
    return nats
  }
  const over = (key: "at" | "low" | "high", next: (sum: number, nats: number) => number): number => {
    let sum = 0
    for (let i = 0; i < all.length; i++) if (good[i]! > 0) sum = next(sum, natsOf(i)[key])
    return sum
  }
  const mean = (key: "at" | "low" | "high") => over(key, (sum, nats) => sum + nats / left)
  const most = (key: "at" | "low" | "high") => over(key, Math.max)
  const values = [
    mean("at"),
    mean("low"),
    mean("high"),
    most("at"),
    most("low"),
    most("high"),
    left,
    prompts - left
  ]
  return Object.fromEntries(keys.map((key, i) => [named(key), values[i]!]))
}

/** From a stage's metrics; null where the run did not count. */
export const acceptanceOf = (metrics: Metrics | undefined): Acceptance | null => {
  const of = (key: typeof keys[number]): number | undefined => metrics?.[named(key)]
  if (of("prompts") === undefined) return null
  const interval = (key: "mean" | "largest") => ({ low: of(`${key}_low`)!, high: of(`${key}_high`)! })
  return {
    mean: of("mean")!,
    largest: of("largest")!,
    intervals: { mean: interval("mean"), largest: interval("largest") },
    prompts: of("prompts")!,
    lost: of("lost")!
  }
}
