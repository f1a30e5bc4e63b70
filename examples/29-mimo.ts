/**
 * MiMo-7B in small: the recipe `mimo-7b` with tiny models and toy data, and RL from the SFT model beside RL from the base on held-out puzzles.
 *
 *     npx keel run examples/29-mimo.ts        # the recipe alone: npx keel run mimo-7b --shrink
 */
import { Evaluate, MiMo, Pipeline, Recipe, Shrink, Source, Verifier } from "../dsl/index.ts"

const held = Source.prompts(Source.puzzles({ task: "letters", split: "held", count: 256 }))
const { policy, sft, zero } = Shrink.outputs(Recipe.planned(MiMo.mimo))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, zero, policy },
  { verifiers: [Verifier.letterCount()], maxNewTokens: 40 }
))
