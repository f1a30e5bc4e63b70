/** Bounds of a mixture of outputs, tighter than the furthest part that the ledger states of one. */
import { type Bound, boundOf, either, mnatsUp, unknown } from "../../src/ledger/bounds.ts"
import { orders, type RenyiBound } from "../../src/ledger/renyi.ts"

/**
 * A mixture Σ w_i P_i of outputs (a model drawn at random answers): log Σ w_i exp(D∞_i). An average of weights instead of outputs has
 * no bound.
 */
export const mixtureBound = (parts: ReadonlyArray<{ readonly weight: number; readonly bound: Bound }>): Bound => {
  const known = parts.filter(({ weight }) => weight > 0)
  const { mnats: most } = either(...known.map(({ bound }) => bound))
  if (most === null) return unknown
  const total = known.reduce((sum, { weight }) => sum + weight, 0)
  const sum = known.reduce((sum, { bound, weight }) => sum + weight / total * Math.exp((bound.mnats! - most) / 1000), 0)
  return boundOf(most / 1000 + Math.min(0, Math.log(sum)))
}

/** A mixture of outputs: E_R[(P/R)^α] is convex in P for α > 1, and so is KL. Weights sum to 1. */
export const mixtureRenyi = (
  parts: ReadonlyArray<{ readonly weight: number; readonly bound: RenyiBound | null }>
): RenyiBound | null => {
  const known = parts.filter(({ weight }) => weight > 0)
  if (known.some(({ bound }) => bound === null)) return null
  const mnats = orders.map((order) => {
    const nats = known.map(({ bound, weight }) => ({ weight, nats: bound!.mnats[orders.indexOf(order as 1)]! / 1000 }))
    if (order === 1) return nats.reduce((sum, { nats, weight }) => sum + weight * nats, 0)
    const power = order === Infinity ? 1 : order - 1
    const most = Math.max(...nats.map(({ nats }) => nats))
    return most +
      Math.log(nats.reduce((sum, { nats, weight }) => sum + weight * Math.exp(power * (nats - most)), 0)) / power
  }).map(mnatsUp)
  // None lies above that of a higher order.
  return { _tag: "RenyiBound", mnats: mnats.map((_, i) => Math.min(...mnats.slice(i))) }
}
