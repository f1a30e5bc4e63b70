/**
 * The objective of a student and its teacher, as data. Two names with the same data are equal: `wordLevel` is the
 * generalised Jensen–Shannon divergence with β = 0.
 */
import * as Schema from "effect/Schema"
import { Fraction, or, Positive } from "./Training.ts"

/** −log π_S(y) of whole answers of the teacher: fine-tuning on its samples (Kim and Rush 2016, arXiv 1606.07947, §3.2). */
export class SequenceLevel extends Schema.TaggedClass<SequenceLevel>()("SequenceLevel", {}) {}

/**
 * The generalised Jensen–Shannon divergence of the two next-token distributions over the whole vocabulary, mean over tokens (Agarwal et
 * al. 2024, "GKD", arXiv 2306.13649, eq. 1): with m = (1 − β) s + β t, β KL(t‖m) + (1 − β) KL(s‖m). β = 0 is the forward KL(t‖s),
 * β = 1 the reverse KL(s‖t), as in TRL's GKDTrainer.
 */
export class TokenDivergence extends Schema.TaggedClass<TokenDivergence>()("TokenDivergence", {
  /** TRL `beta`. */
  beta: Fraction,
  /** Both distributions are softened by it before they are compared (TRL `temperature` of the loss). */
  temperature: or(Positive, 1)
}) {}

/**
 * Reverse KL as a reward on every token that the student samples, A_t = log π_T − log π_S (k1 in the reward), trained by policy
 * gradient: of each distribution only the sampled token is looked at.
 */
export class ReverseKl extends Schema.TaggedClass<ReverseKl>()("ReverseKl", {
  /**
   * The share of a token's consequences that counts for it. 1 has the exact gradient of KL(π_S‖π_T) of whole
   * completions; 0 ignores that a token changes later states (Qwen3, arXiv 2505.09388; Lu et al. 2025).
   */
  discount: or(Fraction, 0)
}) {}

export const sequenceLevel = new SequenceLevel()
export const generalizedJsd = (options: typeof TokenDivergence["~type.make.in"]): TokenDivergence =>
  new TokenDivergence(options, { disableChecks: true })
/** Cross-entropy to the teacher's distribution, which differs from KL(t‖s) by a constant (Kim and Rush 2016, §3.1). */
export const wordLevel = generalizedJsd({ beta: 0 })
export const reverseKl = (options: { readonly discount?: number } = {}): ReverseKl =>
  new ReverseKl(options, { disableChecks: true })
