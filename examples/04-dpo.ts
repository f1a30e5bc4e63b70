/**
 * Direct alignment, without a reward model and without sampling in training: DPO and its length-normalised form learn from pairs,
 * KTO from answers that are labelled good or bad. All three learn from the same comparisons, each within a KL cap.
 *
 *     npx keel run examples/04-dpo.ts        # about 3 minutes; ends with
 *
 *     | sft     | 2.35 ± 0.09 | 0.00 ± 0.00                        | 31.25  | 100 %    |
 *     | dpo     | 3.23 ± 0.07 | 1.04 ± 0.10                        | 32.77  | 98 %     |
 *     | dpoNorm | 3.19 ± 0.07 | 0.67 ± 0.08                        | 32.48  | 99 %     |
 *     | kto     | 3.25 ± 0.07 | 1.06 ± 0.09                        | 31.28  | 100 %    |
 *
 * Your own labels come from a file: `Source.unpairedPreferences(Source.file("answers.jsonl"))`, rows with `prompt`, `completion`
 * and `label`.
 */
import { Dpo, Evaluate, Kl, Kto, Pipeline, PreferenceLoss } from "../dsl/index.ts"
import { gold, held, maxNewTokens, preferences, sft } from "./01-instruct-gpt.ts"

const wires = { init: sft, reference: sft, preferences }
const training = { learningRate: 3e-4, schedule: "linear", warmupSteps: 8 } as const
const capped = Pipeline.observe({
  kl: Kl.mnatsPerSequence(12_000),
  from: sft,
  held,
  maxNewTokens,
  measure: { every: 40 }
})

const dpo = (loss: PreferenceLoss.Loss<true>) => capped(Dpo.make(wires, { ...training, loss, batchSize: 64 }))
const kto = capped(Kto.make(wires, { ...training, batchSize: 128 }))

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, prompts: held },
  { sft, dpo: dpo(PreferenceLoss.dpo()), dpoNorm: dpo(PreferenceLoss.dpoNorm()), kto },
  { gold, maxNewTokens }
))
