/**
 * DeepSeek-R1 in small: the recipe `deepseek-r1` with tiny models and toy data, and its policies and students side by side on held-out puzzles.
 *
 *     npx keel run examples/27-deepseek-r1.ts        # the recipe alone: npx keel run deepseek-r1 --shrink
 *
 * Ends with (seed 0, native backend; shares of held-out puzzles solved, and of answers in English). What rises is the language; tiny models
 * hardly learn to count, and the reward models of the last 25 rollouts pull away from the puzzles:
 *
 *     | zero  | LetterCount | 22.7 % |    | zero  | LanguageConsistency | 32.0 %  |
 *     | dev1  | LetterCount | 21.1 % |    | dev1  | LanguageConsistency | 22.3 %  |
 *     | dev2  | LetterCount | 23.8 % |    | dev2  | LanguageConsistency | 100.0 % |
 *     | dev3  | LetterCount | 26.6 % |    | dev3  | LanguageConsistency | 79.7 %  |
 *     | r1    | LetterCount | 16.4 % |    | r1    | LanguageConsistency | 100.0 % |
 */
import { DeepSeekR1, Evaluate, Pipeline, Recipe, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { dev1, dev2, dev3, r1, zero } = Shrink.outputs(Recipe.planned(DeepSeekR1.deepSeekR1))

export default Pipeline.runnable(Evaluate.make(
  { initial: dev3, prompts: held },
  { zero, dev1, dev2, dev3, r1 },
  { verifiers: [Verifier.letterCount(), Verifier.languageConsistency("en"), Verifier.ended()], maxNewTokens: 40 }
))
