/**
 * MiMo-7B in small: the recipe `mimo-7b` with tiny models and toy data, and RL from the SFT model beside RL from the base on held-out puzzles.
 *
 *     npx keel run examples/29-mimo.ts        # the recipe alone: npx keel run mimo-7b --shrink
 *
 * Ends with (seed 0, native backend; the share of held-out puzzles solved, with 95 %). The differences are within the intervals:
 *
 *     | sft    | LetterCount | 33.6 % [28.1, 39.6] |
 *     | policy | LetterCount | 37.9 % [32.2, 44.0] |
 *     | zero   | LetterCount | 30.9 % [25.5, 36.8] |
 */
import { Evaluate, MiMo, Pipeline, Recipe, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { policy, sft, zero } = Shrink.outputs(Recipe.planned(MiMo.mimo))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, zero, policy },
  { verifiers: [Verifier.letterCount()], maxNewTokens: 40 }
))
