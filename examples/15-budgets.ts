/**
 * Budgets of every kind, for each stage and for all stages together. Amounts are whole numbers with their unit in the type:
 * `memory: Budget.hours(2)` does not compile. Money needs a price table:
 *
 *     echo '{ "currency": "USD", "devices": { "cpu": 0.10 } }' > prices.json
 *     npx keel plan examples/15-budgets.ts --prices prices.json
 *     npx keel run examples/15-budgets.ts --prices prices.json
 *
 * Ends with planned / spent resources (seed 0, native backend, two cores; time and money depend on the machine): tokens generated, tokens
 * trained, FLOPs, peak memory, time, money, prompts, disk.
 *
 *     | total | 130,816 / 68,593 | 1,499,887 / 1,478,063 | 1.18e+12 / 1.12e+12 | 126.8 MiB / 110.7 MiB | – / 43.0 s | – / 0.001196 USD | …
 *
 * With `total: { trained: 1_400_000 }` it ends after SFT: SFT and the base model together use 1,452,054.
 */
import { Budget, Compare, Dpo, Evaluate, Kl, Pipeline, PreferenceLoss, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, sft } from "./01-instruct-gpt.ts"

const prompts = Source.prompts(Source.tales({ split: "train", count: 400 }))
const preferences = Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 2, maxNewTokens })
const dpo = Dpo.make({ init: sft, reference: sft, preferences, held }, {
  loss: PreferenceLoss.dpo({ beta: 0.1 }),
  allowance: Kl.mnatsPerSequence(15_000),
  batchSize: 32,
  learningRate: 3e-4,
  maxNewTokens
})

// These limits hold between `from` and the policy, for the comparisons and DPO: each of them, and both in total.
const policy = Pipeline.cap(dpo, {
  kl: Kl.mnatsPerSequence(20_000),
  from: sft,
  memory: Budget.MiB(128),
  flops: Budget.gigaflops(120),
  prompts: 700,
  total: { generated: 100_000, disk: Budget.MiB(4) }
})

const report = Evaluate.make({ initial: sft, prompts: held }, { base, sft, dpo: policy }, { gold, maxNewTokens })

// These limits hold for the whole pipeline, from nothing to the report.
export default Pipeline.cap(report, {
  seconds: Budget.minutes(10),
  total: { trained: 2_000_000, money: Budget.cents(1) }
})
