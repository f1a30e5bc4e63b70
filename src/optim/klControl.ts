/**
 * The update of a KL coefficient β after a measurement, so that the penalty, not the learning rate, keeps a policy near a target.
 * All functions are pure: the state is β itself. KL and target are in nats per sequence.
 */

/**
 * Ziegler et al. 2019 (arXiv 1909.08593, §2.2; openai/lm-human-preferences `AdaptiveKLController`):
 *
 *     e = clip(KL / target − 1, −0.2, 0.2)        β ← β (1 + e n / horizon)
 *
 * `n` are the episodes since the last update, `horizon` (10,000 there) the episodes over which β may change by 20 %.
 */
export const zieglerControl = (
  beta: number,
  kl: number,
  { episodes, horizon, target }: { readonly target: number; readonly horizon: number; readonly episodes: number }
): number => {
  const error = Math.max(-0.2, Math.min(0.2, kl / target - 1))
  // A batch of more than five horizons would otherwise make β zero or negative.
  return beta * Math.max(Number.EPSILON, 1 + error * episodes / horizon)
}

/**
 * The penalty rule of PPO (Schulman et al. 2017, arXiv 1707.06347, §4): β is halved when KL is below target / 1.5, doubled when
 * it is above 1.5 target, and otherwise stays.
 */
export const ppoPenaltyControl = (beta: number, kl: number, { target }: { readonly target: number }): number =>
  kl < target / 1.5 ? beta / 2 : kl > target * 1.5 ? beta * 2 : beta
