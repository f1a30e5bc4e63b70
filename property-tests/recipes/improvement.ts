/** Whether a stage improves what it optimises: the first against the last quarter of its steps, with noise. */

type Metrics = Readonly<Record<string, number>>

/** Of the metric that each operation optimises. */
const metricOf: Readonly<Record<string, { readonly metric: string; readonly up: boolean; readonly beside?: string }>> =
  {
    pretrain: { metric: "loss", up: false },
    sft: { metric: "loss", up: false },
    distill: { metric: "loss", up: false },
    onpolicydistill: { metric: "kl", up: false },
    rewardmodeling: { metric: "loss", up: false, beside: "accuracy" },
    dpo: { metric: "loss", up: false, beside: "rewards/accuracies" },
    kto: { metric: "loss", up: false, beside: "rewards/margins" },
    ppo: { metric: "objective/scores", up: true },
    grpo: { metric: "objective/scores", up: true }
  }

export interface Quarters {
  readonly metric: string
  /** Of the metric; a gain is positive. */
  readonly first: number
  readonly last: number
  readonly gain: number
  /** Of the gain, over steps: √(s₁²/n + s₂²/n). */
  readonly error: number
  readonly beside: string
}

const mean = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / xs.length
/** The squared standard error of a mean. */
const square = (xs: ReadonlyArray<number>): number => {
  const m = mean(xs)
  return xs.reduce((sum, x) => sum + (x - m) ** 2, 0) / (xs.length - 1) / xs.length
}

/** Undefined of a stage that optimises nothing, or of fewer than four steps. */
export const optimised = (stage: string, steps: ReadonlyArray<Metrics>, other?: string): Quarters | undefined => {
  const of = metricOf[stage]
  if (of === undefined) return undefined
  const metric = other ?? of.metric
  const quarters = (name: string) => {
    const seen = steps.flatMap((one) => one[name] === undefined ? [] : [one[name]])
    const n = Math.max(2, Math.floor(seen.length / 4))
    return seen.length < 4 ? undefined : [seen.slice(0, n), seen.slice(-n)] as const
  }
  const found = quarters(metric)
  if (found === undefined) return undefined
  const [first, last] = found
  const beside = of.beside === undefined ? undefined : quarters(of.beside)
  return {
    metric,
    first: mean(first),
    last: mean(last),
    gain: (mean(last) - mean(first)) * (of.up ? 1 : -1),
    error: Math.sqrt(square(first) + square(last)),
    beside: beside === undefined ? "" : `; ${of.beside} ${beside.map((xs) => mean(xs).toFixed(2)).join(" → ")}`
  }
}

/** Over seeds: better or worse where the mean gain is above two standard errors, of steps and of seeds. */
export const improvement = (seeds: ReadonlyArray<Quarters>) => {
  const gains = seeds.map(({ gain }) => gain)
  const gain = mean(gains)
  const overSteps = Math.sqrt(seeds.reduce((sum, { error }) => sum + error ** 2, 0)) / seeds.length
  const error = Math.max(overSteps, seeds.length > 1 ? Math.sqrt(square(gains)) : 0)
  const verdict = gain > 2 * error ? "better" : gain < -2 * error ? "worse" : "within noise"
  const [{ beside, metric }] = seeds as readonly [Quarters]
  const values = [mean(seeds.map(({ first }) => first)), mean(seeds.map(({ last }) => last))]
  return {
    verdict,
    text: `${metric} ${values.map((x) => x.toFixed(3)).join(" → ")}, gain ${gain.toFixed(3)} ± ${error.toFixed(3)}${
      seeds.length > 1 ? ` over ${seeds.length} seeds` : ""
    }: ${verdict}${beside}`
  } as const
}
