/**
 * Proximal policy optimisation of E[r(x, y)] − β KL(π‖π_ref) with a value model (Stiennon et al. 2020; InstructGPT eq. 2). The reward r is
 * a reward model's, verifiers', or both (RLVR: Tülu 3, Lambert et al. 2024, arXiv 2411.15124, section 6).
 *
 * Per token: reward r_t = 1[t = last] r(x, y), less β log(π/π_ref)_t where the KL stands in the reward; advantages by GAE (Schulman
 * et al. 2016); a policy loss out of `PolicyLoss.ts`, by default −min(ρA, clip(ρ, 1 − ε, 1 + ε)A) with the KL in the reward
 * (`PolicyGradient.ppo`; Schulman et al. 2017, eq. 7); value loss ½ max((V − R)², (clip(V, V_old ± ε_v) − R)²). With `ptxCoef` γ the
 * policy also learns −γ E_pretraining[log π] (InstructGPT eq. 2, PPO-ptx).
 *
 * The weight parent (`init`), the KL reference and the value initialisation are separate wires: none is implied by another. The
 * reference is connected if and only if β > 0, `pretraining` if and only if there is a `ptxCoef`.
 * Trained by `src/stages/ppo.ts`; losses in `src/losses/{policyGradient,value,gae,rewards}.ts`.
 */
import * as Schema from "effect/Schema"
import { Gae } from "../Advantage.ts"
import { define } from "../Definition.ts"
import { Environment } from "../Environment.ts"
import { keeping, keepMistakes } from "../Keep.ts"
import { changeMistakes, changing } from "../FromStep.ts"
import { held, klSpending } from "../KlSpending.ts"
import { controlMistakes, klControl } from "../KlControl.ts"
import { penalises, policyFrom } from "../MovesPolicy.ts"
import * as PolicyGradient from "../PolicyGradient.ts"
import { batchMistakes, lossMistakes, OwnPolicyLoss, PolicyLoss } from "../PolicyLoss.ts"
import { Frozen, referenceMistakes, ReferencePolicy } from "../Reference.ts"
import { Count, NonNegative, or, Positive, rateMistakes, training } from "../Training.ts"
import { truncating } from "../Truncation.ts"
import { Verifier } from "../Verifier.ts"
import { data, model, optional } from "../Wires.ts"
import { groupMistake } from "./Reward.ts"

export class Ppo extends Schema.TaggedClass<Ppo>()("Ppo", {
  /** Coefficient of the KL penalty (TRL `kl_coef`). 0 optimises the reward alone, with no reference; KL is still measured. */
  beta: NonNegative,
  /** PPO iterations: sample, score, update. */
  steps: Count,
  /** Episodes (one prompt, one completion) per iteration. */
  batchSize: Count,
  /** Optimiser steps per pass over an iteration's episodes. */
  numMiniBatches: or(Count, 1),
  numPpoEpochs: or(Count, 4),
  loss: or(
    Schema.Union([
      PolicyLoss.check(
        Schema.makeFilter(({ objective }) =>
          objective._tag !== "Contrastive" || "Contrastive compares a group: use Grpo"
        )
      ),
      OwnPolicyLoss
    ]),
    PolicyGradient.ppo.loss
  ),
  advantage: or(Gae, PolicyGradient.ppo.advantage),
  /** Whether and how the reference moves. */
  referencePolicy: or(ReferencePolicy, new Frozen()),
  cliprangeValue: or(Positive, 0.2),
  /** Weight of the value loss (TRL `vf_coef`); with a value model of its own it scales that model's gradient. */
  vfCoef: or(Positive, 0.1),
  whitenAdvantages: or(Schema.Boolean, true),
  /** Learning rate of the value model; the same as `learningRate` when left out. */
  valueLearningRate: Schema.optionalKey(Positive),
  /** Iterations at the start that train the value model alone. */
  valueWarmupSteps: or(Schema.Natural, 0),
  /** γ of PPO-ptx: weight of the mean log-likelihood of a pretraining token. */
  ptxCoef: or(NonNegative, 0),
  /** Pretraining documents per episode of an update. */
  ptxRatio: or(Positive, 1),
  /** T of sampling, and of the log-probabilities of the loss and its penalty, as in TRL: π_T is trained. KL is measured at 1. */
  temperature: or(Positive, 1),
  /** Verifiable rewards, added to the reward model's score when there is one. */
  verifiers: Schema.optionalKey(Schema.Array(Verifier)),
  /**
   * Makes each completion an episode of several turns of at most `maxNewTokens` tokens; verifiers judge the last. A prompt that is no
   * conversation is the first message of the user. Only the policy's own tokens are learnt, and KL is that of its own tokens.
   */
  environment: Schema.optionalKey(Environment),
  /** Subtracted from the score of a completion that does not end by itself. */
  missingEosPenalty: or(NonNegative, 0),
  ...changing,
  ...klControl,
  ...klSpending,
  ...truncating,
  ...keeping,
  ...training
}) {}

const wires = {
  init: model(["BaseModel", "Policy"], "the policy to start from, e.g. the output of Sft.make(…)"),
  reference: optional(
    model(["BaseModel", "Policy"], "the policy that the KL penalty is measured against, e.g. reference: sft")
  ),
  reward: optional(model(["RewardModel", "Reward"], "a RewardModel: train one with RewardModeling.make(…)")),
  value: model(
    ["RewardModel", "ValueModel", "BaseModel", "Policy"],
    "the start of the value model: the reward model, or the policy (its values are 0 at first)"
  ),
  prompts: data("Prompts", "instructions to train on, e.g. Source.prompts(…)"),
  held,
  pretraining: optional(data("Text", "text whose likelihood ptxCoef keeps up, e.g. Source.text(…)"))
} as const

export const definition = define(Ppo, wires, {
  ...policyFrom("init"),
  opens: { trained: ["init", "value"], frozen: ["reference", "reward"] },
  mistakes: (stage, { held, pretraining, reference, reward }) => [
    ...rateMistakes("valueLearningRate", stage.valueLearningRate),
    ...batchMistakes(stage),
    groupMistake("Ppo", reward),
    stage.valueWarmupSteps >= stage.steps &&
    `valueWarmupSteps ${stage.valueWarmupSteps} leaves no step of ${stage.steps} for the policy`,
    ...lossMistakes(stage.loss),
    ...controlMistakes(stage),
    ...changeMistakes(stage),
    ...keepMistakes(stage, { held, reward }, { proxy: ["reward", "held"] }),
    ...referenceMistakes(stage, wires.reference, reference),
    stage.ptxCoef > 0 && pretraining === undefined &&
    `Ppo.pretraining is missing: connect ${wires.pretraining.needs}`,
    stage.ptxCoef === 0 && pretraining !== undefined &&
    "ptxCoef is 0, so Ppo.pretraining has no use: leave it out, or raise ptxCoef",
    reward === undefined && (stage.verifiers ?? []).length === 0 &&
    (stage.environment === undefined || stage.environment._tag === "Calculator") &&
    "it has no reward: connect Ppo.reward, or give verifiers, e.g. verifiers: [Verifier.lastNumber()]"
  ]
})

export const make = penalises<"reward">()(definition)
