/**
 * Over-optimisation on purpose, and where it is stopped. PPO optimises a reward model with β = 0, under a KL cap far too wide to bind.
 * Gold reward is only observed: it rises with the proxy, then falls while the proxy goes on rising. When it has fallen
 * significantly twice in a row, the stage ends and returns the policy with the highest gold.
 *
 *     npx keel run examples/05-over-optimisation.ts --seed 1
 *     npx keel ledger runs/ID        # proxy and gold against √KL, the laws of Gao et al., the forecast
 *
 * With `--seed 1` it stopped at step 44 of 100 and went back to step 24; with seed 0, gold (3.58 at most) did not fall significantly in 100
 * steps. Its last lines with `--seed 1` on the native backend:
 *
 *     step 0: gold 2.01 ± 0.13, proxy 1.05 on held prompts
 *     step 8: gold 3.11 ± 0.10, proxy 1.98 on held prompts
 *     step 16: gold 3.04 ± 0.09, proxy 2.36 on held prompts
 *     step 24: gold 3.33 ± 0.08, proxy 2.54 on held prompts
 *     step 32: gold 3.14 ± 0.07, proxy 2.69 on held prompts
 *     step 40: gold 2.86 ± 0.09, proxy 2.70 on held prompts
 *     step 44: gold 2.67 ± 0.08, proxy 2.75 on held prompts
 *     step 44: gold has fallen by 0.66 ± 0.11: it ends with step 24
 *
 *     | sft   | 2.01 ± 0.13  | 0.97 ± 0.09  | 0.00 ± 0.00                         | 27.39  | 98 %     |
 *     | ppo   | 3.31 ± 0.07  | 2.55 ± 0.04  | 5.61 ± 0.29                         | 36.26  | 98 %     |
 *
 *     Gold, ppo − sft: +1.30 ± 0.14 on the same 256 prompts (9.2 standard errors).
 *
 * The same prompts chose the policy and judge it (with new samples), which flatters it a little.
 */
import { Compare, Evaluate, Kl, Pipeline, Ppo, RewardModeling, Sft, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

// Fewer demonstrations than in example 01, which leave more to gain before gold falls.
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
