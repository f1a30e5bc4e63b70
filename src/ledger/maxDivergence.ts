/**
 * The max-divergence D∞(P‖Q) = max log(P/Q), nats. Of the divergences from stage to stage it is the one that adds up to a bound, D∞(P‖R)
 * ≤ D∞(P‖Q) + D∞(Q‖R), and KL ≤ D∞. Per-stage KLs bound nothing (Bernoulli ½, 0.1, 0.01 is the counterexample). The stages below have a
 * cap known beforehand; SFT, PPO, DPO and merges have none and are measured.
 *
 * Each is about the *target* of a stage, from the law that the candidates were drawn from, not about a network that was fine-tuned on it.
 */

/** Best of n candidates, or any choice that looks only at the n: D∞ ≤ log n. */
export const bestOfN = (n: number): number => Math.log(n)

/** The k best of n, one of them at random: D∞ ≤ log(n / k). */
export const bestOf = (k: number, n: number): number => Math.log(n / k)

/** Keeping what a filter accepts with probability p: KL = D∞ = −log p, exactly. */
export const accepted = (p: number): number => -Math.log(p)

/** The optimum π ∝ π_ref exp(r / β) of a reward with max − min = span: D∞ ≤ span / β. */
export const tilted = (span: number, beta: number): number => span / beta

/** Stages one after the other. */
export const andThen = (...divergences: ReadonlyArray<number>): number =>
  divergences.reduce((sum, divergence) => sum + divergence, 0)

/** Alternatives, one of them taken at random: an output mixture is no further than its furthest part. */
export const either = (...divergences: ReadonlyArray<number>): number => Math.max(...divergences)

/** KL(best of n‖policy) ≤ log n − (n − 1)/n, with equality when no two scores are equal (Beirami et al. 2024, arXiv 2401.01879). */
export const klOfBestOfN = (n: number): number => Math.log(n) - (n - 1) / n
