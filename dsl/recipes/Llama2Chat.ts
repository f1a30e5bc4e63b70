/**
 * Llama 2 Chat, 70B and 7B (Touvron et al. 2023, arXiv 2307.09288, §3): SFT, then five versions of RLHF.
 *
 * For each version people compare answers of the latest policy, and two reward models, of helpfulness and of safety, are trained anew from the
 * latest policy on all comparisons so far. V1 to V4 are fine-tunings of the *base* model on the 70B's best answers: up to V3 on those of
 * the latest policy alone, and V4 on those of all policies. V5 is PPO from V4. The 7B is fine-tuned on the same answers, and then by PPO.
 *
 * Differences: the paper does not say which of its 14 weeks of comparisons precede which version, nor which of them are of safety: see
 * `comparisons`. Its π₀, the reference of the KL penalty, is read as the model that PPO starts from. Ghost attention, and the auxiliary loss
 * of the safety model, are left out.
 */
import type * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Keep from "../Keep.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyGradient from "../PolicyGradient.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Judge from "../stages/Judge.ts"
import * as Mix from "../stages/Mix.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as Reward from "../stages/Reward.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import * as RejectionSampling from "./RejectionSampling.ts"

/** §3.1: 2 epochs, batch 64, 2e-5 falling to 10 % by a cosine, weight decay 0.1, 4,096 tokens. */
export const sft = {
  epochs: 2,
  batchSize: 64,
  learningRate: 2e-5,
  schedule: "cosine",
  weightDecay: 0.1,
  maxLength: 4096,
  truncation: "keep-start"
} as const

/** §3.2.2, of the 70B: one epoch, batch 512, 5e-6 (1e-5 for the rest) falling to 10 % by a cosine. */
export const rewardModeling = { epochs: 1, batchSize: 512, learningRate: 5e-6, schedule: "cosine" } as const

/** §3.2.2: 3 % of the steps are warm-up, and 5 at least. */
export const warmUp = { ratio: 0.03, atLeast: 5 } as const

/** §3.2.3: the best temperature for 10 to 100 samples was 1.2 to 1.3; it was searched for again in each round. */
export const temperature = 1.2

/** §3.2.3: at most 400 iterations of 512 episodes, mini-batches of 64, one pass, a constant 1e-6. */
export const ppo = {
  ...PolicyGradient.ppo,
  steps: 400,
  batchSize: 512,
  numMiniBatches: 8,
  numPpoEpochs: 1,
  learningRate: 1e-6,
  schedule: "constant",
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  adamEpsilon: 1e-5,
  weightDecay: 0.1,
  maxGradNorm: 1
} as const

/** §3.2.3: β of the KL penalty; 13B as 7B, 34B as 70B. */
export const beta = { "7B": 0.01, "70B": 0.005 } as const

/** §3.2.3: the score of safety below which it is the reward, whatever the prompt. */
export const unsafe = 0.15

/** Table 26: comparisons of the 14 weeks, 1,418,091 together. */
export const weekly = "5561 17072 30146 36206 49375 57746 84388 95235 127235 136729 136868 181293 210881 249356"
  .split(" ").map(Number)

const versions = [1, 2, 3, 4, 5] as const
type Topic = "helpful" | "safety"
type Verdicts = `${Topic}${typeof versions[number]}`

/** New comparisons before each version: three weeks each and two before the last, half of them on either topic. */
export const comparisons = versions.map((v) => {
  const rows = weekly.slice(3 * v - 3, 3 * v).reduce((sum, n) => sum + n, 0)
  return { helpful: Math.floor(rows / 2), safety: Math.ceil(rows / 2) }
})

/** §3.2.2: half of the data of helpfulness is of its own; safety has 10 % of the other kind. */
export const shares = {
  helpful: { helpful: 0.5, safety: 0.25, open: 0.25 },
  safety: { safety: 0.6, openSafety: 0.3, helpful: 0.05, open: 0.05 }
} as const

const each = <A>(of: (topic: Topic, version: number) => A) =>
  Object.fromEntries(
    versions.flatMap((v) => [[`helpful${v}`, of("helpful", v)], [`safety${v}`, of("safety", v)]])
  ) as Record<Verdicts, A>

type Model = Artifact.Of<"BaseModel" | "Policy", "llama2">
type Policies = ReadonlyArray<Model>

const named = <A>(all: ReadonlyArray<A>): Readonly<Record<string, A>> =>
  Object.fromEntries(all.map((one, i) => [`v${i}`, one]))

export const llama2Chat = Recipe.make({
  name: "llama-2-chat",
  title: "Llama 2 Chat, 70B and 7B",
  paper: "arXiv 2307.09288",
  takes: {
    large: ["BaseModel", "llama2"],
    small: ["BaseModel", "llama2"],
    demonstrations: "Demonstrations",
    prompts: "Prompts",
    held: "Prompts",
    helpfulPrompts: "Prompts",
    safetyPrompts: "Prompts",
    ...each(() => "Preferences" as const),
    open: "Preferences",
    openSafety: "Preferences"
  },
  open: {
    completionsPerPrompt: Recipe.notReported(16, "K of rejection sampling: figures go up to 100"),
    maxNewTokens: Recipe.notReported(1024, "context 4,096 for prompt and response together"),
    evaluateEvery: Recipe.notReported(50, "iterations of PPO between evaluations for early stopping")
  },
  published: () => {
    // Table 6: 798.5 tokens of an example, 234.1 of them of the answer.
    const tokens = { prompt: 564, completion: 234 }
    const llama2 = { vocab: 32_000, context: 4096 }
    const prompts = (name: string, rows: number) =>
      Source.prompts(Source.described(name, { rows, tokens: { prompt: tokens.prompt } }))
    return {
      large: Checkpoint.described("llama2", {
        name: "Llama 2 70B",
        hub: "meta-llama/Llama-2-70b-hf",
        layers: 80,
        dim: 8192,
        heads: 64,
        kvHeads: 8,
        ffn: 28_672,
        ...llama2
      }),
      small: Checkpoint.described("llama2", {
        name: "Llama 2 7B",
        hub: "meta-llama/Llama-2-7b-hf",
        layers: 32,
        dim: 4096,
        heads: 32,
        ffn: 11_008,
        ...llama2
      }),
      demonstrations: Source.demonstrations(Source.described("annotated dialogues", { rows: 27_540, tokens })),
      prompts: prompts("prompts of rejection sampling", 10_000),
      held: prompts("held-out prompts", 4000),
      helpfulPrompts: prompts("prompts of annotators, helpfulness", 50_646),
      safetyPrompts: prompts("prompts of annotators, safety", 50_646),
      ...each((topic, v) =>
        Source.preferences(
          Source.described(`comparisons before V${v}, ${topic}`, { rows: comparisons[v - 1]![topic], tokens })
        )
      ),
      open: Source.preferences(Source.described("open comparisons, helpfulness", { rows: 1_457_269, tokens })),
      openSafety: Source.preferences(Source.described("open comparisons, Anthropic Harmless", { rows: 43_966, tokens }))
    }
  },
  make: (given, { completionsPerPrompt, evaluateEvery, maxNewTokens }) => {
    const { demonstrations, held, large, open, openSafety, prompts, small } = given
    const tuned = (base: Model, data: Artifact.Of<"Demonstrations">) => Sft.make({ base, demonstrations: data }, sft)
    const first = tuned(large, demonstrations)

    /** Two answers of each policy so far to each prompt, which people compared; a verdict has its margin. */
    const compared = (topic: Topic, policies: Policies) =>
      Mix.make(named(policies.map((policy, i): Artifact.Of<"Preferences"> =>
        Judge.make({
          completions: Sample.make({ policy, prompts: given[`${topic}Prompts`] }, {
            completionsPerPrompt: 2,
            maxNewTokens
          })
        }, { by: Judge.people("annotators", { verdicts: given[`${topic}${i + 1}` as Verdicts] }) })
      )))

    /** Reward models of helpfulness and of safety; their reward is safety where the prompt or the answer asks for it. */
    const rewardsOf = (policies: Policies) => {
      const [init, helpful, safety] = [policies.at(-1)!, compared("helpful", policies), compared("safety", policies)]
      const trained = (preferences: Artifact.Of<"Preferences">, rows: number) =>
        RewardModeling.make({ init, preferences }, {
          ...rewardModeling,
          warmupSteps: Math.max(warmUp.atLeast, Math.ceil(warmUp.ratio * rows / rewardModeling.batchSize))
        })
      const rows = (topic: Topic) => comparisons.slice(0, policies.length).reduce((sum, of) => sum + of[topic], 0)
      const count = { helpful: 2 * rows("helpful"), safety: Math.round(rows("safety") / shares.safety.safety) }
      const helpfulness = trained(
        Mix.make({ helpful, safety, open }, { take: { weights: shares.helpful, count: count.helpful } }),
        count.helpful
      )
      const safe = trained(
        Mix.make({ safety, openSafety, helpful, open }, { take: { weights: shares.safety, count: count.safety } }),
        count.safety
      )
      const probable = Reward.sigmoid(safe)
      const gated = Reward.gate({
        when: Reward.either(Reward.kindIs("safety"), Reward.below(probable, unsafe)),
        then: probable,
        otherwise: Reward.sigmoid(helpfulness)
      })
      return { helpfulness, safety: safe, gated }
    }

    const best = (policy: Model, policies: Policies): Artifact.Of<"Demonstrations"> =>
      RejectionSampling.make({ policy, prompts, reward: rewardsOf(policies).gated }, {
        completionsPerPrompt,
        temperature,
        maxNewTokens,
        rule: Select.perPrompt()
      }).selected
    /** The best answers of the latest policy; from V4 on, of all of them. */
    const answers = (policies: Policies) => {
      const all = named(policies.map((policy, i) => best(policy, policies.slice(0, i + 1))))
      return Mix.make({
        demonstrations,
        ...Object.fromEntries(Object.entries(all).slice(policies.length < 4 ? -1 : 0))
      })
    }
    const versions = Pipeline.rounds(first, 4, (_, __, earlier) => tuned(large, answers(earlier)))
    const [v1, v2, v3, v4] = versions as unknown as readonly [Model, Model, Model, Model]
    const small4 = tuned(small, answers([first, v1, v2, v3]))

    const rewards = rewardsOf([first, v1, v2, v3, v4])
    const reward = Reward.whiten(Reward.logit(rewards.gated))
    const optimised = (init: Model, size: keyof typeof beta): Artifact.Of<"Policy", "llama2"> =>
      Pipeline.observe(
        Ppo.make({ init, reference: init, reward, value: rewards.helpfulness, prompts, held }, {
          ...ppo,
          beta: beta[size],
          keep: Keep.best({ by: "proxy", every: evaluateEvery }),
          maxNewTokens
        }),
        { kl: Kl.measured, from: init }
      )
    return {
      sft: first,
      v1,
      v2,
      v3,
      v4,
      helpfulness: rewards.helpfulness,
      safety: rewards.safety,
      reward,
      policy: optimised(v4, "70B"),
      small: optimised(small4, "7B")
    }
  }
})
