/**
 * How much better a completion was than expected, as data: the weight of log π in a policy gradient. `Gae` needs a
 * value model (`Ppo`); the others (`Grpo`) compare the completions of one prompt, its *group*, with one another.
 *
 * For a group of G completions with rewards r₁ … r_G, mean m, and A the weight of all tokens of a completion:
 *
 * | advantage | A_i | expected gradient, mean over the group |
 * |---|---|---|
 * | `MonteCarlo` | return-to-go of each token | ∇J |
 * | `LeaveOneOut` | r_i − mean of the others = G/(G − 1) (r_i − m) | ∇J |
 * | `GroupMean` | r_i − m | (G − 1)/G ∇J: an own share in the baseline |
 * | `GroupStd` | (r_i − m) / (std + ε) | no gradient of a mean reward: prompts are weighed by 1/std |
 * | `MaxNormalised` | (r_i − m) / m, 0 where m ≤ 0 | for rewards of 0 and 1: Σ_{k<G} ∇(pass@k)/k |
 *
 * Held against enumeration in `property-tests/engine/policyGradient.test.ts`. Code: `src/losses/{gae,advantages}.ts`.
 */
import * as Schema from "effect/Schema"
import { Fraction, NonNegative, or, Positive } from "./Training.ts"

/** Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16): Σ (γλ)^i δ_{t+i}. */
export class Gae extends Schema.TaggedClass<Gae>()("Gae", {
  gamma: or(Fraction, 1),
  lam: or(Fraction, 0.95),
  /** α of λ = 1 − 1/(α l) for a completion of l tokens, in place of `lam`; 0 where α l < 1 (VAPO, arXiv 2504.05118, eq. 10: 0.05). */
  lamByLength: Schema.optionalKey(Positive),
  /** λ of the returns that the value model learns, when not the policy's: decoupled (VAPO, arXiv 2504.05118: 1 and 0.95). */
  valueLam: Schema.optionalKey(Fraction)
}) {}

/** The return itself (Williams 1992): no baseline, the highest variance. */
export class MonteCarlo extends Schema.TaggedClass<MonteCarlo>()("MonteCarlo", {}) {}

/** Dr. GRPO (Liu et al. 2025, arXiv 2503.20783). */
export class GroupMean extends Schema.TaggedClass<GroupMean>()("GroupMean", {}) {}

/** RLOO (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740, eq. 10). */
export class LeaveOneOut extends Schema.TaggedClass<LeaveOneOut>()("LeaveOneOut", {}) {}

/** GRPO (Shao et al. 2024, arXiv 2402.03300, §4.1.2). Published code differs in both numbers, so both are to be said. */
export class GroupStd extends Schema.TaggedClass<GroupStd>()("GroupStd", {
  /** The variance is Σ(r − m)² / (G − ddof): 1 in TRL (torch), 0 in open-instruct (numpy). */
  ddof: Schema.Literals([0, 1]),
  /** Added to the standard deviation: 1e-4 in TRL, 1e-8 in open-instruct. A group of equal rewards has advantage 0 for any. */
  epsilon: NonNegative
}) {}

/** MaxRL (Tajwar et al. 2026, arXiv 2602.02710): towards maximum likelihood of success; for rewards that are 0 or more. */
export class MaxNormalised extends Schema.TaggedClass<MaxNormalised>()("MaxNormalised", {}) {}

/** Advantages without a value model. */
export const GroupAdvantage = Schema.Union([MonteCarlo, GroupMean, LeaveOneOut, GroupStd, MaxNormalised])
  .pipe(Schema.toTaggedUnion("_tag"))
export type GroupAdvantage = typeof GroupAdvantage.Type

export const Advantage = Schema.Union([Gae, MonteCarlo, GroupMean, LeaveOneOut, GroupStd, MaxNormalised])
  .pipe(Schema.toTaggedUnion("_tag"))
export type Advantage = typeof Advantage.Type
