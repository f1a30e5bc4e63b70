/**
 * Reinforcement learning with verifiable rewards from nothing: a model learns to count letters aloud from texts that miscount, and a
 * verifier alone tells it which answers are right.
 *
 *     npx keel run examples/19-countdown.ts            # --seed 1, --seed 2 for other data and draws
 */
import {
  Difficulty,
  Evaluate,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  Pretrain,
  Sample,
  Score,
  Sft,
  Source,
  Verifier
} from "../dsl/index.ts"

const task = "countdown"
const maxNewTokens = 7
const verifiers = [Verifier.countdown()]
const held = Source.prompts(Source.puzzles({ task, split: "held", count: 256 }))

const base = Pretrain.make({ text: Source.text(Source.puzzles({ task, count: 20000, right: 0.75 })) }, {
  family: task,
  model: { dim: 64, layers: 2, heads: 4, kvHeads: 4, ffn: 172, context: 24 },
  steps: 3000,
  batchSize: 32,
  learningRate: 3e-3,
  schedule: "cosine",
  warmupSteps: 30,
  checkpointEvery: 500
})

const sft = Sft.make(
  { base, demonstrations: Source.demonstrations(Source.puzzles({ task, count: 600, right: 0.75 })) },
  {
    epochs: 2,
    batchSize: 16,
    learningRate: 3e-3,
    schedule: "cosine"
  }
)

// Prompts that the model neither always nor never answers rightly: the others teach nothing.
const completions = Sample.make(
  { policy: sft, prompts: Source.prompts(Source.puzzles({ task, count: 1000 })) },
  { completionsPerPrompt: 4, maxNewTokens }
)
const prompts = Difficulty.make({ completions: Score.byVerifier({ completions }, { verifiers }) }, {
  atLeast: 0.1,
  atMost: 0.9
})

const rl = Grpo.make({ init: sft, reference: sft, prompts, held }, {
  ...PolicyGradient.drGrpo,
  beta: 0.01,
  verifiers,
  steps: 150,
  batchSize: 16,
  groupSize: 8,
  learningRate: 1e-3,
  allowance: Kl.mnatsPerSequence(8_000),
  measureEvery: 20,
  maxNewTokens
})

const grpo = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(8_000), from: sft })

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, prompts: held }, { base, sft, grpo }, { verifiers, maxNewTokens })
)
