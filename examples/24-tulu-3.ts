/**
 * Tülu 3 8B in small: the recipe `tulu-3-8b` with tiny models and toy data, its SFT, DPO and RLVR side by side on held-out puzzles.
 *
 *     npx keel run examples/24-tulu-3.ts        # the recipe alone: npx keel run tulu-3-8b --shrink
 *
 * Ends with (seed 0, native backend; the share of held-out puzzles solved, with 95 %). The reward of RLVR rises; the differences here are
 * within the intervals:
 *
 *     | sft    | LetterCount | 27.0 % [21.9, 32.7] |
 *     | dpo    | LetterCount | 28.1 % [23.0, 33.9] |
 *     | policy | LetterCount | 27.3 % [22.2, 33.1] |
 */
import { Evaluate, Pipeline, Recipe, Shrink, Source, Tulu3, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { dpo, policy, sft } = Shrink.outputs(Recipe.planned(Tulu3.tulu3Of8b))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, dpo, policy },
  { verifiers: [Verifier.letterCount(), Verifier.ended()], maxNewTokens: 40 }
))
