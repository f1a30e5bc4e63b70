/**
 * Distillation on the student's own samples: in a share λ of the steps it answers the prompts itself and learns from
 * the teacher's view of them (Agarwal et al. 2024, "GKD", arXiv 2306.13649, Algorithm 1); in the others it learns from
 * `demonstrations` or, when there are none, from answers of the teacher. The objective is a divergence over the whole
 * vocabulary, whose samples are held fixed, or the reverse KL as a reward. The policy moves away from its start, so the
 * stage spends KL: it has an allowance and is measured. Trained by `src/stages/onPolicyDistill.ts`, losses in
 * `src/losses/{distill,onPolicyDistill}.ts`.
 */
import * as Schema from "effect/Schema"
import { define } from "../Definition.ts"
import { ReverseKl, TokenDivergence } from "../Distillation.ts"
import { held, klSpending } from "../KlSpending.ts"
import { moves, policyFrom } from "../MovesPolicy.ts"
import { Count, Fraction, or, Positive, training } from "../Training.ts"
import { judgedBy, keeping, keepMistakes } from "../Keep.ts"
import { truncating } from "../Truncation.ts"
import { data, model, optional } from "../Wires.ts"

export class OnPolicyDistill extends Schema.TaggedClass<OnPolicyDistill>()("OnPolicyDistill", {
  objective: Schema.Union([TokenDivergence, ReverseKl]),
  /** Share of the steps on the student's own samples (TRL `lmbda`). The reverse KL as a reward has no others. */
  lambda: or(Fraction, 1),
  /** Iterations: sample, compare, update once. */
  steps: Count,
  /** Completions per iteration. */
  batchSize: Count,
  /** Of all sampling; the reverse KL as a reward is that of student and teacher at it. */
  samplingTemperature: or(Positive, 1),
  ...klSpending,
  ...truncating,
  ...keeping,
  ...training
}) {}

export const definition = define(OnPolicyDistill, {
  student: model(["BaseModel", "Policy"], "the policy to start from, e.g. the output of Distill.make(…)"),
  teacher: model(["BaseModel", "Policy"], "the model to learn from, of any size"),
  prompts: data("Prompts", "instructions to train on, e.g. Source.prompts(…)"),
  held,
  reward: judgedBy,
  demonstrations: optional(data("Demonstrations", "answers for the steps that are not on-policy"))
}, {
  ...policyFrom("student"),
  opens: { trained: ["student"], frozen: ["teacher", "reward"] },
  mistakes: ({ lambda, objective, ...stage }, { demonstrations, held, reward }) => [
    ...keepMistakes(stage, { held, reward }, { proxy: ["reward", "held"] }, ["reward"]),
    objective._tag === "ReverseKl" && lambda < 1 &&
    `lambda ${lambda} needs a divergence: the reverse KL as a reward is of the student's own samples, lambda 1`,
    demonstrations !== undefined && lambda === 1 && "demonstrations are never used with lambda 1: leave them out"
  ]
})

export const make = moves()(definition)
