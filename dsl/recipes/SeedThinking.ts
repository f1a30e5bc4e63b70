/**
 * Seed-Thinking v1.5 (ByteDance 2025, arXiv 2504.13914) with VAPO (arXiv 2504.05118): PPO for long chains of thought, with verifiers and with
 * generative judges.
 *
 * The value model is trained alone at first, on returns with λ 1; the policy's λ grows with the length of its answer.
 *
 * Differences: numbers that the paper leaves out, such as α, μ and ε, are VAPO's; the mixture of prompts does not follow the policy;
 * prompts without a verifiable answer are judged one by one by a reward model, not in pairs by a generative one. The shape is not published:
 * it is one of 20B active of 200B parameters.
 */
import * as Advantage from "../Advantage.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Judge from "../Judge.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyLoss from "../PolicyLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Mix from "../stages/Mix.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as Reward from "../stages/Reward.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sft from "../stages/Sft.ts"
import * as Verifier from "../Verifier.ts"

/** §3.1: 300,000 verifiable and 100,000 other answers, two epochs, a cosine from 2e-5 to 2e-6, 32,000 tokens. */
export const sft = {
  epochs: 2,
  learningRate: 2e-5,
  schedule: "cosine",
  minLearningRate: 2e-6,
  maxLength: 32_000,
  truncation: "keep-start"
} as const

/**
 * VAPO, §5.1: 16 answers of each of 512 prompts in mini-batches of 512; rates 1e-6 and 2e-6; 50 steps of the value model alone; μ 0.1 of
 * the likelihood of right answers.
 */
export const ppo = {
  beta: 0,
  batchSize: 512,
  groupSize: 16,
  numMiniBatches: 16,
  numPpoEpochs: 1,
  learningRate: 1e-6,
  valueLearningRate: 2e-6,
  valueWarmupSteps: 50,
  positiveNll: 0.1,
  maxNewTokens: 32_000
} as const

/** VAPO, §4: α 0.05 of λ = 1 − 1/(α l), λ 1 of the value model, clip 0.2 and 0.28, a mean over tokens. */
export const advantage = new Advantage.Gae({ gamma: 1, valueLam: 1, lamByLength: 0.05 })
export const loss = new PolicyLoss.PolicyLoss({
  objective: new PolicyLoss.Ratio({ level: "token", clip: new PolicyLoss.Clipped({ low: 0.2, high: 0.28 }) }),
  aggregation: new PolicyLoss.TokenMean()
})

/** §4.1: Seed-Verifier says whether an answer means the same as the reference. */
export const verdict = Judge.rubric("Does the final answer mean the same as the reference answer?", {
  scale: { min: 0, max: 1 },
  reference: true
})

const prompts = (name: string, rows: number) =>
  Source.prompts(Source.described(name, { rows, tokens: { prompt: 300 } }))
const answers = (name: string, rows: number) =>
  Source.demonstrations(Source.described(name, { rows, tokens: { prompt: 300, completion: 6000 } }))

const moe = (name: string) =>
  Checkpoint.described("seed", {
    name,
    layers: 60,
    dim: 5120,
    heads: 40,
    kvHeads: 8,
    ffn: 15_360,
    experts: { count: 136, active: 10, ffn: 1536 },
    vocab: 155_136,
    context: 32_768
  })

export const seedThinking = Recipe.make({
  name: "seed-thinking-1.5",
  title: "Seed-Thinking v1.5",
  paper: "arXiv 2504.13914",
  takes: {
    base: ["BaseModel", "seed"],
    verifier: ["BaseModel", "seed"],
    verifiable: "Demonstrations",
    other: "Demonstrations",
    pairs: "Preferences",
    stem: "Prompts",
    code: "Prompts",
    puzzles: "Prompts",
    open: "Prompts",
    held: "Prompts"
  },
  open: {
    sftBatch: Recipe.notReported(128, "rows of a step of the SFT"),
    rewardBatch: Recipe.notReported(256, "pairs of a step of the reward model"),
    rewardRate: Recipe.notReported(6e-6, "of the reward model"),
    steps: Recipe.notReported(1_000, "rollouts"),
    maxBatches: Recipe.notReported(10, "batches of dynamic sampling in a step")
  },
  published: () => ({
    base: moe("Seed-Thinking base, 20B of 200B"),
    verifier: moe("Seed-Thinking-Verifier"),
    verifiable: answers("verifiable", 300_000),
    other: answers("other", 100_000),
    pairs: Source.preferences(Source.described("pairs", { rows: 100_000, tokens: { prompt: 300, completion: 1000 } })),
    stem: prompts("STEM", 100_000),
    code: prompts("code", 20_000),
    puzzles: prompts("puzzles of 22 types", 10_000),
    open: prompts("without a verifiable answer", 50_000),
    held: prompts("BeyondAIME", 100)
  }),
  make: ({ base, held, other, pairs, verifiable, verifier, ...asked }, open) => {
    const start = Sft.make({ base, demonstrations: Mix.make({ verifiable, other }) }, {
      ...sft,
      batchSize: open.sftBatch
    })
    const preferred = RewardModeling.make({ init: start, preferences: pairs }, {
      batchSize: open.rewardBatch,
      learningRate: open.rewardRate
    })
    const reward = Reward.byKind({
      stem: Reward.judge(verifier, { rubric: verdict }),
      code: Reward.verify(Verifier.code()),
      puzzles: Reward.verify(Verifier.mathematics()),
      open: preferred
    })
    const policy = Ppo.make({ init: start, value: preferred, reward, prompts: Mix.make(asked, { column: "kind" }) }, {
      ...ppo,
      advantage,
      loss,
      steps: open.steps,
      dynamicSampling: { maxBatches: open.maxBatches }
    })
    const measured = {
      kl: Kl.measured,
      from: start,
      held: Mix.make({ stem: held }, { column: "kind" }),
      maxNewTokens: ppo.maxNewTokens
    } as const
    return { sft: start, reward: preferred, policy: Pipeline.observe(policy, measured) }
  }
})
