/**
 * Seed-Thinking v1.5 in small: the recipe `seed-thinking-1.5` with tiny models and toy data, before and after PPO on held-out puzzles.
 *
 *     npx keel run examples/30-seed-thinking.ts        # the recipe alone: npx keel run seed-thinking-1.5 --shrink
 *
 * Ends with (seed 0, native backend; the share of held-out puzzles solved, with 95 %). The score of PPO rises, .60 to .77, by its reward model
 * for prompts without an answer, which grows at the cost of the puzzles:
 *
 *     | sft    | LetterCount | 36.3 % [30.7, 42.4] |
 *     | policy | LetterCount | 14.8 % [11.0, 19.7] |
 */
import { Evaluate, Pipeline, Recipe, SeedThinking, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { policy, sft } = Shrink.outputs(Recipe.planned(SeedThinking.seedThinking))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, policy },
  { verifiers: [Verifier.letterCount(), Verifier.noRepetition()], maxNewTokens: 40 }
))
