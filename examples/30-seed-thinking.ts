/**
 * Seed-Thinking v1.5 in small: the recipe `seed-thinking-1.5` with tiny models and toy data, before and after PPO on held-out puzzles.
 *
 *     npx keel run examples/30-seed-thinking.ts        # the recipe alone: npx keel run seed-thinking-1.5 --shrink
 *
 * Ends with (seed 0, native backend; the share of held-out puzzles solved, with 95 %). The reward of PPO is a reward model's too, for prompts
 * without an answer, and that part grows at the cost of the puzzles:
 *
 *     | sft    | LetterCount | 29.3 % [24.1, 35.1] |
 *     | policy | LetterCount | 23.0 % [18.3, 28.6] |
 */
import { Evaluate, Pipeline, Recipe, SeedThinking, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { policy, sft } = Shrink.outputs(Recipe.planned(SeedThinking.seedThinking))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, policy },
  { verifiers: [Verifier.letterCount(), Verifier.noRepetition()], maxNewTokens: 40 }
))
