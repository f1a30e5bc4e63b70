/**
 * A policy-gradient loss as data: a point in one space. Every published name is a value of it (`PolicyGradient.ts`),
 * and every unnamed loss is another point. ρ is the ratio π/π_old of the trained policy to the sampling policy, A the
 * advantage (`Advantage.ts`), L the loss, which is minimised. Code: `src/losses/policyGradient.ts`.
 *
 * The space has no k1 in the loss (its expected gradient is 0) and no k3 in the reward (its gradient belongs to no
 * divergence): a combination with a wrong gradient cannot be written, in TypeScript or in JSON.
 */
import * as Schema from "effect/Schema"
import { ownLoss } from "./Extension.ts"
import { Count, NonNegative, or, Positive } from "./Training.ts"

// ── clip shapes: ρA away from ρ = 1 ───────────────────────────────────────────────────────────────────

/** −ρA: unbiased for any π_old, with unbounded variance. */
export class Unclipped extends Schema.TaggedClass<Unclipped>()("Unclipped", {}) {}

/**
 * −min(ρA, clip(ρ, 1 − low, 1 + high)A) (Schulman et al. 2017, arXiv 1707.06347, eq. 7). Symmetric for low = high; a wider `high`
 * is DAPO's clip-higher (arXiv 2503.14476, eq. 10).
 */
export class Clipped extends Schema.TaggedClass<Clipped>()("Clipped", { low: Positive, high: Positive }) {}

/**
 * As `Clipped`, and for A < 0 the loss goes no higher than −bound·A (dual clip: Ye et al. 2020, arXiv 1912.09729, eq. 5; TRL
 * `delta`): one unlikely token cannot dominate. `bound` is above 1 + `high`.
 */
export class DualClipped extends Schema.TaggedClass<DualClipped>()("DualClipped", {
  low: Positive,
  high: Positive,
  bound: Schema.Finite.check(Schema.isGreaterThan(1, { message: "must be above 1" }))
}) {}

/**
 * −(4/τ) σ(τ(ρ − 1)) A, τ by the sign of A (SAPO: Gao et al. 2025, arXiv 2511.20347): the gradient fades smoothly, and is
 * exactly REINFORCE's at ρ = 1.
 */
export class SoftGated extends Schema.TaggedClass<SoftGated>()("SoftGated", {
  /** τ where A > 0. */
  positive: or(Positive, 1),
  /** τ where A ≤ 0. */
  negative: or(Positive, 1.05)
}) {}

/** −sg(min(ρ, max)) A log π (CISPO: MiniMax 2025, arXiv 2506.13585, eq. 4): the weight is bounded, no token loses its gradient. */
export class DetachedWeight extends Schema.TaggedClass<DetachedWeight>()("DetachedWeight", {
  /** Of the ratio itself, not of its distance from 1 (TRL `epsilon_high` with `cispo`). */
  max: Positive
}) {}

export const Clip = Schema.Union([Unclipped, Clipped, DualClipped, SoftGated, DetachedWeight])
  .pipe(Schema.toTaggedUnion("_tag"))
export type Clip = typeof Clip.Type

/** The symmetric clip of PPO. */
export const symmetric = (epsilon: number): Clipped => new Clipped({ low: epsilon, high: epsilon })

// ── objectives ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** −A log π, without a ratio (Williams 1992): right on policy only. */
export class Likelihood extends Schema.TaggedClass<Likelihood>()("Likelihood", {}) {}

/**
 * −A log π where the KL in the reward is that of the policy being trained, anew at each update (CoPG: Flet-Berliac et al.
 * 2024, arXiv 2406.19185, eq. 6): with `LeaveOneOut` the gradient of a function whose maximum is π* for completions of any
 * policy, so right off policy without a ratio. Of `Grpo` only.
 */
export class Contrastive extends Schema.TaggedClass<Contrastive>()("Contrastive", {}) {}

/** A function of the ratio. */
export class Ratio extends Schema.TaggedClass<Ratio>()("Ratio", {
  /**
   * `token`: ρ_t of each token (PPO). `sequence`: the product over the completion, its true importance weight (TRL's RLOO).
   * `sequence-mean`: its geometric mean over tokens (GSPO: Zheng et al. 2025, arXiv 2507.18071, eq. 7), near 1 at any length.
   */
  level: Schema.Literals(["token", "sequence", "sequence-mean"]),
  clip: Clip
}) {}

/**
 * −sg(φ(ρ)) A log π, φ(ρ) = ρ^k e^{λ(1 − ρ)} of the whole completion's ratio, k and λ by the sign of A (VESPO, arXiv 2602.10693; TRL `vespo`):
 * a weight that falls on both sides of its peak.
 */
export class GammaWeighted extends Schema.TaggedClass<GammaWeighted>()("GammaWeighted", {
  kPositive: or(Positive, 2),
  lambdaPositive: or(Positive, 3),
  kNegative: or(Positive, 3),
  lambdaNegative: or(Positive, 2)
}) {}

export const Objective = Schema.Union([Likelihood, Contrastive, Ratio, GammaWeighted]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type Objective = typeof Objective.Type

// ── aggregation: how numbers of tokens become one loss; N completions of lengths |o_i| in an update ───────────────────

/** (Σ_i Σ_t L) / Σ_i |o_i|: every token counts the same (PPO, DAPO). Over the tokens of one update. */
export class TokenMean extends Schema.TaggedClass<TokenMean>()("TokenMean", {}) {}

/** (1/N) Σ_i (1/|o_i|) Σ_t L: every completion counts the same, so a token of a long one less (GRPO eq. 3, GSPO). */
export class SequenceMean extends Schema.TaggedClass<SequenceMean>()("SequenceMean", {}) {}

/** Σ_i Σ_t L / (N · length): the same for any lengths (Dr. GRPO). */
export class FixedLength extends Schema.TaggedClass<FixedLength>()("FixedLength", {
  /** Tokens; the stage's `maxNewTokens` when left out. */
  length: Schema.optionalKey(Count)
}) {}

/**
 * (1/N) Σ_i Σ_t L: the policy gradient theorem as it stands, where L is a token's own. With a ratio of whole completions every token has all
 * of it, and a completion counts as often as it has tokens (LUSPO, arXiv 2602.05261): the unbiased one is `SequenceMean` then.
 */
export class SequenceSum extends Schema.TaggedClass<SequenceSum>()("SequenceSum", {}) {}

export const Aggregation = Schema.Union([TokenMean, SequenceMean, FixedLength, SequenceSum])
  .pipe(Schema.toTaggedUnion("_tag"))
export type Aggregation = typeof Aggregation.Type

// ── where the KL penalty stands; its coefficient is the stage's `beta` ────────────────────────────────────────────────

/**
 * −β log(π_old/π_ref) in the reward, as a number (k1): the expected gradient is that of β KL(π‖π_ref), exactly, later tokens'
 * visits included (InstructGPT eq. 2).
 */
export class KlInReward extends Schema.TaggedClass<KlInReward>()("KlInReward", {}) {}

/**
 * β k in the loss, by token, differentiated. With d = log(π/π_ref), and the expected gradient for visited states
 * held fixed (Tang and Munos 2025, arXiv 2506.09477):
 *
 * - `k2` ½d²: ∇KL(π‖π_ref), on policy;
 * - `k3` e⁻ᵈ − 1 + d: ∇KL(π_ref‖π), the *forward* KL, on policy (GRPO eq. 4; most code);
 * - `k3-corrected` ρ·k3 with the gradient through ρ too: ∇KL(π‖π_ref), on and off policy (DeepSeek-V3.2, arXiv 2512.02556; TRL
 *   `use_bias_correction_kl`). ρ is of the objective's level, VESPO's of tokens; with `sequence` and `SequenceSum` visits included.
 */
export class KlInLoss extends Schema.TaggedClass<KlInLoss>()("KlInLoss", {
  estimator: Schema.Literals(["k2", "k3", "k3-corrected"])
}) {}

export const KlPlacement = Schema.Union([KlInReward, KlInLoss]).pipe(Schema.toTaggedUnion("_tag"))
export type KlPlacement = typeof KlPlacement.Type

// ── the loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export class PolicyLoss extends Schema.TaggedClass<PolicyLoss>()("PolicyLoss", {
  objective: Objective,
  aggregation: Aggregation,
  kl: or(KlPlacement, new KlInReward()),
  /**
   * Weight of the policy's mean entropy per token, which is to grow (nats). Its gradient is estimated from the sampled tokens
   * (`src/losses/entropy.ts`), not summed over the vocabulary.
   */
  entropyCoef: or(NonNegative, 0),
  /**
   * Truncated importance sampling: each token's loss is weighed by min(π_old/π_sampler, cap), where the sampler computed other
   * log-probabilities than the trainer did before the update (Yao et al. 2025; TRL `vllm_importance_sampling_cap`, usually 2).
   * Not done when left out.
   */
  importanceCap: Schema.optionalKey(Positive)
}) {}

/** The function of an own loss has the KL penalty: it gets β and the reference's log-probabilities, and the reward has no penalty. */
export class KlInOwnLoss extends Schema.TaggedClass<KlInOwnLoss>()("KlInOwnLoss", {}) {}

/** A policy-gradient loss from outside Keel: `own`. */
export class OwnPolicyLoss extends Schema.TaggedClass<OwnPolicyLoss>()("OwnPolicyLoss", {
  ...ownLoss,
  kl: or(Schema.Union([KlInReward, KlInOwnLoss]), new KlInReward())
}) {}

export interface NamedLoss<out Name extends string> extends OwnPolicyLoss {
  readonly name: Name
}

/** A loss of `Grpo` and `Ppo`. */
export type Loss = PolicyLoss | OwnPolicyLoss

/**
 * A loss of your own, of `Grpo` and `Ppo`, as `PreferenceLoss.own` is of `Dpo`: its function is made by `policyLoss` of `keel/stage`
 * and gets the advantages, the log-probabilities (also before the update, of the sampler, of the reference), entropies and β.
 *
 * ```ts
 * import { PolicyLoss } from "keel"
 * import { policyLoss } from "keel/stage"
 * import { laws } from "keel/testing"
 *
 * const likelihood = policyLoss("MeanLikelihood", ({ advantages, logps }) => ({
 *   loss: -advantages.reduce((sum, a, t) => sum + a * logps[t]!, 0) / logps.length,
 *   gradient: advantages.map((a) => -a / logps.length),
 *   metrics: {}
 * }))
 * laws.ownLoss(PolicyLoss.own("MeanLikelihood"), likelihood) // => undefined
 * ```
 */
export const own = <const Name extends string>(
  name: Name,
  params: Readonly<Record<string, Schema.Json>> = {},
  options: { readonly kl?: KlInReward | KlInOwnLoss } = {}
): NamedLoss<Name> => new OwnPolicyLoss({ name, params, ...options }, { disableChecks: true }) as NamedLoss<Name>

/** Mistakes in the mini-batches of a pass over the samples of a step. */
export const batchMistakes = (
  { batchSize, numMiniBatches }: { readonly batchSize: number; readonly numMiniBatches: number }
): ReadonlyArray<string> => [
  ...(numMiniBatches <= batchSize ? [] : [`numMiniBatches ${numMiniBatches} is more than batchSize ${batchSize}`]),
  ...(batchSize % numMiniBatches === 0 ? [] : [
    `batchSize ${batchSize} does not divide into ${numMiniBatches} equal mini-batches`
  ])
]

/** Contradictions between numbers that the schema cannot express. */
export const lossMistakes = (loss: Loss): ReadonlyArray<string> => {
  if (loss._tag === "OwnPolicyLoss") return []
  const { objective } = loss
  if (objective._tag !== "Ratio" || objective.clip._tag !== "DualClipped") return []
  const { bound, high } = objective.clip
  return bound > 1 + high ? [] : [`loss: DualClipped.bound ${bound} must be above 1 + high, ${1 + high}`]
}
