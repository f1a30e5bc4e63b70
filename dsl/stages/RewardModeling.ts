/**
 * A reward model from answers that somebody has judged. The loss is data (`dsl/RewardLoss.ts`) and goes with the kind of the data:
 * pairs (Bradley–Terry), rankings (K-wise, Plackett–Luce), answers that are right or wrong (outcome), steps (process).
 *
 * The trunk is that of the model on the wire `init`; the scalar head on top of a language model starts at zero, never at random, so that
 * every reward is 0 before the first step; that of a reward model is kept. Trained by `src/stages/rewardModeling.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import type { Trained } from "../Constructs.ts"
import { build, define } from "../Definition.ts"
import { BradleyTerry, learnsFrom, type LossFor, RewardLoss } from "../RewardLoss.ts"
import { Count, or, passes, training } from "../Training.ts"
import { keeping, keepMistakes } from "../Keep.ts"
import { truncating } from "../Truncation.ts"
import { type Called, type Checked, type Given, model } from "../Wires.ts"

export class RewardModeling extends Schema.TaggedClass<RewardModeling>()("RewardModeling", {
  loss: or(RewardLoss, new BradleyTerry({})),
  ...passes,
  /** Pairs, rankings or answers per optimiser step. */
  batchSize: Count,
  ...truncating,
  ...keeping,
  ...training
}) {}

const wires = {
  init: model(
    ["BaseModel", "Policy", "RewardModel"],
    "a model whose trunk it starts from, e.g. the output of Sft.make(…)"
  ),
  preferences: {
    kinds: ["Preferences", "Rankings", "UnpairedPreferences", "Stepwise"],
    needs: "judged answers, e.g. Compare.make(…), Source.preferences(…) or Source.rankings(…)",
    model: false,
    optional: false
  },
  validation: {
    kinds: ["Preferences", "Rankings", "UnpairedPreferences", "Stepwise"],
    needs: "held-out judged answers of the kind of preferences, for keep",
    model: false,
    optional: true
  }
} as const

export const definition = define(RewardModeling, wires, {
  main: "init",
  parent: "init",
  opens: { trained: ["init"] },
  passesOver: "preferences",
  judges: { validation: [] },
  mistakes: ({ loss, ...stage }, { preferences, validation }) => {
    const wanted: string = learnsFrom[loss._tag]
    const kind = preferences?.node.kind
    return [
      ...keepMistakes(stage, { validation }, { loss: ["validation"] }, ["validation"]),
      kind !== undefined && validation !== undefined && validation.node.kind !== kind &&
      `RewardModeling.validation is ${validation.node.kind}, and preferences are ${kind}: connect rows of one kind`,
      kind !== undefined && kind !== wanted && (wires.preferences.kinds as ReadonlyArray<string>).includes(kind) &&
      `the loss ${loss._tag} learns from ${wanted}, not from ${kind}: connect them, or choose a loss for ${kind}`
    ]
  },
  makes: "RewardModel"
})

type Params = Omit<typeof RewardModeling["~type.make.in"], "loss">

export const make = <W extends Given>(
  connected: Checked<"RewardModeling", typeof wires, "init", W>,
  params:
    & Params
    & (Called<W["preferences"]> extends "Rankings" | "UnpairedPreferences" | "Stepwise"
      ? { readonly loss: LossFor<Artifact.KindOf<W["preferences"]>> }
      : { readonly loss?: LossFor<"Preferences"> })
): Trained<W, "RewardModel", "init"> => build(definition, connected, params)
