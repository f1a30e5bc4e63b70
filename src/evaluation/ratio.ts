import { type Interval, ofMean } from "../ledger/interval.ts"

export interface Ratio {
  readonly value: number
  /** Null for fewer than two units. */
  readonly interval: Interval | null
}

/**
 * The ratio of two sums over independent units, such as nats over tokens of documents: Σ yᵢ / Σ xᵢ, with Student's t interval from the
 * variance of its linearisation, n / (n − 1) · Σ (yᵢ − r·xᵢ)² / (Σ xᵢ)² (Cochran 1977, section 6.4). A unit's parts may depend on each
 * other.
 */
export const ratio = (ys: ReadonlyArray<number>, xs: ReadonlyArray<number>): Ratio => {
  const n = ys.length
  const total = xs.reduce((sum, x) => sum + x, 0)
  const value = ys.reduce((sum, y) => sum + y, 0) / total
  const squares = ys.reduce((sum, y, i) => sum + (y - value * xs[i]!) ** 2, 0)
  return { value, interval: ofMean(value, Math.sqrt(n / (n - 1) * squares) / total, n) }
}
