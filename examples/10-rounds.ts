/**
 * Rounds in the shape of Llama 2 Chat (the recipe: 21), with numbers for a tiny model. In each round the base model is fine-tuned again, on the best answers of all policies so
 * far, and a reward model is trained on all comparisons so far; PPO ends it. A gate holds the result against the SFT model.
 *
 *     npx keel run examples/10-rounds.ts
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the SFT model, length, finished):
 *
 *     | base   | -0.41 ± 0.08 | -0.32 ± 0.04 | 16.00 ± 0.43                      | 11.70  | 100 %    |
 *     | sft    | 2.23 ± 0.09  | 0.98 ± 0.03  | 0.00 ± 0.00                       | 31.69  | 100 %    |
 *     | rounds | 2.87 ± 0.08  | 1.24 ± 0.03  | 0.83 ± 0.07                       | 33.70  | 100 %    |
 *     | policy | 3.10 ± 0.08  | 1.47 ± 0.02  | 2.07 ± 0.12                       | 35.70  | 100 %    |
 *
 *     Gold, policy − sft: +0.87 ± 0.11 on the same 256 prompts (8.0 standard errors).
 */
import {
  type Artifact,
  Compare,
  Evaluate,
  Gate,
  Kl,
  Mix,
  Pipeline,
  Ppo,
  RejectionSampling,
  RewardModeling,
  Select,
  Sft
} from "../dsl/index.ts"
import { base, demonstrations, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

type Policies = ReadonlyArray<Artifact.Of<"BaseModel" | "Policy", "tales">>

const tuned = (data: Artifact.Of<"Demonstrations">): Artifact.Of<"Policy", "tales"> =>
  Sft.make({ base, demonstrations: data }, {
    learningRate: 3e-3,
    schedule: "cosine",
    weightDecay: 0.1,
    batchSize: 32,
    epochs: 2
  })
const sft = tuned(demonstrations)

const named = <A>(all: Policies, of: (policy: Policies[number]) => A): Readonly<Record<string, A>> =>
  Object.fromEntries(all.map((policy, i) => [`v${i}`, of(policy)]))

/** A reward model on comparisons of the answers of every policy so far. */
const rewardOf = (all: Policies) => {
  const preferences = Mix.make(named(all, (policy) => Compare.make({ policy, prompts }, { gold, maxNewTokens })))
  return RewardModeling.make({ init: sft, preferences }, {
    learningRate: 6e-3,
    schedule: "cosine",
    warmupSteps: 20,
    batchSize: 32,
    epochs: 2,
    maxGradNorm: 0.3
  })
}

/** In each round, the base model on the best answers of every policy so far. */
const versions = Pipeline.rounds(sft, 2, (_, __, earlier) => {
  const reward = rewardOf(earlier)
  const sampling = { completionsPerPrompt: 8, temperature: 0.8, maxNewTokens, rule: Select.perPrompt() }
  const best = named(earlier, (policy) => RejectionSampling.make({ policy, prompts, reward }, sampling).selected)
  return tuned(Mix.make({ demonstrations, ...best }))
})

const rounds = versions.at(-1)!
const reward = rewardOf([sft, ...versions])
const rl = Ppo.make({ init: rounds, reference: rounds, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(6_000),
  beta: 0.15,
  steps: 20,
  batchSize: 64,
  numMiniBatches: 8,
  numPpoEpochs: 1,
  learningRate: 1e-3,
  schedule: "constant",
  adamEpsilon: 1e-5,
  weightDecay: 0.1,
  vfCoef: 1,
  missingEosPenalty: 1,
  maxNewTokens
})
const last = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(6_000), from: rounds })

const policy = Gate.make({ candidate: last, previous: sft, held, initial: sft }, {
  gold,
  tolerance: { gold: 0.1, finished: 0.05 },
  otherwise: "roll-back",
  maxNewTokens
})

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { base, sft, rounds, policy },
  { gold, maxNewTokens }
))
