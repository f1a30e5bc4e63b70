/**
 * MiMo-7B (Xiaomi 2025, arXiv 2505.07608, §3): reinforcement learning from the SFT model and, as RL-Zero, from the base. GRPO without KL, clip-higher,
 * tests of code by their difficulty, and a pool of solved prompts.
 *
 * Differences: prompts of code are not filtered by the solve rate of models; answers are judged by the last `\boxed{…}` and not by Math-Verify; the
 * pool of solved prompts is that of the stage.
 */
import * as Advantage from "../Advantage.ts"
import type * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyLoss from "../PolicyLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Difficulty from "../stages/Difficulty.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Mix from "../stages/Mix.ts"
import * as Reward from "../stages/Reward.ts"
import * as Sample from "../stages/Sample.ts"
import * as Score from "../stages/Score.ts"
import * as Sft from "../stages/Sft.ts"
import * as Verifier from "../Verifier.ts"

/** §3.4: the longest sequence; 1,024 tokens of it are left to the prompt here. */
export const longest = 32_768

/** §3.1: 500,000 rows; sequences of 32,768 tokens. */
export const sft = { maxLength: longest, truncation: "keep-start", schedule: "cosine" } as const

/** §3.2: 16 answers of the SFT model; a problem with more than 90 % right is too easy. */
export const tooEasy = { completionsPerPrompt: 16, atMost: 0.9 } as const

/** §3.3, §3.4: batch 512 and mini-batches of 32, so 16 updates of a rollout; no KL; prompts that are solved come again with probability 0.1. */
export const grpo = {
  beta: 0,
  batchSize: 512,
  numMiniBatches: 16,
  numIterations: 1,
  learningRate: 1e-6,
  temperature: 1,
  maxNewTokens: longest - 1024,
  solvedAgain: 0.1
} as const

/** §3.3.1: tests of code in groups of the same difficulty, `strict` or `soft`. */
export type Credit = "strict" | "soft"

export const mimo = Recipe.make({
  name: "mimo-7b",
  title: "MiMo-7B-RL and MiMo-7B-RL-Zero",
  paper: "arXiv 2505.07608",
  takes: {
    base: ["BaseModel", "mimo"],
    demonstrations: "Demonstrations",
    math: "Prompts",
    code: "Prompts",
    held: "Prompts"
  },
  open: {
    credit: Recipe.notReported<Credit>("strict", "of tests in groups; both are described"),
    epochs: Recipe.notReported(1, "of the SFT"),
    batchSize: Recipe.notReported(128, "of the SFT"),
    learningRate: Recipe.notReported(3e-5, "of the SFT"),
    groupSize: Recipe.notReported(8, "answers of each prompt"),
    low: Recipe.notReported(0.2, "ε below 1"),
    high: Recipe.notReported(0.28, "ε above 1, which is said to be higher; DAPO's"),
    steps: Recipe.notReported(200, "rollouts"),
    maxBatches: Recipe.notReported(10, "batches that dynamic sampling draws for one step at most"),
    ddof: Recipe.notReported<0 | 1>(0, "of the standard deviation of a group"),
    epsilon: Recipe.notReported(1e-8, "added to the standard deviation of a group")
  },
  published: () => ({
    base: Checkpoint.described("mimo", {
      name: "MiMo-7B-Base",
      hub: "XiaomiMiMo/MiMo-7B-Base",
      layers: 36,
      dim: 4096,
      heads: 32,
      kvHeads: 8,
      ffn: 11_008,
      vocab: 151_680,
      context: 32_768
    }),
    demonstrations: Source.demonstrations(
      Source.described("SFT data", { rows: 500_000, tokens: { prompt: 200, completion: 4000 } })
    ),
    math: Source.prompts(Source.described("mathematics", { rows: 100_000, tokens: { prompt: 150 } })),
    code: Source.prompts(Source.described("code", { rows: 30_000, tokens: { prompt: 400 } })),
    held: Source.prompts(Source.described("AIME 2024", { rows: 30, tokens: { prompt: 150 } }))
  }),
  make: ({ base, code, demonstrations, held, math }, open) => {
    const { batchSize, credit, epochs, learningRate } = open
    const start = Sft.make({ base, demonstrations }, { ...sft, epochs, batchSize, learningRate })

    const { atMost, completionsPerPrompt } = tooEasy
    const completions = Sample.make({ policy: start, prompts: math }, {
      completionsPerPrompt,
      maxNewTokens: grpo.maxNewTokens
    })
    const scored = Score.byVerifier({ completions }, { verifiers: [Verifier.mathematics()] })
    const hard = Difficulty.make({ completions: scored }, { atLeast: 0, atMost })
    const prompts = Mix.make({ math: hard, code }, { column: "kind" })
    const reward = Reward.byKind({
      math: Reward.verify(Verifier.mathematics()),
      code: Reward.verify(Verifier.code({ credit }))
    })

    const learned = (init: Artifact.Of<"BaseModel" | "Policy", "mimo">) =>
      Pipeline.observe(
        Grpo.make({ init, reward, prompts }, {
          ...grpo,
          groupSize: open.groupSize,
          steps: open.steps,
          dynamicSampling: { maxBatches: open.maxBatches },
          advantage: new Advantage.GroupStd({ ddof: open.ddof, epsilon: open.epsilon }),
          loss: new PolicyLoss.PolicyLoss({
            objective: new PolicyLoss.Ratio({
              level: "token",
              clip: new PolicyLoss.Clipped({ low: open.low, high: open.high })
            }),
            aggregation: new PolicyLoss.TokenMean()
          })
        }),
        {
          kl: Kl.measured,
          from: init,
          held: Mix.make({ math: held }, { column: "kind" }),
          maxNewTokens: grpo.maxNewTokens
        }
      )
    return { sft: start, zero: learned(base), policy: learned(start) }
  }
})
