/**
 * How far a filter moves the law of a prompt's completions, from the counts of a run. Samples that pass with probability p are the law given
 * that: log P/R = −log p for each of them, so D∞ = KL = −log p, prompt by prompt. The shares of prompts differ: −log of the pooled share is no bound
 * for any of them, and below the mean (Jensen). A counted share is an estimate, so all this is evidence, never a bound.
 */
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
export const accepted = (candidates: Iterable<string>, passed: Iterable<string>): Metrics => {
  const of = new Map<string, { all: number; passed: number }>()
  for (const prompt of candidates) {
    const seen = of.get(prompt)
    if (seen === undefined) of.set(prompt, { all: 1, passed: 0 })
    else seen.all++
  }
  for (const prompt of passed) of.get(prompt)!.passed++
  const left = [...of.values()].filter(({ passed }) => passed > 0)
  if (left.length === 0) return {}
  const nats = left.map(({ all, passed }) => {
    const { high, low } = ofShare(passed, all, (1 - level) / left.length)
    return { at: -Math.log(passed / all), low: -Math.log(high), high: -Math.log(low) }
  })
  const mean = (key: "at" | "low" | "high") => nats.reduce((sum, one) => sum + one[key] / nats.length, 0)
  const most = (key: "at" | "low" | "high") => nats.reduce((most, one) => Math.max(most, one[key]), 0)
  const values = [
    mean("at"),
    mean("low"),
    mean("high"),
    most("at"),
    most("low"),
    most("high"),
    left.length,
    of.size - left.length
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
