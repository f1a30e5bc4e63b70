/**
 * Policy gradients without a value model: G completions of each prompt are compared with one another. GRPO and all its kin, REINFORCE,
 * RLOO, Dr. GRPO, DAPO, GSPO, CISPO, SAPO, MaxRL, CoPG, are this stage with other data: `...PolicyGradient.rloo`.
 *
 * Each step: sample `groupSize` completions of `batchSize` prompts, score them (reward model, verifiers, or both), turn scores into
 * advantages (`Advantage.ts`), and make `numIterations` passes of updates with a loss out of `PolicyLoss.ts`. Left to itself
 * it is GRPO (`PolicyGradient.grpo`; Shao et al. 2024, arXiv 2402.03300, eq. 3 and 4):
 *
 *     J = E[(1/G) Σ_i (1/|o_i|) Σ_t min(ρA, clip(ρ, 1 − ε, 1 + ε)A) − β k3]        A_i = (r_i − mean r)/(std r + 10⁻⁴)
 *
 * The reference is connected if and only if β > 0. Mini-batches are of whole groups.
 * Trained by `src/stages/grpo.ts`; losses in `src/losses/{policyGradient,clip,aggregation,advantages}.ts`.
 */
import * as Schema from "effect/Schema"
import { GroupAdvantage } from "../Advantage.ts"
import { define } from "../Definition.ts"
import { keeping, keepMistakes } from "../Keep.ts"
import { changeMistakes, changing } from "../FromStep.ts"
import { held, klSpending } from "../KlSpending.ts"
import { controlMistakes, klControl } from "../KlControl.ts"
import { penalises, policyFrom } from "../MovesPolicy.ts"
import * as PolicyGradient from "../PolicyGradient.ts"
import { batchMistakes, lossMistakes, OwnPolicyLoss, PolicyLoss } from "../PolicyLoss.ts"
import { Frozen, referenceMistakes, ReferencePolicy } from "../Reference.ts"
import { Count, NonNegative, or, training } from "../Training.ts"
import { rolling, rolloutMistakes } from "../Rollout.ts"
import { truncating } from "../Truncation.ts"
import { Verifier } from "../Verifier.ts"
import { data, model, optional } from "../Wires.ts"

export class Grpo extends Schema.TaggedClass<Grpo>()("Grpo", {
  /** Coefficient of the KL penalty (TRL `beta`). 0 optimises the reward alone, with no reference; KL is still measured. */
  beta: NonNegative,
  /** Steps: sample, score, update. */
  steps: Count,
  /** Prompts per step; `batchSize · groupSize` completions. */
  batchSize: Count,
  /** G, completions of each prompt (TRL `num_generations`). */
  groupSize: Count,
  /** Optimiser steps per pass over a step's completions. */
  numMiniBatches: or(Count, 1),
  /** Passes (TRL `num_iterations`, μ). */
  numIterations: or(Count, 1),
  advantage: or(GroupAdvantage, PolicyGradient.grpo.advantage),
  loss: or(Schema.Union([PolicyLoss, OwnPolicyLoss]), PolicyGradient.grpo.loss),
  /** Whether and how the reference moves. */
  referencePolicy: or(ReferencePolicy, new Frozen()),
  /** Verifiable rewards, added to the reward model's score when there is one. */
  verifiers: or(Schema.Array(Verifier), []),
  ...rolling,
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
  prompts: data("Prompts", "instructions to train on, e.g. Source.prompts(…)"),
  held
} as const

export const definition = define(Grpo, wires, {
  ...policyFrom("init"),
  opens: { trained: ["init"], frozen: ["reference", "reward"] },
  mistakes: (stage, { held, reference, reward }) => [
    ...batchMistakes(stage),
    stage.groupSize === 1 && stage.advantage._tag !== "MonteCarlo" &&
    `groupSize 1 leaves ${stage.advantage._tag} nothing to compare: raise it, or take MonteCarlo`,
    ...lossMistakes(stage.loss),
    ...controlMistakes(stage),
    ...changeMistakes(stage),
    ...keepMistakes(stage, { held, reward }, { proxy: ["reward", "held"] }),
    ...referenceMistakes(stage, wires.reference, reference),
    ...rolloutMistakes(stage, reward)
  ]
})

export const make = penalises()(definition)
