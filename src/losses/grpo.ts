import type { Loss } from "./loss.ts"

/**
 * The metrics of a group-relative loss under the names of TRL's GRPOTrainer: `loss`, `clip_ratio/low_mean`, `clip_ratio/high_mean`,
 * `clip_ratio/region_mean`, `kl` where it stands in the loss, `entropy`. GRPO itself (Shao et al. 2024, arXiv 2402.03300, eq. 3 and
 * 4) is the point of `policyGradient.ts` with the token's ratio, two bounds, the sequence mean and k3 in the loss, on advantages
 * (r − mean) / std (`advantages.ts`):
 *
 *     L = (1/N) Σ_i (1/|o_i|) Σ_t [max(−ρA, −clip(ρ, 1 − ε, 1 + ε)A) + β (e⁻ᵈ − 1 + d)]        d = log(π/π_ref)
 *
 * Deviations from TRL: CISPO's `cispo_clip_ratio` is called `clip_ratio/high_mean`, and `val/ratio` is added.
 */
export const grpoMetrics = ({ metrics }: Loss): Record<string, number> => {
  const { approx_kl: _, ratio, ...named } = metrics
  return { ...named, "val/ratio": ratio! }
}
