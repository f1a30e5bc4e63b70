/**
 * What is known about a distance before anything is measured. Three things are kept apart, because none of them is another:
 *
 * - a **bound** on the max-divergence D∞(P‖R) = max log P/R. It adds along a chain, D∞(P‖R) ≤ D∞(P‖Q) + D∞(Q‖R), and KL ≤ D∞, so a
 *   sum of bounds is a bound on KL from the initial model;
 * - a **measurement** of KL. Those of the stages of a chain do *not* add up: Bernoulli(.5) → (.1) → (.01) moves .51 and .14 nats, and
 *   1.61 in all. Total variation does add, through Pinsker: TV ≤ Σ √(KL_i / 2). And the last stage alone may be charged in KL:
 *   KL(P‖R) ≤ KL(P‖Q) + D∞(Q‖R);
 * - a **cap**, which is what somebody wants (`dsl/Budget.ts`).
 *
 * A bound is a whole number of milli-nats per sequence, rounded up, or null where nothing is known: whole numbers add in any
 * order to the same sum. It is about the *distribution* that a step describes, not about a network trained to imitate it.
 */

/** Milli-nats per sequence; null: nothing is known. */
export type Bound = number | null

/** The smallest whole number of milli-nats that is not below `nats`. */
export const boundOf = (nats: number): Bound => Number.isFinite(nats) ? Math.max(0, Math.ceil(nats * 1000)) : null

/** Along a chain: what is unknown about one link is unknown about the whole. */
export const chain = (...links: ReadonlyArray<Bound>): Bound =>
  links.reduce<Bound>((sum, link) => sum === null || link === null ? null : sum + link, 0)

/** The best of `n` by any score: at most n times as likely as before, for every completion. */
export const bestOfN = (n: number): Bound => boundOf(Math.log(n))

/** The better `kept` of `of` samples, one of them at random: N/k times as likely at most. */
export const topOf = (kept: number, of: number): Bound => boundOf(Math.log(of / kept))

/** Samples again until one passes a filter that a share `accepted` passes: exactly −log of it, where D∞ and KL are equal. */
export const acceptFilter = (accepted: number): Bound => boundOf(-Math.log(accepted))

/**
 * The optimum π* ∝ π_ref exp(r / β) of a reward within [min, max]: log π* − log π_ref = r / β − log Z, and Z is a mean of exp(r / β), so at most
 * (max − min) / β. A policy still on its way there may be further off for some completions.
 */
export const tilt = (min: number, max: number, beta: number): Bound =>
  beta === 0 ? (min === max ? 0 : null) : boundOf((max - min) / beta)

/**
 * A mixture Σ w_i P_i of outputs (one of several models answers): log Σ w_i exp(D∞_i). Averaging weights instead of outputs has no
 * bound at all: a merge is unknown until it is measured.
 */
export const mixture = (parts: ReadonlyArray<{ readonly weight: number; readonly bound: Bound }>): Bound => {
  const known = parts.filter(({ weight }) => weight > 0)
  if (known.some(({ bound }) => bound === null)) return null
  const most = Math.max(...known.map(({ bound }) => bound!))
  const total = known.reduce((sum, { weight }) => sum + weight, 0)
  const sum = known.reduce((sum, { bound, weight }) => sum + weight / total * Math.exp((bound! - most) / 1000), 0)
  return Math.min(most, Math.ceil(most + 1000 * Math.log(sum)))
}

/** Weights averaged: nothing is known. */
export const merge: Bound = null

/**
 * Another temperature or a truncation (top-k, top-p), computed: D∞ of next-token distributions, which add along a completion of
 * at most `tokens` tokens. `before` and `after` are log-probabilities of the same tokens; the largest over the contexts seen
 * bounds these contexts only.
 */
export const perToken = (before: ReadonlyArray<number>, after: ReadonlyArray<number>, tokens: number): Bound => {
  let most = 0
  after.forEach((logp, i) => {
    if (logp > -Infinity) most = Math.max(most, logp - before[i]!)
  })
  return boundOf(most * tokens)
}

/**
 * The most that total variation from the initial model can be, from KL of each stage to the one before (nats): Pinsker and, where it
 * is sharper, Bretagnolle–Huber for each, and the triangle inequality. |E f − E₀ f| ≤ TV · (max f − min f).
 */
export const totalVariation = (stageKls: ReadonlyArray<number>): number =>
  Math.min(1, stageKls.reduce((sum, kl) => sum + Math.min(Math.sqrt(kl / 2), Math.sqrt(-Math.expm1(-kl))), 0))

/** KL of a last stage that was measured, nats, on top of a bound on all before it: nats, or null. */
export const lastInKl = (last: number, before: Bound): number | null => before === null ? null : last + before / 1000
