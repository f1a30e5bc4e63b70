/**
 * Rounds: Llama 2 Chat's shape on a tiny model. In each round the base model is fine-tuned again, on the best answers of all policies so
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
