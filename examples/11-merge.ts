/**
 * Branch, train, merge: experts from one model on different data, in parallel, then one model out of their weights (task
 * arithmetic as in Ilharco et al. 2023; the branches as in BTM, Li et al. 2022). Two policies moved apart by reinforcement
 * learning, merged by WARP’s SLERP of task vectors: their KL has no bound, so it is measured under a cap of its own.
 *
 *     npx keel run examples/11-merge.ts
 *
 * Ends with (seed 0, native backend): the merged policy keeps the gain of both policies, and gains no gold beyond them.
 *
 *     Gold, merged − sft: +0.60 ± 0.12 on the same 256 prompts (5.0 standard errors).
 *     Gold, merged − left: +0.14 ± 0.08 on the same 256 prompts (1.6 standard errors).
 *     Gold, merged − right: +0.04 ± 0.09 on the same 256 prompts (0.4 standard errors).
 */
import { Compare, Evaluate, Kl, Merge, MergeMethod, Pipeline, Ppo, RewardModeling, Sft, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

/** Branch and train: the same start, other demonstrations. */
const expert = (seed: number) =>
  Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 1000, seed })) }, {
    epochs: 2,
    batchSize: 32,
    learningRate: 3e-3,
    schedule: "cosine"
  })

const [first, second, third] = [expert(1), expert(2), expert(3)]
const sft = Merge.make({ base, held }, { first, second, third }, {
  method: MergeMethod.taskArithmetic(1 / 3),
  maxNewTokens
})

/** Reward models that saw the same pairs in another order, averaged (WARM). */
const preferences = Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })
const rewardModel = (seed: number) =>
  RewardModeling.make({ init: base, preferences }, {
    batchSize: 32,
    learningRate: 6e-3,
    schedule: "cosine",
    maxGradNorm: 0.3,
    seed
  })
const reward = Merge.make({}, { one: rewardModel(1), two: rewardModel(2) }, { method: MergeMethod.warm })

const aligned = (seed: number) => {
  const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
    allowance: Kl.mnatsPerSequence(6_000),
    beta: 0.15,
    steps: 20,
    batchSize: 64,
    numPpoEpochs: 2,
    learningRate: 1e-3,
    vfCoef: 1,
    missingEosPenalty: 1,
    measureEvery: 10,
    maxNewTokens,
    seed
  })
  return Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(6_000), from: sft })
}

const [left, right] = [aligned(1), aligned(2)]
const merged = Merge.make({ base: sft, held }, { left, right }, {
  method: MergeMethod.taskSlerp({ left: 0.5, right: 0.5 }),
  maxNewTokens
})

// Caps on the parents do not bound the merge, which can lie beyond them: it is capped and measured again.
const policy = Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(8_000), from: sft })

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { base, first, sft, left, right, merged: policy },
  { gold, maxNewTokens }
))
