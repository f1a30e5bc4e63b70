/**
 * A KL cap, one object on the whole way: `interpreters/capsOf.ts` reads it from `Pipeline.cap`'s node, `Scope` brings it to a stage, and
 * `training/klCaps.ts` holds measurements against it.
 */
import type * as Artifact from "./Artifact.ts"
import type { WhenSpent } from "./Budget.ts"

/** Milli-nats per sequence. */
export interface KlCap {
  /** Of the mean over held prompts; left out where KL is only measured (`Pipeline.observe`). */
  readonly mnats?: number
  /** Of the 95th percentile and the largest over held prompts. */
  readonly p95?: number
  readonly max?: number
  /** The consequence of passing one of these caps; default `stop`. */
  readonly whenSpent?: WhenSpent
  /** The initial model. */
  readonly from: Artifact.Any
}

/** The key of a cap's initial model, with the prompts and the length on which a cap or another stage has KL measured. */
export const keyOfCap = (initial: string, on: MeasuredOn | undefined): string =>
  on === undefined ? initial : `${initial}/${on.held.id}/${String(on.how["maxNewTokens"])}`

/** Whether it ends a stage whose KL passes it. */
export const isEnding = ({ mnats, whenSpent }: Pick<KlCap, "mnats" | "whenSpent">): boolean =>
  mnats !== undefined && whenSpent !== "warn"

/** How a stage without held prompts of its own is measured: by the parameters of its cap, or of another stage under it. */
export interface MeasuredOn {
  readonly held: Artifact.Any
  /** Unchecked, and without defaults: `Measuring` of `dsl/KlSpending.ts` has them. */
  readonly how: Readonly<Record<string, unknown>>
}

export const statistics = ["mean", "p95", "max"] as const
export type Statistic = typeof statistics[number]

/** The cap on one statistic, nats per sequence; undefined where it has none. */
export const nats = ({ max, mnats, p95 }: Omit<KlCap, "from">, statistic: Statistic): number | undefined => {
  const cap = { mean: mnats, p95, max }[statistic]
  return cap === undefined ? undefined : cap / 1000
}
