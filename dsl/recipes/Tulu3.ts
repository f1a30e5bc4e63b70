/**
 * Tülu 3, 8B, 70B and 405B, and Tülu 3.1 8B (Lambert et al. 2024, arXiv 2411.15124v5; commands: open-instruct, docs/tulu3.md): SFT on a
 * mixture, length-normalised DPO on pairs that are in part on-policy, and reinforcement learning by verifiable rewards (RLVR).
 *
 * RLVR is PPO against the DPO policy. Its reward is a program's verdict; the reward model, of 8B for every size, is only the start of the
 * value model. 3.1 replaces PPO by GRPO, from the same DPO checkpoint.
 *
 * The SFT model of 8B is the best of five seeds.
 *
 * Differences: of the development suite that seeds are compared on, the three benchmarks that a program checks stand here. The 22 models of
 * the pool are one data set of their answers. The RLVR policies that were released are of a checkpoint before the last. PPO of 405B has four passes and
 * 400,000 episodes in its command, one and 300,000 in Table 35, and was stopped after 75 steps.
 */
import * as Advantage from "../Advantage.ts"
import type * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Judge from "../Judge.ts"
import * as Kl from "../Kl.ts"
import * as MergeMethod from "../MergeMethod.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyGradient from "../PolicyGradient.ts"
import * as PreferenceLoss from "../PreferenceLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Judging from "../stages/Judge.ts"
import * as Merge from "../stages/Merge.ts"
import * as Mix from "../stages/Mix.ts"
import * as Pair from "../stages/Pair.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as Reward from "../stages/Reward.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"
import * as Sft from "../stages/Sft.ts"
import * as Verifier from "../Verifier.ts"

/** §4.3, Table 11: two epochs, batch 128, 4,096 tokens, linear after 3 % of warm-up; the loss is summed over tokens (§4.3.2). */
export const sft = {
  epochs: 2,
  batchSize: 128,
  schedule: "linear",
  warmupRatio: 0.03,
  maxLength: 4096,
  truncation: "keep-start",
  reduction: "sum"
} as const

/** §4.3.3: the seeds of the SFT of 8B, the best of which was released. */
export const seeds = [1, 2, 3, 4, 5] as const

/** §5.1.2, Table 20: β 5 with length-normalised log-probabilities. */
export const loss = PreferenceLoss.dpoNorm({ beta: 5 })

/** §5.4, Table 20: one epoch, 2,048 tokens, linear after 10 % of warm-up. */
export const dpo = {
  epochs: 1,
  schedule: "linear",
  warmupRatio: 0.1,
  maxLength: 2048,
  truncation: "keep-start"
} as const

/** App. E.2, Table 36: the reward model that value models start from. */
export const rewardModeling = {
  epochs: 1,
  batchSize: 256,
  learningRate: 3e-6,
  maxLength: 2048,
  truncation: "keep-start"
} as const

/** §5.2.1: four answers of each prompt, out of those of 22 models and of the SFT policy. */
export const answers = 4

/** §5.2.1: four aspects, each from 1 to 5. */
export const rubric = Judge.rubric([
  { name: "helpfulness", asks: "How well does the answer do what the instruction asks for, and is it correct?" },
  { name: "instruction-following", asks: "How closely does the answer keep to the instruction and its constraints?" },
  { name: "honesty", asks: "Does the confidence that the answer shows agree with its correctness?" },
  { name: "truthfulness", asks: "Is the answer free of statements that are wrong or made up?" }
], { scale: { min: 1, max: 5 } })

/** §6.2, Table 21: four passes of one mini-batch over a step, no discount, λ 0.95, clip 0.2, vf 0.1, temperature 1, gradients of norm 1. */
export const ppo = {
  ...PolicyGradient.ppo,
  advantage: new Advantage.Gae({ gamma: 1, lam: 0.95 }),
  numPpoEpochs: 4,
  numMiniBatches: 1,
  vfCoef: 0.1,
  temperature: 1,
  maxGradNorm: 1,
  schedule: "linear"
} as const

/** docs/tulu3.md, Tülu 3.1: 16 answers of 48 prompts, two mini-batches, k3 in the loss; released at episode 1,474,560 = 1,920 steps. */
export const grpo = {
  ...PolicyGradient.grpo,
  advantage: new Advantage.GroupStd({ ddof: 0, epsilon: 1e-8 }),
  beta: 0.01,
  steps: 1920,
  batchSize: 48,
  groupSize: 16,
  numMiniBatches: 2,
  learningRate: 5e-7,
  temperature: 1,
  maxNewTokens: 2048
} as const

/** §6.1: 10 for an answer that is verified, else 0. */
const verified = { weight: 10 } as const

/** §6.1: the verifier of each kind of prompt. */
export const byKind = Reward.byKind({
  gsm8k: Reward.verify(Verifier.lastNumber(verified)),
  math: Reward.verify(Verifier.mathematics(verified)),
  ifeval: Reward.verify(Verifier.instructions(verified))
})

const ended = Reward.verify(Verifier.ended())

/** docs/tulu3.md: −10 instead of the reward for an answer without its end (`penalty_reward_value`). */
export const penalised = Reward.gate({
  when: Reward.below(ended, 1),
  then: Reward.clip(ended, { min: -10, max: -10 }),
  otherwise: byKind
})

/** Tables 11, 15, 20 and 21, of 405B 34 and 35, with captions and commands; its pairs are those of its data card. 70B's β is 0.07 there, and 0.7 in the prose. Episodes are `steps` · `batchSize`. */
export const sizes = {
  "8b": {
    shape: { layers: 32, dim: 4096, heads: 32, kvHeads: 8, ffn: 14_336 },
    sft: { learningRate: 5e-6 },
    dpo: { learningRate: 5e-7, batchSize: 128 },
    pairs: 271_409,
    ppo: { learningRate: 3e-7, beta: 0.05, batchSize: 224, steps: 447, maxNewTokens: 2048 }
  },
  "70b": {
    shape: { layers: 80, dim: 8192, heads: 64, kvHeads: 8, ffn: 28_672 },
    sft: { learningRate: 2e-6 },
    dpo: { learningRate: 2e-7, batchSize: 128 },
    pairs: 334_302,
    ppo: { learningRate: 1e-7, beta: 0.07, batchSize: 640, steps: 625, warmupRatio: 0.1, maxNewTokens: 2048 }
  },
  "405b": {
    shape: { layers: 126, dim: 16_384, heads: 128, kvHeads: 8, ffn: 53_248 },
    sft: { learningRate: 2e-6, batchSize: 256 },
    dpo: { learningRate: 2e-7, batchSize: 256 },
    pairs: 360_924,
    ppo: { learningRate: 1e-7, beta: 0.05, batchSize: 1856, steps: 75, maxNewTokens: 1024 }
  }
} as const

type Size = keyof typeof sizes

const takes = {
  base: ["BaseModel", "llama3"],
  demonstrations: "Demonstrations",
  prompts: "Prompts",
  pool: "Completions",
  offPolicy: "Preferences",
  gsm8k: "Prompts",
  math: "Prompts",
  ifeval: "Prompts",
  gsm8kHeld: "Prompts",
  mathHeld: "Prompts",
  ifevalHeld: "Prompts"
} as const

const open = {
  judge: Recipe.notReported(
    Judge.endpoint("https://api.openai.com/v1", "gpt-4o-2024-08-06"),
    "GPT-4o of 2024-08-06: where it is asked, and the variable with your key, are yours"
  ),
  answerTokens: Recipe.notReported(2048, "longest answer of the SFT policy in the preference data")
}

const llama = (size: Size) =>
  Checkpoint.described("llama3", {
    name: `Llama 3.1 ${size.toUpperCase()}`,
    hub: `meta-llama/Llama-3.1-${size.toUpperCase()}`,
    ...sizes[size].shape,
    vocab: 128_256,
    context: 131_072
  })

/** §6.1: prompts with an answer that a program checks. */
export const verifiable = () => {
  const prompts = (name: string, rows: number, prompt: number) =>
    Source.prompts(Source.described(name, { rows, tokens: { prompt } }))
  return {
    gsm8k: prompts("GSM8K, train", 7473, 600),
    math: prompts("MATH, train", 7500, 600),
    ifeval: prompts("instructions with constraints of IFEval", 14_973, 200)
  }
}

/** §5.2.2, Table 15: on-policy pairs, of a prompt each; App. D: models of the pool. */
const [asked, models] = [19_444, 22]

const published = (size: Size) => {
  const tokens = { prompt: 250, completion: 350 } as const
  const prompts = (name: string, rows: number) =>
    Source.prompts(Source.described(name, { rows, tokens: { prompt: 250 } }))
  return {
    base: llama(size),
    demonstrations: Source.demonstrations(
      Source.described("allenai/tulu-3-sft-mixture", { rows: 939_344, tokens: { prompt: 250, completion: 450 } })
    ),
    prompts: prompts("prompts of the preference data", asked),
    pool: Source.completions(
      Source.described("answers of 22 models", { rows: models * asked, tokens: { ...tokens, completions: models } })
    ),
    offPolicy: Source.preferences(Source.described("off-policy pairs", { rows: sizes[size].pairs - asked, tokens })),
    ...verifiable(),
    gsm8kHeld: prompts("GSM8K, test", 1319),
    mathHeld: prompts("MATH, test", 5000),
    ifevalHeld: prompts("IFEval", 541)
  }
}

type Open = Recipe.Chosen<typeof open>
type Base = Artifact.Of<"BaseModel", "llama3">
type Data = Omit<Recipe.Given<typeof takes>, "base">

/** The part of the development suite that a program checks. */
const development = ({ gsm8kHeld, ifevalHeld, mathHeld }: Data) =>
  Mix.make({ gsm8k: gsm8kHeld, math: mathHeld, ifeval: ifevalHeld }, { column: "kind" })

const tuned = (base: Base, data: Data, size: Size): Artifact.Of<"Policy", "llama3"> => {
  const { demonstrations } = data
  const by = (seed: number) => Sft.make({ base, demonstrations }, { ...sft, ...sizes[size].sft, seed })
  if (size !== "8b") return by(1)
  return Merge.make(
    { held: development(data), reward: byKind },
    Object.fromEntries(seeds.map((seed) => [`seed${seed}`, by(seed)])),
    { method: MergeMethod.best("reward"), maxNewTokens: 2048 }
  )
}

/** SFT, preferences and DPO. */
const aligned = (base: Base, data: Data, size: Size, open: Open) => {
  const { offPolicy, pool, prompts } = data
  const start = tuned(base, data, size)
  const own = Sample.make({ policy: start, prompts }, { completionsPerPrompt: 1, maxNewTokens: open.answerTokens })
  const completions = Mix.make({ pool, own }, { take: { perPrompt: answers } })
  const scored = Judging.make({ completions }, { by: open.judge, rubric })
  const onPolicy = Pair.make({ completions: scored }, { rejected: "random-lower" })
  const preferences = Mix.make({ offPolicy, onPolicy })
  const policy = Dpo.make({ init: start, reference: start, preferences }, { ...dpo, ...sizes[size].dpo, loss })
  return { start, preferences, policy }
}

const measured = (from: Artifact.Of<"Policy", "llama3">, data: Data) =>
  ({ kl: Kl.measured, from, held: development(data), maxNewTokens: 2048 }) as const

const tulu3 = (size: Size) =>
  Recipe.make({
    name: `tulu-3-${size}`,
    title: `Tülu 3 ${size.toUpperCase()}`,
    paper: "arXiv 2411.15124",
    takes: { ...takes, small: ["BaseModel", "llama3"] },
    open,
    published: () => ({ ...published(size), small: llama("8b") }),
    make: ({ base, small, ...data }, open) => {
      const { policy: init, preferences, start } = aligned(base, data, size, open)
      const value = RewardModeling.make({ init: tuned(small, data, "8b"), preferences }, rewardModeling)
      const { gsm8k, ifeval, math } = data
      const prompts = Mix.make(size === "405b" ? { math } : { gsm8k, math, ifeval }, { column: "kind" })
      const policy = Ppo.make({ init, reference: init, reward: penalised, value, prompts }, {
        ...ppo,
        ...sizes[size].ppo
      })
      const how = measured(start, data)
      return { sft: start, dpo: Pipeline.observe(init, how), value, policy: Pipeline.observe(policy, how) }
    }
  })

export const tulu3Of8b = tulu3("8b")
export const tulu3Of70b = tulu3("70b")
export const tulu3Of405b = tulu3("405b")

export const tulu31 = Recipe.make({
  name: "tulu-3.1",
  title: "Tülu 3.1 8B",
  paper: "open-instruct, docs/tulu3.md",
  takes,
  open,
  published: () => published("8b"),
  make: ({ base, ...data }, open) => {
    const { policy: init, start } = aligned(base, data, "8b", open)
    const { gsm8k, ifeval, math } = data
    const prompts = Mix.make({ gsm8k, math, ifeval }, { column: "kind" })
    const policy = Grpo.make({ init, reference: init, reward: byKind, prompts }, grpo)
    const how = measured(start, data)
    return { sft: start, dpo: Pipeline.observe(init, how), policy: Pipeline.observe(policy, how) }
  }
})
