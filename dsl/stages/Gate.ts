/**
 * Lets a candidate through when it is better than the previous model, or worse by no more than a tolerance, on every
 * guard metric, measured on held-out prompts. Both models answer each prompt with the same seed, whatever the
 * tolerances are. Otherwise the pipeline ends with `GateFailed`, or continues with the previous model. Example: OLMo 2
 * 32B lost 1.9 and then 6 points of safety from stage to stage (arXiv 2501.00656). Evaluations are noisy, so a
 * tolerance is needed, and larger ones let more through. Done by `src/stages/gate.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Compute } from "../Budget.ts"
import type { DataError } from "../Data.ts"
import { build, define } from "../Definition.ts"
import type { Diverged, GateFailed } from "../Errors.ts"
import type { RewardsOf } from "../Extension.ts"
import { Gold } from "../Gold.ts"
import { Count, NonNegative, precision, Seed } from "../Training.ts"
import { type Checked, data, type Given, model, optional } from "../Wires.ts"
import { groupMistake } from "./Reward.ts"

const Tolerance = Schema.optionalKey(NonNegative)

export class Gate extends Schema.TaggedClass<Gate>()("Gate", {
  gold: Gold,
  /** How much worse the candidate may be, in the unit of the metric; a metric that is left out is no guard. */
  tolerance: Schema.Struct({
    /** Gold reward: more is better. */
    gold: Tolerance,
    /** Score of the reward model: more is better. */
    proxy: Tolerance,
    /** KL from `initial`, nats per sequence: less is better. */
    kl: Tolerance,
    /** Mean length, tokens: less is better, because optimised policies grow wordy (Singhal et al. 2023). */
    length: Tolerance,
    /** Share of completions that end by themselves: more is better. */
    finished: Tolerance
  }),
  otherwise: Schema.Literals(["fail", "roll-back"]),
  /** Longest completion, tokens. */
  maxNewTokens: Count,
  precision,
  seed: Seed
}) {}

const policies = ["BaseModel", "Policy"] as const
const wires = {
  candidate: model(policies, "the new policy, e.g. the output of Ppo.make(…)"),
  previous: model(policies, "the policy that it must not fall behind, e.g. previous: sft"),
  initial: optional(model(policies, "the model that KL is measured from, e.g. initial: sft")),
  reward: optional(model(["RewardModel", "Reward"], "a reward for the guard `proxy`")),
  held: data("Prompts", "held-out instructions, e.g. Source.prompts(…)")
} as const

export const definition = define(Gate, wires, {
  main: "candidate",
  parent: "candidate",
  opens: { frozen: ["candidate", "initial", "reward"] },
  judges: { held: ["candidate"] },
  mistakes: ({ tolerance }, connected) => [
    groupMistake("Gate", connected.reward),
    Object.keys(tolerance).length === 0 && "it guards nothing: give a tolerance for at least one metric",
    ...([["kl", "initial"], ["proxy", "reward"]] as const).map(([metric, wire]) =>
      tolerance[metric] !== undefined && connected[wire] === undefined &&
      `Gate.${wire} is missing: the guard ${metric} needs ${wires[wire].needs}`
    )
  ],
  makes: "Policy"
})

export const make = <W extends Given, const P extends typeof Gate["~type.make.in"]>(
  connected: Checked<"Gate", typeof wires, "candidate", W>,
  params: P
): Artifact.Output<
  W,
  "Policy",
  Artifact.FamilyOf<W["candidate"]>,
  Compute,
  Artifact.AllottedOf<W["candidate"] | W["previous"]>,
  DataError | Diverged | (P["otherwise"] extends "roll-back" ? never : GateFailed),
  RewardsOf<P["gold"]>
> => build(definition, connected, params)
