/**
 * Direct alignment: the policy from preferences, without a reward model and without sampling. For DPO (Rafailov et al. 2023)
 *
 *     L = −E log σ(β [log π/π_ref(chosen) − log π/π_ref(rejected)])
 *
 * whose optimum under exact Bradley–Terry preferences of a reward r is π_ref exp(r/β) / Z. The loss is data: see
 * `dsl/PreferenceLoss.ts` for its names (DPO, IPO, SimPO, ORPO, …).
 *
 * `init` (the initial weights) and `reference` (the base of log-ratios) are separate wires. The
 * reference is there exactly when the loss has one; its log-probabilities are computed once, before training, and cached. No
 * such loss bounds how far the policy moves, so KL on `held` prompts is measured. Trained by `src/stages/dpo.ts`, loss in
 * `src/losses/dpo.ts`.
 */
import * as Schema from "effect/Schema"
import { build, define } from "../Definition.ts"
import type { LossesOf } from "../Extension.ts"
import type { Gold } from "../Gold.ts"
import { type Allotting, type BesideHeld, held, klMeasured } from "../KlSpending.ts"
import { type Moved, policyFrom } from "../MovesPolicy.ts"
import {
  type Loss,
  mistakes,
  type NamedLoss,
  OwnPreferenceLoss,
  PreferenceLoss,
  readsMargins
} from "../PreferenceLoss.ts"
import { Count, passes, training } from "../Training.ts"
import { judgedBy, keeping, keepMistakes } from "../Keep.ts"
import { masking, truncating } from "../Truncation.ts"
import { type Checked, data, type Given, model, optional } from "../Wires.ts"

export class Dpo extends Schema.TaggedClass<Dpo>()("Dpo", {
  loss: Schema.Union([PreferenceLoss, OwnPreferenceLoss]),
  ...passes,
  /** Pairs per optimiser step. */
  batchSize: Count,
  ...klMeasured,
  ...truncating,
  ...masking,
  ...keeping,
  ...training
}) {}

const reference = model(
  ["BaseModel", "Policy"],
  "the policy that log-ratios are taken against, e.g. reference: sft"
)

/** The wire of a reference that the loss does not have. */
const none = optional(model([], "no reference, because its loss has none: leave that wire out"))

const wires = {
  init: model(["BaseModel", "Policy"], "the policy to start from, e.g. the output of Sft.make(…)"),
  reference,
  preferences: data("Preferences", "pairs of answers, e.g. Compare.make(…) or Source.preferences(…)"),
  held,
  reward: judgedBy
} as const

/** The wires that go with a loss. */
type WiresOf<R extends boolean> = Omit<typeof wires, "reference"> & {
  readonly reference: [R] extends [true] ? typeof reference : [R] extends [false] ? typeof none
  : ReturnType<typeof optional<typeof reference>>
}

/** Pairs that are known to have no margins before they are made. */
const marginless = ({ op, params }: { readonly op: string; readonly params: unknown }): boolean =>
  op === "Compare" || op === "Pair" && (params as { readonly margins?: true }).margins === undefined

export const definition = define(Dpo, wires, {
  wiresOf: (_, params) => params["loss"]?.reference === false ? { ...wires, reference: none } : wires,
  ...policyFrom("init"),
  opens: { trained: ["init"], frozen: ["reward"] },
  passesOver: "preferences",
  mistakes: (stage, { held, preferences, reward }) => [
    ...("_tag" in stage.loss ? [] : mistakes(stage.loss)),
    readsMargins(stage.loss) && preferences !== undefined && marginless(preferences.node) &&
    "its loss is of margins, and the pairs have none: pair scored completions with Pair.make({ completions }, { margins: true })",
    ...keepMistakes(stage, { held, reward }, { proxy: ["reward", "held"] }, ["reward"])
  ]
})

export const make = <
  W extends Given,
  L extends Loss<boolean> | NamedLoss<string, boolean>,
  const N extends number = 0,
  const G extends Gold = never
>(
  connected: Checked<"Dpo", WiresOf<L["reference"]>, "init", W>,
  params: Allotting<Omit<typeof Dpo["~type.make.in"], "loss">, N, G> & { readonly loss: L } & BesideHeld<W>
): Moved<W, "init", N, G, LossesOf<L>> => build(definition, connected, params)
