/**
 * A KL cap, one object on the whole way: `interpreters/capsOf.ts` reads it from `Pipeline.cap`'s node, `Scope` brings it to a stage, and
 * `training/klCaps.ts` holds measurements against it.
 */
import type * as Artifact from "./Artifact.ts"
import type { WhenSpent } from "./Budget.ts"

/** Milli-nats per sequence. */
export interface KlCap {
  /** Of the mean over held prompts. */
  readonly mnats: number
  /** Of the 95th percentile and the largest over held prompts. */
  readonly p95?: number
  readonly max?: number
  /** The consequence of passing one of these caps; default `stop`. */
  readonly whenSpent?: WhenSpent
  /** The initial model. */
  readonly from: Artifact.Any
}

export type Statistic = "mean" | "p95" | "max"

/** The cap on one statistic, nats per sequence; undefined where it has none. */
export const nats = ({ max, mnats, p95 }: Omit<KlCap, "from">, statistic: Statistic): number | undefined => {
  const cap = { mean: mnats, p95, max }[statistic]
  return cap === undefined ? undefined : cap / 1000
}

/** The first statistic (nats per sequence) that is above its cap. */
export const passed = (cap: KlCap, measured: Readonly<Record<Statistic, number | null>>) =>
  (["mean", "p95", "max"] as const).flatMap((statistic) => {
    const [spent, most] = [measured[statistic], nats(cap, statistic)]
    return spent !== null && most !== undefined && spent > most ? [{ statistic, spent, cap: most }] : []
  })[0]
