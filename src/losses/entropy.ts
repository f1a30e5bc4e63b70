/**
 * The gradient of an entropy bonus from sampled tokens. For a state s and a ~ π_old(·|s), with ρ = π/π_old:
 *
 *     ∇H(π(·|s)) = −E[ρ (log π(a|s) + H) ∇log π(a|s)]
 *
 * (The derivative of −Σ π log π is −Σ π (log π + 1) ∇log π; any constant may replace the 1, because E[ρ ∇log π] = 0. H
 * makes the weight 0 on average.) So with the visited states held fixed the estimate is unbiased, on and off policy.
 *
 * Deviation from TRL's GRPOTrainer: TRL differentiates H over the whole vocabulary. The value is the same, the gradient the same
 * in expectation; ours is noisier and needs only the engine's log-probabilities.
 *
 * Arrays have one number per token; `logps` and `entropies` of the policy being trained. Returns dH/dlogps estimated.
 */
export const entropyGradient = (logps: Float64Array, oldLogps: Float64Array, entropies: Float64Array): Float64Array =>
  logps.map((logp, t) => -Math.exp(logp - oldLogps[t]!) * (logp + entropies[t]!))
