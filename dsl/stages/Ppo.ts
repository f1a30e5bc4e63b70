/**
 * Proximal policy optimisation of E[r(x, y)] − β KL(π‖π_ref) (Stiennon et al. 2020; InstructGPT eq. 2 without ptx).
 *
 * Per token: reward r_t = −β log(π/π_ref)_t + 1[t = last] r(x, y), the KL as k1 in the reward, whose expected gradient is the
 * gradient of KL(π‖π_ref) exactly; advantages by GAE (Schulman et al. 2016); policy loss −min(ρA, clip(ρ, 1 − ε, 1 + ε)A)
 * (Schulman et al. 2017, eq. 7); value loss ½ max((V − R)², (clip(V, V_old ± ε_v) − R)²). k1 as a loss has zero expected gradient,
 * so there is no field that would put it there.
 *
 * The weight parent (`init`), the KL reference and the value initialisation are separate wires: none is implied by another.
 * Trained by `src/stages/ppo.ts`; losses in `src/losses/{ppo,value,gae,rewards}.ts`.
 */
import { Schema } from "effect"
import type { Add } from "../Arithmetic.ts"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build } from "../Definition.ts"
import type { Definition } from "../Definition.ts"
import type { KlBudgetExceeded, TrainingError } from "../Errors.ts"
import type { Allotting } from "../KlSpending.ts"
import { klSpending } from "../KlSpending.ts"
import { Count, Fraction, NonNegative, or, Positive, training } from "../Training.ts"
import type { Checked, Connected } from "../Wires.ts"
import { data, model } from "../Wires.ts"

export class Ppo extends Schema.TaggedClass<Ppo>()("Ppo", {
  /** Coefficient of the KL penalty in the reward (TRL `kl_coef`). 0 optimises the reward alone; KL is still measured. */
  beta: NonNegative,
  /** PPO iterations: sample, score, update. */
  steps: Count,
  /** Episodes (one prompt, one completion) per iteration. */
  batchSize: Count,
  /** Optimiser steps per pass over an iteration's episodes. */
  numMiniBatches: or(Count, 1),
  numPpoEpochs: or(Count, 4),
  cliprange: or(Positive, 0.2),
  cliprangeValue: or(Positive, 0.2),
  /** Weight of the value loss (TRL `vf_coef`); with a value model of its own it scales that model's gradient. */
  vfCoef: or(Positive, 0.1),
  gamma: or(Fraction, 1),
  lam: or(Fraction, 0.95),
  whitenAdvantages: or(Schema.Boolean, true),
  /** Learning rate of the value model; the same as `learningRate` when left out. */
  valueLearningRate: Schema.optionalKey(Positive),
  /** Iterations at the start that train the value model alone. */
  valueWarmupSteps: or(Schema.Natural, 0),
  /** Sampling temperature; log-probabilities are always those of temperature 1. */
  temperature: or(Positive, 1),
  /** Subtracted from the score of a completion that does not end by itself. */
  missingEosPenalty: or(NonNegative, 0),
  ...klSpending,
  ...training
}) {}

const wires = {
  init: model(["BaseModel", "Policy"], "the policy to start from, e.g. the output of Sft.make(…)"),
  reference: model(["BaseModel", "Policy"], "the policy that the KL penalty is measured against, e.g. reference: sft"),
  reward: model(["RewardModel"], "a RewardModel: train one with RewardModeling.make(…)"),
  value: model(["RewardModel", "ValueModel"], "what the value model starts from, e.g. value: the reward model"),
  prompts: data("Prompts", "instructions to train on, e.g. Source.prompts(…)"),
  held: data("Prompts", "held-out instructions to measure KL on, e.g. Source.prompts(…)")
} as const

export const definition = {
  op: "Ppo",
  schema: Ppo,
  wires,
  main: "init",
  parent: "init",
  spendsKl: true,
  makes: (_: unknown, connected: Connected) => ({ kind: "Policy", family: connected["init"]?.node.family ?? "" })
} as const satisfies Definition

export const make = <const W extends Connected, const N extends number>(
  connected: W & Checked<"Ppo", typeof wires, "init", W>,
  params: Allotting<typeof Ppo["~type.make.in"], N>
): Artifact.Output<
  W,
  "Policy",
  Artifact.FamilyOf<W["init"]>,
  Compute | "kl",
  Add<Artifact.AllottedOf<W["init"]>, N>,
  TrainingError | KlBudgetExceeded
> => build(definition, connected, params) as never
