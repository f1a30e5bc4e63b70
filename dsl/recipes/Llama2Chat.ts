/**
 * Llama 2 Chat (Touvron et al. 2023, arXiv 2307.09288, §3): SFT, then rounds of rejection-sampling fine-tuning, then PPO.
 *
 * In each round (RLHF-V1 … V4) the latest policy answers the prompts, labelers compare some answers, a reward model is trained on all
 * comparisons so far, and the *base* model is fine-tuned on the best answers of **all** rounds so far, with the demonstrations; up
 * to V3 only the last round's answers were used, and the models forgot. V5 is PPO from the last of them.
 *
 * Differences: one reward model (the paper has two, helpfulness and safety); the labeler is `gold`; the KL reference of
 * PPO is its initial model. The paper does not report K, the number of completions per prompt, and has no KL target:
 * both are parameters without a default, like every number that depends on the size of the model.
 */
import type * as Artifact from "../Artifact.ts"
import type { Gold } from "../Gold.ts"
import type { Kl } from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as Compare from "../stages/Compare.ts"
import * as Mix from "../stages/Mix.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import * as RejectionSampling from "./RejectionSampling.ts"

/** §3.1: AdamW, cosine to 10 %, weight decay 0.1, batch 64, 2 epochs. */
export const sft = {
  learningRate: 2e-5,
  schedule: "cosine",
  weightDecay: 0.1,
  batchSize: 64,
  epochs: 2
} as const

/** §3.2.2: one epoch, cosine to 10 %, 512 pairs a batch; 5e-6 for 70B and 1e-5 for the rest; warm-up at least 5 steps. */
export const rewardModeling = {
  learningRate: 1e-5,
  schedule: "cosine",
  warmupSteps: 5,
  batchSize: 512,
  epochs: 1
} as const

/** §3.2.3: AdamW (0.9, 0.95, 1e-5), weight decay 0.1, gradients clipped at 1, constant rate, 512 episodes in mini-batches of 64, one pass. */
export const ppo = {
  learningRate: 1e-6,
  schedule: "constant",
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  adamEpsilon: 1e-5,
  weightDecay: 0.1,
  maxGradNorm: 1,
  batchSize: 512,
  numMiniBatches: 8,
  numPpoEpochs: 1,
  /** 0.01 for 7B and 13B, 0.005 for 34B and 70B. */
  beta: 0.01
} as const

/** §3.2.3: the best temperature for 10 to 100 samples was in [1.2, 1.3]; they searched for it again in each round. */
export const temperature = 1.2

/** Parameters of the recipe besides its data. */
export interface Options {
  readonly gold: Gold
  /** Rounds of rejection sampling: 4 in the paper. */
  readonly rounds?: number
  /** K: not reported. */
  readonly completionsPerPrompt: number
  /** Of the candidates: 1.2 when left out. */
  readonly temperature?: number
  readonly maxNewTokens: number
  /** PPO iterations: 200 to 400 in the paper. */
  readonly steps: number
  /** KL of PPO from the model that it starts from: allowance and cap. */
  readonly kl: Kl<"sequence", number>
  /** Changes to the numbers of the paper, e.g. smaller batches for a smaller model. */
  readonly sft?: Partial<Parameters<typeof Sft.make>[1]>
  readonly rewardModeling?: Partial<Parameters<typeof RewardModeling.make>[1]>
  readonly ppo?: Partial<Omit<typeof Ppo.Ppo["~type.make.in"], "allowance">>
}

interface Data {
  readonly demonstrations: Artifact.Of<"Demonstrations">
  readonly prompts: Artifact.Of<"Prompts">
  readonly held: Artifact.Of<"Prompts">
}

interface Chat<F extends string> {
  readonly sft: Artifact.Of<"Policy", F>
  /** The last round of rejection sampling. */
  readonly rejected: Artifact.Of<"Policy", F>
  /** The reward model of PPO. */
  readonly reward: Artifact.Of<"RewardModel", F>
  /** PPO within its cap. */
  readonly policy: Artifact.Of<"Policy", F>
}

/** The policies and the last reward model of the recipe on this base model and these data. */
export const llama2Chat = <const F extends string>(
  { base, demonstrations, held, prompts }: Data & { readonly base: Artifact.Of<"BaseModel", F> },
  options: Options
): Chat<F> => {
  const { completionsPerPrompt, gold, maxNewTokens, rounds = 4 } = options
  const tuned = (data: Artifact.Of<"Demonstrations">) =>
    Sft.make({ base, demonstrations: data }, { ...sft, ...options.sft })
  const first = tuned(demonstrations)
  type Policies = ReadonlyArray<Artifact.Of<"BaseModel" | "Policy", F>>
  const named = <A>(all: Policies, of: (policy: Policies[number]) => A): Readonly<Record<string, A>> =>
    Object.fromEntries(all.map((policy, i) => [`v${i}`, of(policy)]))

  /** A reward model on comparisons of the answers of every policy so far. */
  const rewardOf = (all: Policies) => {
    const preferences = Mix.make(named(all, (policy) => Compare.make({ policy, prompts }, { gold, maxNewTokens })))
    return RewardModeling.make({ init: first, preferences }, { ...rewardModeling, ...options.rewardModeling })
  }

  const versions = Pipeline.rounds(first, rounds, (_, __, earlier) => {
    const reward = rewardOf(earlier)
    const sampling = {
      completionsPerPrompt,
      maxNewTokens,
      temperature: options.temperature ?? temperature,
      rule: Select.perPrompt()
    }
    const best = named(earlier, (policy) => RejectionSampling.make({ policy, prompts, reward }, sampling).selected)
    return tuned(Mix.make({ demonstrations, ...best }))
  })

  const rejected = versions.at(-1)!
  const reward = rewardOf([first, ...versions])
  const rl = Ppo.make({ init: rejected, reference: rejected, reward, value: reward, prompts, held }, {
    ...ppo,
    steps: options.steps,
    maxNewTokens,
    ...options.ppo,
    allowance: options.kl
  })
  return { sft: first, rejected, reward, policy: Pipeline.cap(rl, { kl: options.kl, from: rejected }) }
}
