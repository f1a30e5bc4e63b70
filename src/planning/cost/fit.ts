import type { Rates } from "./rates.ts"

/**
 * Least squares with non-negative coefficients: x ≥ 0 that minimises Σ wᵢ (aᵢ · x − yᵢ)², by coordinate descent.
 * Columns are scaled to 1, so the units do not matter.
 */
export const nonNegative = (
  rows: ReadonlyArray<{ readonly a: ReadonlyArray<number>; readonly y: number; readonly weight: number }>,
  passes = 4000
): ReadonlyArray<number> => {
  const columns = rows[0]?.a.length ?? 0
  const of = (i: number, j: number): number => {
    let sum = 0
    for (const { a, weight } of rows) sum += weight * a[i]! * a[j]!
    return sum
  }
  const scale = Array.from({ length: columns }, (_, j) => Math.sqrt(of(j, j)) || 1)
  const gram = scale.map((s, i) => scale.map((t, j) => of(i, j) / (s * t)))
  const right = scale.map((s, j) => rows.reduce((sum, { a, weight, y }) => sum + weight * a[j]! * y, 0) / s)
  const x = new Array<number>(columns).fill(0)
  for (let pass = 0; pass < passes; pass++) {
    for (let j = 0; j < columns; j++) {
      if (!(gram[j]![j]! > 0)) continue
      const rest = gram[j]!.reduce((sum, g, k) => k === j ? sum : sum + g * x[k]!, 0)
      x[j] = Math.max(0, (right[j]! - rest) / gram[j]![j]!)
    }
  }
  return x.map((value, j) => value / scale[j]!)
}

/** Calls of the same kind and size. */
export interface Timing {
  readonly flops: number
  readonly bytes: number
  readonly calls: number
  /** Mean of one call. */
  readonly seconds: number
}

/**
 * Fits rates to the timings of one kind of work. Minimises the relative error, weighted by time spent:
 * Σ calls · seconds · (error / seconds)². Then scales the rates so that the total is the measured total.
 */
export const ratesOf = (timings: ReadonlyArray<Timing>): Rates => {
  const rows = timings.filter(({ seconds }) => seconds > 0).map(({ bytes, calls, flops, seconds }) => ({
    a: [1, bytes, flops],
    y: seconds,
    weight: calls / seconds
  }))
  if (rows.length === 0) return { call: 0, byte: 0, flop: 0 }
  const [call = 0, byte = 0, flop = 0] = nonNegative(rows)
  const taken = timings.reduce((sum, { calls, seconds }) => sum + calls * seconds, 0)
  const fitted = timings.reduce((sum, { bytes, calls, flops }) => sum + calls * (call + byte * bytes + flop * flops), 0)
  const scale = fitted > 0 ? taken / fitted : 1
  return { call: scale * call, byte: scale * byte, flop: scale * flop }
}
