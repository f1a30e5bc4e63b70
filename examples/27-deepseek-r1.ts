/**
 * DeepSeek-R1 in small: the recipe `deepseek-r1` with tiny models and toy data, and its policies and students side by side on held-out puzzles.
 *
 *     npx keel run examples/27-deepseek-r1.ts        # the recipe alone: npx keel run deepseek-r1 --shrink
 */
import { DeepSeekR1, Evaluate, Pipeline, Recipe, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { dev1, dev2, dev3, r1, zero } = Shrink.outputs(Recipe.planned(DeepSeekR1.deepSeekR1))

export default Pipeline.runnable(Evaluate.make(
  { initial: dev3, prompts: held },
  { zero, dev1, dev2, dev3, r1 },
  { verifiers: [Verifier.letterCount(), Verifier.languageConsistency("en"), Verifier.ended()], maxNewTokens: 40 }
))
