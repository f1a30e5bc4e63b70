/**
 * A recipe that no paper has: rejection sampling, then DPO, then a merge of both, then reinforcement learning with verifiable rewards (RLVR),
 * with one KL cap over the whole chain. TUTORIAL.md goes through it, from an empty folder.
 *
 *     npx keel run examples/36-chain.ts
 *
 * Ends with (seed 0, native backend; KL from the SFT model, cap 3, length, finished; the share of held-out puzzles solved, with 95 %):
 *
 *     | sft    | 0.00 ± 0.00 | 6.00   | 100 %    |    | sft    | Countdown | 18.0 % [13.8, 23.1] |
 *     | rs     | 1.18 ± 0.06 | 6.00   | 100 %    |    | rs     | Countdown | 76.6 % [71.0, 81.3] |
 *     | dpo    | 1.95 ± 0.14 | 5.99   | 100 %    |    | dpo    | Countdown | 74.2 % [68.5, 79.2] |
 *     | merged | 1.35 ± 0.06 | 6.00   | 100 %    |    | merged | Countdown | 79.7 % [74.3, 84.2] |
 *     | rlvr   | 1.89 ± 0.09 | 6.00   | 100 %    |    | rlvr   | Countdown | 87.1 % [82.4, 90.7] |
 */
import {
  Dpo,
  Evaluate,
  Grpo,
  Kl,
  Merge,
  MergeMethod,
  Pair,
  Pipeline,
  PolicyGradient,
  PreferenceLoss,
  Pretrain,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Verifier
} from "../dsl/index.ts"

const maxNewTokens = 7
const verifiers = [Verifier.countdown()]
const puzzles = { task: "countdown", right: 0.75 } as const
const held = Source.prompts(Source.puzzles({ ...puzzles, split: "held", count: 256 }))
const prompts = Source.prompts(Source.puzzles({ ...puzzles, count: 1000 }))

// Your own model instead: Checkpoint.huggingFace("countdown", FOLDER).
const base = Pretrain.make({ text: Source.text(Source.puzzles({ ...puzzles, count: 20_000 })) }, {
  family: "countdown",
  model: { dim: 64, layers: 2, heads: 4, kvHeads: 4, ffn: 172, context: 24 },
  steps: 2000,
  batchSize: 32,
  learningRate: 3e-3,
  schedule: "cosine",
  warmupSteps: 30,
  checkpointEvery: 500
})
const tuning = { epochs: 2, batchSize: 16, learningRate: 1e-3, schedule: "cosine" } as const
const sft = Sft.make(
  { base, demonstrations: Source.demonstrations(Source.puzzles({ ...puzzles, count: 600 })) },
  tuning
)

// Rejection sampling: the best of eight answers as demonstrations, and better against worse ones of the same eight as pairs.
const scored = Score.byVerifier(
  { completions: Sample.make({ policy: sft, prompts }, { completionsPerPrompt: 8, maxNewTokens }) },
  { verifiers }
)
const best = Select.make({ completions: scored }, { rule: Select.accept(1) })
const rs = Sft.make({ base: sft, demonstrations: best }, { ...tuning, epochs: 1, learningRate: 3e-4 })

const dpo = Dpo.make({ init: rs, reference: rs, preferences: Pair.make({ completions: scored }), held }, {
  loss: PreferenceLoss.dpo({ beta: 0.1 }),
  batchSize: 32,
  learningRate: 1e-4,
  measureEvery: 10,
  maxNewTokens
})

const merged = Merge.make({ held }, { rs, dpo }, { method: MergeMethod.linear({ rs: 0.5, dpo: 0.5 }), maxNewTokens })

const rlvr = Grpo.make({ init: merged, reference: merged, prompts, held }, {
  ...PolicyGradient.drGrpo,
  beta: 0.01,
  verifiers,
  steps: 60,
  batchSize: 16,
  groupSize: 8,
  learningRate: 1e-3,
  measureEvery: 10,
  maxNewTokens
})

const report = Evaluate.make({ initial: sft, prompts: held }, { sft, rs, dpo, merged, rlvr }, {
  verifiers,
  maxNewTokens
})

// One budget for the whole chain: every policy of it is measured against the SFT model, and ends at 3 nats.
export default Pipeline.runnable(
  Pipeline.cap(report, { kl: Kl.mnatsPerSequence(3_000), from: sft, held, maxNewTokens, measureEvery: 10 })
)
