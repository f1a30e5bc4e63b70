/**
 * Knowledge of a distance before any measurement. Four quantities are kept apart, and none adds to another (their types differ, and
 * only `chain` adds):
 *
 * - a **bound** on the max-divergence D∞(P‖R) = max log P/R. It adds along a chain, D∞(P‖R) ≤ D∞(P‖Q) + D∞(Q‖R), and KL ≤ D∞, so a
 *   sum of bounds is a bound on KL from the initial model. Rényi divergences (`renyi.ts`) say more where they are known;
 * - a bound on **total variation** (`variation.ts`), which adds too, and says less;
 * - a **measurement** of KL. Measurements of a chain's stages do *not* add up: Bernoulli(.5) → (.1) → (.01) moves .51 and .14 nats, and
 *   1.61 in all;
 * - a **cap**, which is the user's wish (`dsl/Budget.ts`).
 *
 * A bound is a whole number of milli-nats per sequence, rounded up, or null where unknown: whole numbers add in any order to the same
 * sum. It holds for each prompt, and for the *distribution* that a step describes relative to its input's, not for a network trained to
 * imitate it.
 */
import type { Truncation } from "../sampling/draw.ts"

export interface Bound {
  readonly _tag: "Bound"
  /** An upper bound of D∞, milli-nats per sequence; null: unknown. */
  readonly mnats: number | null
}

/** The smallest whole number of milli-nats that is not below `nats`, whatever rounding did on the way. */
export const mnatsUp = (nats: number): number => Math.max(0, Math.ceil(nats * 1000 - 1e-9))

/** From nats; infinity and NaN are no bound. */
export const boundOf = (nats: number): Bound => ({
  _tag: "Bound",
  mnats: Number.isFinite(nats) ? mnatsUp(nats) : null
})

/** Unknown: weights that were trained or averaged. A merge is unknown until it is measured. */
export const unknown: Bound = boundOf(Infinity)

/** No movement. */
export const still: Bound = boundOf(0)

/** A sequence of steps: an unknown link makes the whole unknown. */
export const chain = (...links: ReadonlyArray<Bound>): Bound => ({
  _tag: "Bound",
  mnats: links.reduce<number | null>((sum, { mnats }) => sum === null || mnats === null ? null : sum + mnats, 0)
})

/** Alternatives, whichever is taken, by the prompt or by chance: no further than the furthest of them. */
export const either = (...parts: ReadonlyArray<Bound>): Bound => ({
  _tag: "Bound",
  mnats: parts.some(({ mnats }) => mnats === null) ? null : Math.max(0, ...parts.map(({ mnats }) => mnats!))
})

/** The best of `n` by any score, or any choice that looks only at the n: at most n times as likely as before, each completion. */
export const bestOfN = (n: number): Bound => boundOf(Math.log(n))

/** The better `kept` of `of` samples, one of them at random: N/k times as likely at most. */
export const topOf = (kept: number, of: number): Bound => boundOf(Math.log(of / kept))

/** Samples again until one passes a filter that a share `accepted` passes: exactly −log of it, where D∞ and KL are equal. */
export const acceptFilter = (accepted: number): Bound => boundOf(-Math.log(accepted))

/**
 * The optimum π* ∝ π_ref exp(r / β) of a reward with max − min = `span`: log π* − log π_ref = r / β − log Z, and Z is a mean of exp(r / β), so at
 * most span / β. A policy still on its way there may be further off for some completions. A reference that moves to each optimum makes β
 * smaller with each move (β / k after k tilts): β bounds a step, not the drift.
 */
export const tilt = (span: number, beta: number): Bound => span === 0 ? still : boundOf(span / beta)

/**
 * A policy sampled in another way than at temperature 1 from all tokens (`sampling/draw.ts`: temperature T, then the k most likely, then
 * the fewest of these with a share p of their probability; V tokens in all), for completions of at most `tokens` tokens:
 *
 *     D∞ of a token ≤ log V − T log(k p)    for T ≤ 1, and never above log V
 *
 * With α = 1 / T the kept tokens have q = π^α / S, so that max q / π = m^(α−1) / S at the most likely token, m = max π. The sum S of
 * the kept π^α is at least m^α, and at least p k V^−α, since the k largest of V numbers that sum to 1 are 1 / V or more on average and x^α
 * is convex. So max q / π is at most A = 1 / m and B = m^(α−1) V^α / (k p), hence at most A^(1−T) B^T = V / (k p)^T, and A ≤ V.
 * Special cases: T = 1, k = V: −log p; T = 1, p = 1: log(V / k); k = V, p = 1: (1 − T) log V; greedy: log V.
 *
 * At T > 1 a rare token may become likelier by any factor: the bound is unknown, unless a single token is left. With an unknown V
 * (null), only top-p alone has a bound.
 */
export const sampled = (
  { temperature, topK, topP }: Truncation,
  { tokens, vocabulary }: { readonly tokens: number; readonly vocabulary: number | null }
): Bound => {
  if (temperature === 1 && topK === 0) return boundOf(-Math.log(topP) * tokens)
  if (vocabulary === null) return unknown
  const greedy = temperature === 0 || topK === 1
  if (temperature > 1 && !greedy) return unknown
  const kept = topK === 0 ? vocabulary : Math.min(topK, vocabulary)
  return boundOf((Math.log(vocabulary) - (greedy ? 0 : temperature * Math.max(0, Math.log(kept * topP)))) * tokens)
}

/** KL(best of n‖policy) ≤ log n − (n − 1)/n nats, with equality when no two scores are equal (Beirami et al. 2024, arXiv 2401.01879). */
export const klOfBestOfN = (n: number): number => Math.log(n) - (n - 1) / n
