/**
 * DeepSeek-R1-Zero, DeepSeek-R1 and two of the six distilled models (Guo et al. 2025, arXiv 2501.12948v2, Nature 645, p. 633).
 *
 * V3-Base is the weight parent three times: of Zero, of Dev1 (SFT on Zero's rewritten chains), and again of Dev3, which learns what Dev2 (RL from
 * Dev1) answered. R1 is Dev3 after RL with preferences in its last 400 steps. Students learn the texts of Dev3, whatever their tokenizer.
 *
 * Units: a step of the paper is an update on 512 completions, and 16 of them share a rollout of 8,192 (512 prompts of 16 completions). A step
 * here is a rollout, so 16 of theirs.
 *
 * Differences: chains are verified after their rewriting, not before and after, and people do not check them. General prompts are among the
 * prompts of the last stage from its start; only the reward models join after 1,300 steps. The target language of every prompt is English; the
 * paper's prompts are English and Chinese. Answers that rules cannot check were judged by DeepSeek-V3. Latent attention is planned as two key and
 * value heads of 128, which keep about as many numbers a token.
 */
import * as Advantage from "../Advantage.ts"
import type * as Artifact from "../Artifact.ts"
import * as Ask from "../Ask.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyLoss from "../PolicyLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Reference from "../Reference.ts"
import * as RewardLoss from "../RewardLoss.ts"
import * as Source from "../Source.ts"
import * as Filter from "../stages/Filter.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Mix from "../stages/Mix.ts"
import * as Reward from "../stages/Reward.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"
import * as Score from "../stages/Score.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import * as Verifier from "../Verifier.ts"

/** §2.1: updates, the paper's steps, of a rollout. */
export const updates = 16

/** §2.1: rate 3e-6, KL 0.001 in the loss, the reference replaced every 400 of their steps, one pass over 8,192 completions. */
export const grpo = {
  beta: 0.001,
  batchSize: 512,
  groupSize: 16,
  numMiniBatches: updates,
  numIterations: 1,
  learningRate: 3e-6,
  referencePolicy: new Reference.ResetEvery({ steps: 400 / updates })
} as const

/** §2.1: 10,400 of their steps; 32,768 tokens, and 65,536 after 8,200. */
export const zero = {
  temperature: 1,
  steps: 10_400 / updates,
  maxNewTokens: 65_536,
  fromStep: { 0: { maxNewTokens: 32_768 }, [Math.floor(8_200 / updates)]: { maxNewTokens: 65_536 } }
} as const

/** §3.2.1, the first RL stage: clip 10. */
export const reasoning = { temperature: 1, maxNewTokens: 32_768 } as const
export const clip = 10

/** §3.2.2, the second RL stage: temperature 0.7, 1,700 of their steps, preferences in the last 400 alone. */
export const mixed = { temperature: 0.7, maxNewTokens: 32_768, steps: Math.floor(1_700 / updates) } as const
export const preferencesFrom = mixed.steps - 400 / updates

/** App. B.4.2: two to three epochs, batch 128, a cosine from 5e-5 to 5e-6, 32,768 tokens. */
export const sft = {
  batchSize: 128,
  learningRate: 5e-5,
  schedule: "cosine",
  minLearningRate: 5e-6,
  maxLength: 32_768,
  truncation: "keep-start"
} as const

/** §3.1: one epoch of pairs (helpful) or of labelled answers (safety), batch 256, 6e-6. */
export const rewardModeling = { epochs: 1, batchSize: 256, learningRate: 6e-6 } as const

/** App. B.3.3, Table 5: what Dev3 and the students learn, 804,745 rows. */
export const rows = { reasoning: 626_933, general: 177_812 } as const

/** App. B.4.3, Table 7: the peak of each student; batch 64, and a cosine to a tenth of it. */
export const students = {
  qwen: {
    "1.5b": { learningRate: 1e-4, layers: 28, dim: 1536, heads: 12, kvHeads: 2, ffn: 8960, vocab: 151_936 },
    "7b": { learningRate: 8e-5, layers: 28, dim: 3584, heads: 28, kvHeads: 4, ffn: 18_944, vocab: 152_064 },
    "14b": { learningRate: 7e-5, layers: 48, dim: 5120, heads: 40, kvHeads: 8, ffn: 13_824, vocab: 152_064 },
    "32b": { learningRate: 6e-5, layers: 64, dim: 5120, heads: 40, kvHeads: 8, ffn: 27_648, vocab: 152_064 }
  },
  llama: {
    "8b": { learningRate: 5e-5, layers: 32, dim: 4096, heads: 32, kvHeads: 8, ffn: 14_336, vocab: 128_256 },
    "70b": { learningRate: 2e-5, layers: 80, dim: 8192, heads: 64, kvHeads: 8, ffn: 28_672, vocab: 128_256 }
  }
} as const

/** App. B.3.2: the prompt by which DeepSeek-V3 writes a chain anew, shortened. */
export const rewriting = "{{prompt}}\n{{completion}}\nWrite this clearly, in the language of the question:"

/** §2.2: 1 for a right answer, and 1 for the format, of equal weight. */
const format = Reward.verify(Verifier.format(["<think>", "</think>"]))
const right = { math: Reward.verify(Verifier.mathematics()), code: Reward.verify(Verifier.code()) }
const option = Reward.verify(Verifier.mathematics())
const rules = { ...right, stem: option, logic: option }
const verified = Reward.sum({ accuracy: Reward.byKind(rules), format })

/** §3.2.1: the share of words in the target language is added. */
const language = Reward.verify(Verifier.languageConsistency("en"))
const consistent = Reward.sum({ verified, language })

type Size<F extends keyof typeof students> = keyof typeof students[F]

/** V3 (arXiv 2412.19437, §4.2): 671B, 37B active. */
const v3 = (name: string) =>
  Checkpoint.described("deepseek-v3", {
    name,
    hub: `deepseek-ai/${name}`,
    layers: 61,
    dim: 7168,
    heads: 128,
    kvHeads: 2,
    headDim: 128,
    ffn: 18_432,
    experts: { count: 256, active: 8, ffn: 2048, shared: 1, dense: 3 },
    vocab: 129_280,
    context: 163_840
  })

const prompts = (name: string, rows: number, prompt: number) =>
  Source.prompts(Source.described(name, { rows, tokens: { prompt } }))

const recipe = (qwen: Size<"qwen">, llama: Size<"llama">) =>
  Recipe.make({
    name: "deepseek-r1",
    title: `DeepSeek-R1-Zero, R1, and its students Qwen ${qwen} and Llama ${llama}`,
    paper: "arXiv 2501.12948v2",
    takes: {
      base: ["BaseModel", "deepseek-v3"],
      chat: ["BaseModel", "deepseek-v3"],
      qwen: ["BaseModel", "qwen2.5"],
      llama: ["BaseModel", "llama3"],
      math: "Prompts",
      code: "Prompts",
      stem: "Prompts",
      logic: "Prompts",
      general: "Prompts",
      harmless: "Prompts",
      coldStart: "Prompts",
      written: "Demonstrations",
      helpfulPairs: "Preferences",
      safetyLabels: "UnpairedPreferences",
      held: "Prompts"
    },
    open: {
      clipOfZero: Recipe.notReported(0.2, "of R1-Zero; 10 is that of the first RL stage of R1"),
      coldEpochs: Recipe.notReported(2, "of the cold start, on thousands of chains"),
      epochs: Recipe.notReported(2, "two to three"),
      reasoningSteps: Recipe.notReported(200, "rollouts of the first RL stage of R1"),
      samples: Recipe.notReported(8, "answers of Dev2 that are sampled for each prompt"),
      ddof: Recipe.notReported<0 | 1>(0, "of the standard deviation of a group"),
      epsilon: Recipe.notReported(1e-8, "added to the standard deviation of a group")
    },
    published: () => ({
      base: v3("DeepSeek-V3-Base"),
      chat: v3("DeepSeek-V3"),
      qwen: student("qwen2.5", `Qwen2.5 ${qwen}`, students.qwen[qwen]),
      llama: student("llama3", `Llama 3 ${llama}`, students.llama[llama]),
      // App. B.3.1, Table 4.
      math: prompts("mathematics", 26_000, 122),
      code: prompts("competitions and bugs to mend", 25_000, 500),
      stem: prompts("multiple choice of the sciences", 22_000, 161),
      logic: prompts("logic and puzzles", 15_000, 420),
      general: prompts("helpfulness", 66_000, 200),
      harmless: prompts("harmlessness", 12_000, 200),
      coldStart: prompts("prompts of the cold start", 5000, 200),
      written: Source.demonstrations(
        Source.described("general answers, in part of V3's SFT data", {
          rows: rows.general,
          tokens: { prompt: 200, completion: 1500 }
        })
      ),
      helpfulPairs: Source.preferences(
        Source.described("helpful pairs", { rows: 66_000, tokens: { prompt: 200, completion: 1500 } })
      ),
      safetyLabels: Source.unpairedPreferences(
        Source.described("safe and unsafe answers", { rows: 106_000, tokens: { prompt: 200, completion: 1500 } })
      ),
      held: prompts("AIME 2024", 30, 150)
    }),
    make: ({ base, chat, helpfulPairs, safetyLabels, written, held, ...given }, open) => {
      const { code, coldStart, general, harmless, logic, math, stem } = given
      const measured = {
        kl: Kl.measured,
        held: Mix.make({ math: held }, { column: "kind" }),
        maxNewTokens: reasoning.maxNewTokens
      } as const
      const how = (epsilon: number) => ({
        ...grpo,
        advantage: new Advantage.GroupStd({ ddof: open.ddof, epsilon: open.epsilon }),
        loss: new PolicyLoss.PolicyLoss({
          objective: new PolicyLoss.Ratio({ level: "token", clip: PolicyLoss.symmetric(epsilon) }),
          aggregation: new PolicyLoss.SequenceMean(),
          kl: new PolicyLoss.KlInLoss({ estimator: "k3" })
        })
      })
      const asked = Mix.make({ math, code, stem, logic }, { column: "kind" })

      const r1Zero = Pipeline.observe(
        Grpo.make({ init: base, reference: base, reward: verified, prompts: asked }, {
          ...how(open.clipOfZero),
          ...zero
        }),
        { ...measured, from: base }
      )

      const chains = Sample.make({ policy: r1Zero, prompts: Mix.make({ math: coldStart }, { column: "kind" }) }, {
        completionsPerPrompt: 4,
        temperature: 1,
        maxNewTokens: reasoning.maxNewTokens
      })
      const rewritten = Sample.make({ policy: chat, prompts: Filter.make({ of: chains }, { ended: true }) }, {
        completionsPerPrompt: 1,
        maxNewTokens: reasoning.maxNewTokens,
        ask: Ask.template(rewriting)
      })
      const cold = accepted(rewritten, right.math, 1)
      const dev1 = Sft.make({ base, demonstrations: cold }, { ...sft, epochs: open.coldEpochs })

      const dev2 = Pipeline.observe(
        Grpo.make({ init: dev1, reference: dev1, reward: consistent, prompts: asked }, {
          ...how(clip),
          ...reasoning,
          steps: open.reasoningSteps
        }),
        { ...measured, from: dev1 }
      )

      const answers = Sample.make({ policy: dev2, prompts: asked }, {
        completionsPerPrompt: open.samples,
        maxNewTokens: reasoning.maxNewTokens
      })
      const data = Mix.make({ reasoning: accepted(answers, verified, 2), general: written }, { take: { counts: rows } })
      const dev3 = Sft.make({ base, demonstrations: data }, { ...sft, epochs: open.epochs })

      const helpful = RewardModeling.make({ init: dev3, preferences: helpfulPairs }, {
        ...rewardModeling,
        maxLength: 8192
      })
      const safe = RewardModeling.make({ init: dev3, preferences: safetyLabels }, {
        ...rewardModeling,
        loss: RewardLoss.outcome
      })
      const kinds = {
        ...rules,
        general: Reward.from(preferencesFrom, Reward.of(helpful, { reads: { after: "</think>" } })),
        harmless: Reward.from(preferencesFrom, safe)
      }
      const r1 = Pipeline.observe(
        Grpo.make({
          init: dev3,
          reference: dev3,
          reward: Reward.sum({ own: Reward.byKind(kinds), format, language }),
          prompts: Mix.make({ math, code, stem, logic, general, harmless }, { column: "kind" })
        }, { ...how(clip), ...mixed }),
        { ...measured, from: dev3 }
      )

      const taught = (learningRate: number) =>
        ({
          ...sft,
          epochs: open.epochs,
          batchSize: 64,
          learningRate,
          minLearningRate: learningRate / 10
        }) as const
      return {
        zero: r1Zero,
        dev1,
        dev2,
        dev3,
        helpful,
        safe,
        qwen: Sft.make({ base: given.qwen, demonstrations: data }, taught(students.qwen[qwen].learningRate)),
        llama: Sft.make({ base: given.llama, demonstrations: data }, taught(students.llama[llama].learningRate)),
        r1
      }
    }
  })

/** Answers with a score of at least so much. */
const accepted = (completions: Artifact.Of<"Completions">, reward: Artifact.Of<"Reward", never>, atLeast: number) =>
  Select.make({ completions: Score.byReward({ completions, reward }) }, { rule: Select.accept(atLeast) })

const student = <F extends string>(
  family: F,
  name: string,
  of: typeof students.qwen[Size<"qwen">] | typeof students.llama[Size<"llama">]
) => {
  const { learningRate: _, ...shape } = of
  return Checkpoint.described(family, { name, context: 131_072, ...shape })
}

export const deepSeekR1 = recipe("7b", "8b")
