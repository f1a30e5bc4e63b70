/**
 * A policy learns from its own answers, scored by a reward model, on curated prompts. Rejection sampling fine-tunes on the best of
 * eight answers to each prompt; its control, on a random answer of the same eight, shows the share of the reward model in the gain.
 * Pairs of the best and a random lower answer (Tülu 3's rule), from two policies, serve DPO.
 *
 *     npx keel run examples/09-rejection-sampling.ts
 *
 * Ends with (seed 0, native backend): the best of eight raise gold a little; the pairs cost gold (dpo − sft -0.37 ± 0.12), 5 nats away.
 *
 *     | base     | -0.41 ± 0.08 | -0.95 ± 0.07 | 15.95 ± 0.44                       | 11.70  | 100 %    |
 *     | sft      | 2.35 ± 0.09  | 1.09 ± 0.04  | 0.00 ± 0.00                        | 31.25  | 100 %    |
 *     | control  | 2.36 ± 0.08  | 1.14 ± 0.03  | 0.13 ± 0.03                        | 31.18  | 100 %    |
 *     | selected | 2.51 ± 0.09  | 1.38 ± 0.04  | 0.69 ± 0.08                        | 33.75  | 100 %    |
 *     | dpo      | 1.98 ± 0.10  | 1.13 ± 0.05  | 5.09 ± 0.30                        | 43.18  | 75 %     |
 */
import {
  Decontaminate,
  Deduplicate,
  Dpo,
  Evaluate,
  Filter,
  Kl,
  Mix,
  Pair,
  Pipeline,
  PreferenceLoss,
  RejectionSampling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Split
} from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts, reward, sft } from "./01-instruct-gpt.ts"

// Prompts of two sources, each prompt once, without those that share 13 words with a held-out prompt.
const pool = Mix.make({ prompts, more: Source.prompts(Source.tales({ split: "train", count: 3000, seed: 1 })) })
const clean = Decontaminate.make({ of: Deduplicate.make({ of: pool }, { by: "prompt" }), against: held }, { ngram: 13 })
const [first, rest] = Split.make({ of: clean }, { fraction: 0.6 })

const sampling = { completionsPerPrompt: 8, temperature: 1, maxNewTokens }
const best = RejectionSampling.make({ policy: sft, prompts: first, reward }, { ...sampling, rule: Select.perPrompt() })
const tuned = (demonstrations: typeof best.selected) =>
  Sft.make({ base: sft, demonstrations: Filter.make({ of: demonstrations }, { maxWords: 60 }) }, {
    epochs: 2,
    batchSize: 64,
    batchTokens: 2048,
    learningRate: 1e-3,
    schedule: "cosine"
  })
const selected = tuned(best.selected)

const answers = Mix.make({
  own: Sample.make({ policy: sft, prompts: rest }, sampling),
  others: Sample.make({ policy: selected, prompts: rest }, sampling)
})
const pairs = Pair.make({ completions: Score.byReward({ completions: answers, reward }) })

const dpo = Pipeline.cap(
  Dpo.make({ init: sft, reference: sft, preferences: pairs, held }, {
    loss: PreferenceLoss.dpoNorm(),
    allowance: Kl.mnatsPerSequence(12_000),
    epochs: 4,
    batchSize: 64,
    learningRate: 3e-4,
    schedule: "linear",
    warmupSteps: 8,
    measureEvery: 40,
    maxNewTokens
  }),
  { kl: Kl.mnatsPerSequence(12_000), from: sft }
)

export default Pipeline.runnable(Evaluate.make(
  { initial: sft, reward, prompts: held },
  { base, sft, control: tuned(best.control), selected, dpo },
  { gold, maxNewTokens }
))
