/** SmolTulu, arXiv 2412.08347. */
import { Recipe, SmolTulu } from "../../../dsl/index.ts"
import { facts, of, result } from "../fact.ts"

const rate = ({ batchSize, learningRate }: ReturnType<typeof of>) => [learningRate, batchSize]

export default facts("SmolTulu", {
  high: Recipe.planned(SmolTulu.smolTulu1130),
  low: Recipe.planned(SmolTulu.smolTulu1207)
}, {
  "1.7": [
    ["SFT-1130: rate, batch", [9e-5, 8], ({ high }) => rate(of(high.sft))],
    ["SFT-1207", [3.1e-6, 32], ({ low }) => rate(of(low.sft))],
    ["DPO-1130", [8e-7, 12], ({ high }) => rate(of(high.policy))],
    ["DPO-1207", [5e-7, 32], ({ low }) => rate(of(low.policy))],
    ["RM-1130", [4e-5, 4], ({ high }) => rate(of(high.reward))],
    ["RM-1207", [7.5e-7, 8], ({ low }) => rate(of(low.reward))],
    ["GSM8K, IFEval, ARC", [51.6, 67.7, 57.1], result]
  ]
})
