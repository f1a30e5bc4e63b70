/** Numbers of publications that the recipes of Llama 2 Chat, Llama 3.1 and Bai et al. carry into their stages. */
import { assert, it } from "vitest"
import { Artifact, HhRlhf, Llama2Chat, Llama31, Recipe } from "../../dsl/index.ts"

const stage = (of: Artifact.Any, op: string): object =>
  Artifact.lineage(of).findLast(({ node }) => node.op === op)!.node.params as object

it("Llama 2 Chat: §3.1, §3.2.2, §3.2.3 and Table 26", () => {
  const { policy, small } = Recipe.planned(Llama2Chat.llama2Chat)
  assert.deepInclude(stage(policy, "Sft"), { learningRate: 2e-5, batchSize: 64, epochs: 2, weightDecay: 0.1 })
  assert.deepInclude(stage(policy, "RewardModeling"), { learningRate: 5e-6, batchSize: 512, epochs: 1 })
  const ppo = { learningRate: 1e-6, batchSize: 512, numMiniBatches: 8, adamEpsilon: 1e-5, weightDecay: 0.1 }
  assert.deepInclude(stage(policy, "Ppo"), { ...ppo, beta: 0.005 })
  assert.deepInclude(stage(small, "Ppo"), { ...ppo, beta: 0.01 })
  assert.strictEqual(Llama2Chat.weekly.reduce((sum, n) => sum + n, 0), 1_418_091)
  assert.strictEqual(Llama2Chat.comparisons.reduce((sum, of) => sum + of.helpful + of.safety, 0), 1_418_091)
})

it("Llama 3.1: §4.1.3, §4.1.4 and Table 7", () => {
  const { policy } = Recipe.planned(Llama31.llama31)
  assert.deepInclude(stage(policy, "Sft"), { learningRate: 1e-5, steps: 9000 })
  assert.deepInclude(stage(policy, "Dpo"), { learningRate: 1e-5, mask: "template" })
  assert.approximately(Object.values(Llama31.shares).reduce((sum, x) => sum + x, 0), 100, 1e-9)
})

it("Bai et al.: §2.2, §4.1 and Table 2", () => {
  const { policy } = Recipe.planned(HhRlhf.hhRlhf)
  assert.deepInclude(stage(policy, "Ppo"), { beta: 0.001 })
  assert.strictEqual(Object.values(HhRlhf.comparisons).reduce((sum, n) => sum + n, 0), 162_000)
  assert.strictEqual(Artifact.lineage(policy).filter(({ node }) => node.op === "Ppo").length, HhRlhf.weeks + 1)
})
