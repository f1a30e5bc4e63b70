/**
 * Rounds: Llama 2 Chat's shape on a tiny model. In each round the base model is fine-tuned again, on the best answers of all policies so
 * far, and a reward model is trained on all comparisons so far; PPO ends it. A gate holds the result against the SFT model.
 *
 *     npx keel run examples/10-rounds.ts
 *
 * Ends with (seed 0, native backend; gold reward, proxy reward, KL from the SFT model, length, finished):
 *
 *     | base   | 0.87 ± 0.10 | -0.60 ± 0.06 | 15.74 ± 0.35 | 12.52 | 100 % |
 *     | sft    | 2.42 ± 0.09 | 0.92 ± 0.04  | 0.00 ± 0.00  | 31.26 | 99 %  |
 *     | rounds | 3.22 ± 0.08 | 1.27 ± 0.02  | 1.08 ± 0.10  | 35.93 | 99 %  |
 *     | policy | 3.17 ± 0.08 | 1.42 ± 0.02  | 1.96 ± 0.10  | 37.66 | 100 % |
 *
 *     Gold, policy − sft: +0.75 ± 0.10 on the same 256 prompts (7.6 standard errors).
 */
import { Evaluate, Gate, Kl, Llama2Chat, Pipeline } from "../dsl/index.ts"
import { base, demonstrations, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

/** The paper's numbers but for rates, batches and the temperature, which suit a model of 0.1 M parameters. */
const chat = Llama2Chat.llama2Chat({ base, demonstrations, prompts, held }, {
  gold,
  rounds: 2,
  completionsPerPrompt: 8,
  temperature: 0.8,
  maxNewTokens,
  steps: 20,
  kl: Kl.mnatsPerSequence(6_000),
  sft: { learningRate: 3e-3, batchSize: 32 },
  rewardModeling: { learningRate: 6e-3, batchSize: 32, epochs: 2, warmupSteps: 20, maxGradNorm: 0.3 },
  ppo: { learningRate: 1e-3, batchSize: 64, beta: 0.15, vfCoef: 1, missingEosPenalty: 1 }
})

const policy = Gate.make({ candidate: chat.policy, previous: chat.sft, held, initial: chat.sft }, {
  gold,
  tolerance: { gold: 0.1, finished: 0.05 },
  otherwise: "roll-back",
  maxNewTokens
})

export default Pipeline.runnable(Evaluate.make(
  { initial: chat.sft, reward: chat.reward, prompts: held },
  { base, sft: chat.sft, rounds: chat.rejected, policy },
  { gold, maxNewTokens }
))
