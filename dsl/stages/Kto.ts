/**
 * Direct alignment from answers that are labelled one by one, good or bad: Kahneman–Tversky optimisation (Ethayarajh et al.
 * 2024, arXiv 2402.01306, eq. 7 and 8). With h = log π/π_ref of an answer and z₀ a detached estimate of KL(π‖π_ref)
 *
 *     L = E[w_d (1 − σ(β(h − z₀)))] over desirable answers, E[w_u (1 − σ(β(z₀ − h)))] over undesirable answers
 *
 * z₀ comes from the answers of the same batch under the prompts of others (§4.1). `apo-zero` is z₀ = 0 (D'Oosterlinck et al.
 * 2024, arXiv 2408.06266, eq. 7). From pairs, chosen answers are desirable and rejected answers undesirable.
 *
 * The reference's log-probabilities are computed once, before training, and cached. Trained by `src/stages/kto.ts`, loss in
 * `src/losses/kto.ts`.
 */
import * as Schema from "effect/Schema"
import { define } from "../Definition.ts"
import { held, klMeasured } from "../KlSpending.ts"
import { moves, policyFrom } from "../MovesPolicy.ts"
import { Count, NonNegative, or, passes, Positive, training } from "../Training.ts"
import { judgedBy, keeping, keepMistakes } from "../Keep.ts"
import { masking, truncating } from "../Truncation.ts"
import { model } from "../Wires.ts"

export class Kto extends Schema.TaggedClass<Kto>()("Kto", {
  loss: or(Schema.Literals(["kto", "apo-zero"]), "kto"),
  beta: or(Positive, 0.1),
  /** w_d and w_u. Eq. 8 of the paper keeps w_d·desirable : w_u·undesirable between 1:1 and 4:3. */
  desirableWeight: or(NonNegative, 1),
  undesirableWeight: or(NonNegative, 1),
  ...passes,
  /** Answers per optimiser step; z₀ is estimated from as many. */
  batchSize: Count,
  ...klMeasured,
  ...truncating,
  ...masking,
  ...keeping,
  ...training
}) {}

export const definition = define(Kto, {
  init: model(["BaseModel", "Policy"], "the policy to start from, e.g. the output of Sft.make(…)"),
  reference: model(
    ["BaseModel", "Policy"],
    "the policy that log-ratios are taken against, e.g. reference: sft"
  ),
  preferences: {
    kinds: ["UnpairedPreferences", "Preferences"],
    model: false,
    optional: false,
    needs: "labelled answers, e.g. Source.unpairedPreferences(…) or pairs"
  },
  held,
  reward: judgedBy
}, {
  ...policyFrom("init"),
  opens: { trained: ["init"], frozen: ["reward"] },
  passesOver: (_, { preferences }) => ["preferences", preferences?.node.kind === "Preferences" ? 2 : 1],
  mistakes: ({ batchSize, desirableWeight, loss, undesirableWeight, ...stage }, { held, reward }) => [
    ...keepMistakes(stage, { held, reward }, { proxy: ["reward", "held"] }, ["reward"]),
    desirableWeight === 0 && undesirableWeight === 0 &&
    "desirableWeight and undesirableWeight are both 0: nothing would be learnt",
    batchSize === 1 && loss === "kto" &&
    "batchSize 1 leaves the loss kto no other answer to estimate its KL from: raise it, or take apo-zero"
  ]
})

export const make = moves()(definition)
