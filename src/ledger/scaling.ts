/**
 * How reward grows with the compute of RL (ScaleRL, Khatri et al. 2025, arXiv 2510.13786, eq. 1):
 *
 *     R(C) = R₀ + (A − R₀) / (1 + (C_mid / C)^B)
 *
 * R₀ is where it starts, A the most it tends to, C_mid the compute of half the gain (in the unit of C), B the steepness.
 */
export interface Curve {
  readonly start: number
  readonly asymptote: number
  readonly middle: number
  readonly steepness: number
}

/** Reward after compute `c` ≥ 0. */
export const rewardAt = ({ asymptote, middle, start, steepness }: Curve, c: number): number =>
  start + (asymptote - start) / (1 + (middle / c) ** steepness)
