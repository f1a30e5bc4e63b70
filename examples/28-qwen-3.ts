/**
 * Qwen 3 in small: the recipe `qwen-3` with tiny models and toy data, and the four stages of its flagship side by side on held-out puzzles.
 *
 *     npx keel run examples/28-qwen-3.ts        # the recipe alone: npx keel run qwen-3 --shrink
 *
 * Ends with (seed 0, native backend; shares of held-out puzzles solved, and of answers that ended):
 *
 *     | cold      | LetterCount | 25.4 % |    | cold      | Ended | 50.4 %  |
 *     | reasons   | LetterCount | 25.8 % |    | reasons   | Ended | 78.1 %  |
 *     | fused     | LetterCount | 29.3 % |    | fused     | Ended | 72.7 %  |
 *     | flagship  | LetterCount | 15.2 % |    | flagship  | Ended | 99.6 %  |
 *     | offPolicy | LetterCount | 34.8 % |    | offPolicy | Ended | 100.0 % |
 *     | student   | LetterCount | 31.3 % |    | student   | Ended | 100.0 % |
 */
import { Evaluate, Pipeline, Qwen3, Recipe, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { cold, flagship, fused, offPolicy, reasons, student } = Shrink.outputs(Recipe.planned(Qwen3.qwen3))

export default Pipeline.runnable(Evaluate.make(
  { initial: cold, prompts: held },
  { cold, reasons, fused, flagship, offPolicy, student },
  { verifiers: [Verifier.letterCount(), Verifier.ended()], maxNewTokens: 40 }
))
