/** Numbers of publications that the recipes of DeepSeek-R1, Qwen 3, MiMo-7B and Seed-Thinking carry into their stages. */
import { assert, it } from "vitest"
import { Artifact, DeepSeekR1, MiMo, Qwen3, Recipe, SeedThinking } from "../../dsl/index.ts"

type Params = Readonly<Record<string, any>>
const params = (of: Artifact.Any): Params => of.node.params as Params
const stage = (of: Artifact.Any, op: string): Params =>
  params(Artifact.lineage(of).findLast(({ node }) => node.op === op)!)
const rows = (of: Artifact.Any): number => params(of)["origin"].rows

it("DeepSeek-R1: §2.1, §3.2, App. B.3 and B.4", () => {
  const { dev1, dev2, dev3, helpful, llama, qwen, r1, safe, zero } = Recipe.planned(DeepSeekR1.deepSeekR1)
  const [first, second, last] = [zero, dev2, r1].map((of) => stage(of, "Grpo")) as [Params, Params, Params]
  for (const rl of [first, second, last]) {
    assert.deepInclude(rl, { learningRate: 3e-6, beta: 0.001, groupSize: 16, numIterations: 1 })
    // A rollout of 8,192 completions in 16 updates of 512, and a reset after 400 updates.
    assert.strictEqual(rl["batchSize"] * rl["groupSize"], 8192)
    assert.strictEqual(8192 / rl["numMiniBatches"], 512)
    assert.deepEqual(rl["referencePolicy"], { _tag: "ResetEvery", steps: 25 })
    assert.strictEqual(25 * rl["numMiniBatches"], 400)
  }
  assert.strictEqual(first["steps"] * 16, 10_400)
  assert.deepEqual(first["fromStep"], { 0: { maxNewTokens: 32_768 }, 512: { maxNewTokens: 65_536 } })
  assert.deepEqual(second["loss"].objective.clip, { _tag: "Clipped", low: 10, high: 10 })
  assert.deepEqual([first["temperature"], second["temperature"], last["temperature"]], [1, 1, 0.7])
  // 1,700 updates, of which the last 400 have preferences: rollouts are whole, so 1,696.
  assert.strictEqual(last["steps"], Math.floor(1_700 / 16))
  assert.strictEqual((last["steps"] - DeepSeekR1.preferencesFrom) * 16, 400)
  const begins = Artifact.lineage(r1).filter(({ node }) =>
    node.op === "Reward" && params({ node } as never)["rule"]._tag === "From"
  )
  assert.deepEqual(begins.map((of) => params(of)["rule"].step), [81, 81])
  for (const  of of[dev1, dev3]) {
    const { learningRate, minLearningRate, ...sft } = stage(of, "Sft")
    assert.deepEqual([learningRate, minLearningRate], [5e-5, 5e-6])
    assert.deepInclude(sft, { batchSize: 128, maxLength: 32_768, schedule: "cosine" })
  }
  assert.strictEqual(DeepSeekR1.rows.reasoning + DeepSeekR1.rows.general, 804_745)
  assert.deepEqual([qwen, llama].map((of) => stage(of, "Sft")["learningRate"]), [8e-5, 5e-5])
  for (const  of of[helpful, safe]) {
    assert.deepInclude(stage(of, "RewardModeling"), { epochs: 1, batchSize: 256, learningRate: 6e-6 })
  }
  const { general, helpfulPairs, math, safetyLabels, stem } = DeepSeekR1.deepSeekR1.published()
  assert.deepEqual([general, helpfulPairs, math, safetyLabels, stem].map(rows), [
    66_000,
    66_000,
    26_000,
    106_000,
    22_000
  ])
})

it("Qwen 3: §4, where 21 numbers are open", () => {
  const { reasons } = Recipe.planned(Qwen3.qwen3)
  assert.deepInclude(stage(reasons, "Grpo"), { steps: 170 })
  assert.strictEqual(rows(Qwen3.qwen3.published().verifiable), 3995)
  assert.lengthOf(Object.keys(Qwen3.qwen3.open), 21)
})

it("MiMo-7B: §3", () => {
  const { policy, zero } = Recipe.planned(MiMo.mimo)
  for (const  of of[policy, zero]) {
    const rl = stage(of, "Grpo")
    assert.deepInclude(rl, { beta: 0, learningRate: 1e-6, temperature: 1, solvedAgain: 0.1 })
    // The sequence, with 1,024 tokens of a prompt.
    assert.strictEqual(rl["maxNewTokens"] + 1024, 32_768)
    assert.deepEqual([rl["batchSize"], rl["batchSize"] / rl["numMiniBatches"]], [512, 32])
  }
  assert.deepInclude(stage(policy, "Difficulty"), { atMost: 0.9 })
  assert.strictEqual(stage(policy, "Sample")["completionsPerPrompt"], 16)
  const { code, demonstrations, math } = MiMo.mimo.published()
  assert.deepEqual([demonstrations, math, code].map(rows), [500_000, 100_000, 30_000])
  for (const name of ["groupSize", "low", "high"]) assert.property(MiMo.mimo.open, name)
})

it("Seed-Thinking v1.5: §3.1, and VAPO, §4 and §5.1", () => {
  const { policy } = Recipe.planned(SeedThinking.seedThinking)
  assert.deepInclude(stage(policy, "Sft"), { epochs: 2, learningRate: 2e-5, minLearningRate: 2e-6, maxLength: 32_000 })
  const rl = stage(policy, "Ppo")
  assert.deepInclude(rl, { beta: 0, learningRate: 1e-6, valueLearningRate: 2e-6, valueWarmupSteps: 50 })
  assert.deepInclude(rl["advantage"], { valueLam: 1, lamByLength: 0.05 })
  assert.deepEqual(rl["loss"].objective.clip, { _tag: "Clipped", low: 0.2, high: 0.28 })
  assert.deepEqual([rl["batchSize"], rl["batchSize"] / rl["numMiniBatches"]], [512 * 16, 512])
  const { other, puzzles, stem, verifiable } = SeedThinking.seedThinking.published()
  assert.deepEqual([verifiable, other, stem, puzzles].map(rows), [300_000, 100_000, 100_000, 10_000])
})
