/**
 * A reward model from preferences: Bradley–Terry, L = −E log σ(r(x, y_c) − r(x, y_r) − m) (Christiano et al. 2017; margin m
 * of Llama 2, Touvron et al. 2023, eq. 2). The scalar head on top of `init` starts at zero. Trained by
 * `src/stages/rewardModeling.ts`, loss in `src/losses/bradleyTerry.ts`.
 */
import { Schema } from "effect"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import { build } from "../Definition.ts"
import type { Definition } from "../Definition.ts"
import type { TrainingError } from "../Errors.ts"
import { Count, NonNegative, or, training } from "../Training.ts"
import type { Checked, Connected } from "../Wires.ts"
import { data, model } from "../Wires.ts"

export class RewardModeling extends Schema.TaggedClass<RewardModeling>()("RewardModeling", {
  epochs: or(Count, 1),
  /** Pairs per optimiser step. */
  batchSize: Count,
  /** Weight of (r_c + r_r)², which keeps rewards around 0 (Eisenstein et al. 2023; TRL `center_rewards_coefficient`). */
  centerRewardsCoefficient: or(NonNegative, 0),
  ...training
}) {}

const wires = {
  init: model(
    ["BaseModel", "Policy", "RewardModel"],
    "a model whose trunk it starts from, e.g. the output of Sft.make(…)"
  ),
  preferences: data("Preferences", "pairs of answers, e.g. Compare.make(…) or Source.preferences(…)")
} as const

export const definition = {
  op: "RewardModeling",
  schema: RewardModeling,
  wires,
  main: "init",
  parent: "init",
  makes: (_: unknown, connected: Connected) => ({ kind: "RewardModel", family: connected["init"]?.node.family ?? "" })
} as const satisfies Definition

export const make = <const W extends Connected>(
  connected: W & Checked<"RewardModeling", typeof wires, "init", W>,
  params: typeof RewardModeling["~type.make.in"]
): Artifact.Output<
  W,
  "RewardModel",
  Artifact.FamilyOf<W["init"]>,
  Compute,
  0,
  TrainingError
> => build(definition, connected, params) as never
