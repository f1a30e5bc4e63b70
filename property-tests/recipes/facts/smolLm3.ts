/** SmolLM3. */
import { Recipe, SmolLm3 } from "../../../dsl/index.ts"
import { facts, of } from "../fact.ts"

export default facts("SmolLM3", Recipe.planned(SmolLm3.smolLm3), {
  "1.7": [
    [
      "weights of the soup and of mid-training",
      [0.9, 0.1],
      ({ policy }) => [of(policy)["method"].weights.soup, of(policy)["method"].weights.mid]
    ],
    ["a soup of APO checkpoints", "Soup", ({ soup }) => of(soup)["keep"]._tag],
    ["writers of chosen and rejected answers, billions", [32, 0.6], "ready rows: their name says it"],
    ["context of RULER, thousands", 128, "an evaluation"]
  ],
  "7": [["APO: β, rate", [0.05, 1e-6], ({ soup }) => [of(soup)["loss"].beta, of(soup)["learningRate"]]]]
})
