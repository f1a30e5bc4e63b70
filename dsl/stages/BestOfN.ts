/**
 * Best-of-n as an inference-time policy, reported and not trained: sample n completions, answer with the one that scores best.
 *
 * Its law is π_n(y) = F(y)ⁿ − F⁻(y)ⁿ, F and F⁻ being the policy's probabilities of a score of at most, and below, that of y, with ties
 * shared in proportion to the policy; KL(π_n‖π) ≤ log n − (n − 1)/n (Beirami et al. 2024, arXiv 2401.01879) and D∞ ≤ log n.
 * Both are bounds from the policy that the candidates were drawn from, at its temperature.
 *
 * From N candidates of a prompt every n ≤ N is estimated without bias: the expectation over all subsets of n (Nakano et al. 2021, arXiv
 * 2112.09332, app. I). Done by `src/stages/bestOfN.ts`.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Gold } from "../Gold.ts"
import { Count, or } from "../Training.ts"
import { data } from "../Wires.ts"

export class BestOfN extends Schema.TaggedClass<BestOfN>()("BestOfN", {
  gold: Schema.optionalKey(Gold),
  /** The n to report on; none may be more than the completions of a prompt. */
  sizes: Schema.NonEmptyArray(Count),
  /** Completions shown side by side. */
  shown: or(Schema.Natural, 3)
}) {}

export const definition = define(BestOfN, {
  completions: data("ScoredCompletions", "scored completions, e.g. Score.byReward(…)")
}, {
  compares: ({ sizes }) => [`best of ${Math.max(...sizes)}`, Math.max(...sizes)],
  makes: "Evaluation"
})

export const make = constructs(definition)
