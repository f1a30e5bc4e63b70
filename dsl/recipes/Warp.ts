/**
 * WARP on Gemma 7B (Ramé et al. 2024, arXiv 2406.16768): in each iteration M policies are trained from one start, each against an exponential
 * moving average of itself; their task vectors are merged by SLERP, layer by layer, and the result is interpolated towards the start (LITI).
 * The result is the start of the next iteration.
 *
 * Differences: the reward model is trained here, where the paper has a given one. The paper prints 0.01 (set-up) and 0.1 (§4.1) for the rate of
 * the average; 0.01 is taken.
 */
import * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as MergeMethod from "../MergeMethod.ts"
import * as Pipeline from "../Pipeline.ts"
import { reinforce } from "../PolicyGradient.ts"
import * as Recipe from "../Recipe.ts"
import { MovingAverage } from "../Reference.ts"
import * as Source from "../Source.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Merge from "../stages/Merge.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"

/** §4: REINFORCE, β 0.1 against the average (rate 0.01 after each step), temperature 0.9, batch 128, rate 1e-6 after 100 steps of warm-up. */
export const policy = {
  ...reinforce,
  referencePolicy: new MovingAverage({ rate: 0.01, every: 1 }),
  beta: 0.1,
  batchSize: 128,
  groupSize: 1,
  temperature: 0.9,
  learningRate: 1e-6,
  warmupSteps: 100
} as const

/** §4.4: steps of the five iterations. */
export const steps = [9000, 7000, 7000, 5000, 5000] as const

/** §4.2: two runs are merged at ½. */
export const lambda = 0.5

/** §4.3: η, the share of the merged policy against the iteration's start. */
export const eta = 0.3

export const warp = Recipe.make({
  name: "warp",
  title: "WARP, Gemma 7B",
  paper: "arXiv 2406.16768",
  takes: { sft: ["BaseModel", "gemma"], preferences: "Preferences", prompts: "Prompts", held: "Prompts" },
  open: {
    maxNewTokens: Recipe.notReported(256, "longest completion"),
    rewardBatchSize: Recipe.notReported(256, "the reward model is given in the paper"),
    rewardLearningRate: Recipe.notReported(1e-6, "the reward model is given in the paper")
  },
  published: () => ({
    sft: Checkpoint.described("gemma", {
      name: "Gemma 7B, fine-tuned",
      layers: 28,
      dim: 3072,
      heads: 16,
      headDim: 256,
      ffn: 24_576,
      tied: true,
      vocab: 256_000,
      context: 8192
    }),
    preferences: Source.preferences(
      Source.described("comparisons", { rows: 100_000, tokens: { prompt: 100, completion: 150 } })
    ),
    prompts: Source.prompts(Source.described("conversations", { rows: 100_000, tokens: { prompt: 100 } })),
    held: Source.prompts(Source.described("held-out conversations", { rows: 1000, tokens: { prompt: 100 } }))
  }),
  make: ({ held, preferences, prompts, sft }, { maxNewTokens, rewardBatchSize, rewardLearningRate }) => {
    const reward = RewardModeling.make({ init: sft, preferences }, {
      batchSize: rewardBatchSize,
      learningRate: rewardLearningRate
    })
    type Model = Artifact.Of<"BaseModel" | "Policy", "gemma">
    const iteration = (init: Model, round: number): Model => {
      const run = (seed: number) =>
        Grpo.make({ init, reference: init, reward, prompts }, {
          ...policy,
          steps: steps[round - 1]!,
          maxNewTokens,
          seed
        })
      const merged = Merge.make({ base: init }, { a: run(1), b: run(2) }, {
        method: MergeMethod.taskSlerp({ a: lambda, b: 1 - lambda }, { per: "layer" })
      })
      const interpolated = Merge.make({ base: init }, { merged }, { method: MergeMethod.liti(eta) })
      return Pipeline.observe(interpolated, {
        kl: Kl.measured,
        from: init,
        held,
        maxNewTokens,
        measure: { every: 500, samples: 256 }
      })
    }
    return { reward, policy: Pipeline.repeat(sft, steps.length, iteration) }
  }
})
