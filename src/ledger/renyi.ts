/**
 * Rényi divergences D_α(P‖R) = log E_R[(P/R)^α] / (α − 1), from KL (α = 1) to the max-divergence (α = ∞): bounds of a step at every
 * order, and the composition of two steps. D∞ alone adds up; the other orders obey (Mironov 2017, arXiv 1702.07476, prop. 11; Donsker–Varadhan)
 *
 *     D_α(P‖R)  ≤ (α − 1/p) / (α − 1) · D_pα(P‖Q) + D_q(α − 1/p)(Q‖R)        1/p + 1/q = 1
 *     KL(P‖R)   ≤ (1 + 1/λ) KL(P‖Q) + D_{1+λ}(Q‖R)                             λ > 0
 *     KL(P‖R)   ≤ KL(P‖Q) + D∞(Q‖R)                                            λ = ∞
 *
 * so that only the last step of a chain may be charged in KL, and earlier steps at a higher order. Adding Rényi divergences of
 * *independent* releases, as in differential privacy, is another statement and not used.
 *
 * Whole milli-nats at the orders below, rounded up; between them the next higher order counts, since D_α does not fall with α.
 */
import { type Bound, mnatsUp } from "./bounds.ts"

export const orders = [1, 1.1, 1.25, 1.5, 2, 3, 4, 6, 8, 16, 32, 64, Infinity] as const

/** Upper bounds on D_α at each of `orders`, milli-nats per sequence: the first on KL, the last on D∞. */
export interface RenyiBound {
  readonly _tag: "RenyiBound"
  readonly mnats: ReadonlyArray<number>
}

/** Bounds `of` each order in nats; none lies above that of a higher order. */
const from = (of: (order: number) => number): RenyiBound => {
  const mnats = orders.map((order) => mnatsUp(of(order)))
  for (let i = mnats.length - 2; i >= 0; i--) mnats[i] = Math.min(mnats[i]!, mnats[i + 1]!)
  return { _tag: "RenyiBound", mnats }
}

/** From D∞ alone: no order is above it. Null where that is unknown. */
export const ofBound = ({ mnats }: Bound): RenyiBound | null => mnats === null ? null : from(() => mnats / 1000)

/**
 * The best of n. With scores that are never equal its density over the policy is n u^{n−1} of the quantile u, for any policy and any
 * score: D_α = log(n^α / (α (n − 1) + 1)) / (α − 1). Equal scores only coarsen that, so it bounds them too.
 */
export const bestOfN = (n: number): RenyiBound =>
  from((order) =>
    order === 1
      ? Math.log(n) - (n - 1) / n
      : order === Infinity
      ? Math.log(n)
      : (order * Math.log(n) - Math.log(order * (n - 1) + 1)) / (order - 1)
  )

/** An accept filter: −log p at every order, exactly. */
export const acceptFilter = (accepted: number): RenyiBound => from(() => -Math.log(accepted))

/** The optimum of a reward of this span under β, h = span / β: D_α ≤ min(α h² / 8, h), by Hoeffding's lemma. */
export const tilt = (span: number, beta: number): RenyiBound | null => {
  const h = span === 0 ? 0 : span / beta
  return Number.isFinite(h) ? from((order) => h === 0 ? 0 : Math.min(order * h * h / 8, h)) : null
}

/** The entry of the lowest order that is not below `order`. */
const at = ({ mnats }: RenyiBound, order: number): number => mnats[orders.findIndex((known) => known >= order - 1e-12)]!

/** 1/p of the weak triangle inequality; which is best depends on the steps. */
const shares = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98] as const

/** `last` (P‖Q) after `first` (Q‖R): bounds on P‖R, the least of all that hold. */
const then = (first: RenyiBound, last: RenyiBound): RenyiBound => {
  const most = first.mnats.at(-1)!
  const of = (order: number): number => {
    if (order === Infinity) return most + last.mnats.at(-1)!
    // E_R[(P/R)^α] = E_Q[(P/Q)^α (Q/R)^{α−1}]: the steps before at D∞, the last at its own order.
    let least = most + at(last, order)
    if (order === 1) {
      for (const known of orders.slice(1, -1)) {
        least = Math.min(least, (1 + 1 / (known - 1)) * last.mnats[0]! + at(first, known))
      }
    } else {
      for (const share of shares) {
        const [p, q] = [1 / share, 1 / (1 - share)]
        least = Math.min(least, (order - share) / (order - 1) * at(last, p * order) + at(first, q * (order - share)))
      }
    }
    return least
  }
  return from((order) => of(order) / 1000)
}

/** A sequence of steps, in this order; an unknown step makes the whole unknown. */
export const chain = (...links: ReadonlyArray<RenyiBound | null>): RenyiBound | null =>
  links.reduce<RenyiBound | null>(
    (before, link) => before === null || link === null ? null : then(before, link),
    from(() => 0)
  )

/** The bound on KL, milli-nats per sequence. */
export const klOf = ({ mnats }: RenyiBound): number => mnats[0]!
