/**
 * Over-optimisation on purpose, and where it is stopped. PPO optimises a reward model with β = 0, under a KL cap far too wide to bind.
 * Gold reward is only observed: it rises with the proxy, then falls while the proxy goes on rising. When it has fallen
 * significantly twice in a row, the stage ends and returns the policy with the highest gold.
 *
 *     npx keel run examples/05-over-optimisation.ts
 *     npx keel ledger runs/ID        # proxy and gold against √KL, the laws of Gao et al., the forecast
 *
 * It stopped at step 44 of 100 and went back to step 20. Its last lines on the native backend:
 *
 *     step 20: gold 3.55 ± 0.08, proxy 0.98 on held prompts
 *     step 24: gold 3.53 ± 0.07, proxy 1.09 on held prompts
 *     step 36: gold 3.40 ± 0.08, proxy 1.52 on held prompts
 *     step 40: gold 3.05 ± 0.08, proxy 1.65 on held prompts
 *     step 44: gold 2.94 ± 0.08, proxy 1.86 on held prompts
 *     step 44: gold has fallen by 0.61 ± 0.10: it ends with step 20
 *
 *     | sft   | 2.44 ± 0.11 | -0.07 ± 0.08 | 0.00 ± 0.00                         | 34.03  | 97 %     |
 *     | ppo   | 3.45 ± 0.07 | 0.93 ± 0.06  | 2.49 ± 0.17                         | 34.63  | 100 %    |
 *
 *     Gold, ppo − sft: +1.01 ± 0.11 on the same 256 prompts (9.2 standard errors).
 *
 * The same prompts chose the policy and judge it (with new samples), which flatters it a little. Without `stopAtPeak`, another run of
 * 100 steps ended at gold 1.77 ± 0.09 and proxy 3.10. The forecast from the first half is “nothing changes” here (off by 0.34):
 * gold had not turned yet, and Gao's law, fitted to the rise, would have been off by 1.86.
 */
import { Compare, Evaluate, Kl, Pipeline, Ppo, RewardModeling, Sft, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

// Fewer demonstrations than in example 01: after all 3,000, gold never rose above its start.
const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 800 })) }, {
  epochs: 1,
  batchSize: 32,
  learningRate: 3e-3,
  schedule: "cosine"
})

const reward = RewardModeling.make({
  init: base,
  preferences: Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })
}, { epochs: 2, batchSize: 32, learningRate: 6e-3, schedule: "cosine", warmupSteps: 20, maxGradNorm: 0.3 })

const rl = Ppo.make({ init: sft, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(200_000),
  beta: 0,
  steps: 100,
  batchSize: 64,
  numMiniBatches: 2,
  numPpoEpochs: 2,
  learningRate: 5e-4,
  vfCoef: 1,
  missingEosPenalty: 1,
  measureEvery: 4,
  observe: { gold, stopAtPeak: {} },
  maxNewTokens
})

const policy = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(200_000), from: sft })

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, reward, prompts: held }, { base, sft, ppo: policy }, { gold, maxNewTokens })
)
