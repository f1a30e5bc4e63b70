/**
 * Budgets of every kind: what one stage may take, and what all of them may take together. Amounts are whole numbers with their unit in
 * the type: `memory: Budget.hours(2)` does not compile. Money needs to know what an hour costs:
 *
 *     echo '{ "currency": "USD", "devices": { "cpu": 0.10 } }' > prices.json
 *     npx keel plan examples/15-budgets.ts --prices prices.json
 *     npx keel run examples/15-budgets.ts --prices prices.json
 *
 * Ends with what was planned and what was spent (seed 0, native backend, two cores; time and money are the machine's):
 *
 *     | total | 98,560 / 53,280 | 458,213 / 436,586 | 3.96e+11 / 3.52e+11 | 118.2 MiB / 102.4 MiB | – / 7.1 s | – / 0.000201 USD | 1,150 | 1.2 MiB / 1.4 MiB |
 *
 * With `total: { trained: 1_400_000 }` it ends after SFT, which with the base model has used 411,397.
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

// Between `from` and the policy lie the comparisons and DPO: what each of them may take, and both.
const policy = Pipeline.cap(dpo, {
  kl: Kl.mnatsPerSequence(20_000),
  from: sft,
  memory: Budget.MiB(128),
  flops: Budget.gigaflops(100),
  prompts: 700,
  total: { generated: 100_000, disk: Budget.MiB(4) }
})

const report = Evaluate.make({ initial: sft, prompts: held }, { base, sft, dpo: policy }, { gold, maxNewTokens })

// And all there is, from nothing to the report.
export default Pipeline.cap(report, {
  seconds: Budget.minutes(10),
  total: { trained: 2_000_000, money: Budget.cents(1) }
})
