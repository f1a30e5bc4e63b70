/**
 * Over-optimisation on purpose, and where it is stopped. PPO optimises a reward model with β = 0, under a KL cap far too wide to bind.
 * Gold reward is only observed: it rises with the proxy, then falls while the proxy goes on rising. When it has fallen
 * significantly twice in a row, the stage ends and returns the policy with the highest gold.
 *
 *     npx keel run examples/05-over-optimisation.ts
 *     npx keel ledger runs/ID        # proxy and gold against √KL, the laws of Gao et al., the forecast
 *
 * It stopped at step 20 of 100 and went back to step 8 (with `--seed 1`: at step 96, back to step 80). Its last lines on the native
 * backend:
 *
 *     step 0: gold 2.99 ± 0.09, proxy 0.25 on held prompts
 *     step 4: gold 3.50 ± 0.08, proxy 0.94 on held prompts
 *     step 8: gold 3.58 ± 0.07, proxy 1.17 on held prompts
 *     step 12: gold 3.40 ± 0.08, proxy 1.52 on held prompts
 *     step 16: gold 3.27 ± 0.08, proxy 1.85 on held prompts
 *     step 20: gold 2.99 ± 0.08, proxy 2.03 on held prompts
 *     step 20: gold has fallen by 0.59 ± 0.09: it ends with step 8
 *
 *     | sft   | 2.95 ± 0.10 | 0.22 ± 0.09  | 0.00 ± 0.00                         | 26.72  | 100 %    |
 *     | ppo   | 3.46 ± 0.08 | 1.08 ± 0.08  | 1.46 ± 0.11                         | 30.10  | 100 %    |
 *
 *     Gold, ppo − sft: +0.51 ± 0.11 on the same 256 prompts (4.6 standard errors).
 *
 * The same prompts chose the policy and judge it (with new samples), which flatters it a little. Without `stopAtPeak`, another run of
 * 100 steps ended at gold 2.07 ± 0.11 and proxy 3.28. The forecast from the first half of that run is “nothing changes” (off by 0.64):
 * gold fell again in the second half. Gao's law, fitted to the first half, would have been off by 0.32.
 */
import { Compare, Evaluate, Kl, Pipeline, Ppo, RewardModeling, Sft, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

// Fewer demonstrations than in example 01: after all 3,000, gold rose by 0.21 ± 0.12 at most before it fell.
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
