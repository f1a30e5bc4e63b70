/**
 * The same recipe on real weights: stories260K learns to end its stories well. The reward model learns from comparisons that
 * a checker of children's stories made (continuity, dialogue, repetition, resolution, English words), with a labeler's
 * mistakes; PPO then climbs the reward model, not the checker, within a KL cap.
 *
 *     npx keel run examples/02-stories.ts --base ../shared/data/models/stories260K-hf
 */
import { Checkpoint, Compare, Evaluate, Gold, Kl, Pipeline, Ppo, RewardModeling, Sft, Source } from "../dsl/index.ts"

const stories = "../shared/data/corpora/tinystories.jsonl.gz"
const gold = Gold.stories
const maxNewTokens = 64
const openings = (offset: number, limit: number) =>
  Source.openings(stories, { words: 14, continuation: 20, offset, limit })
const prompts = Source.prompts(openings(0, 800))
const held = Source.prompts(openings(900, 192))

const base = Checkpoint.huggingFace("stories260K", "../shared/data/models/stories260K-hf")

/** Teaches it to stop: the rest of each story up to the sentence that reaches 20 words. */
const sft = Sft.make({ base, demonstrations: Source.demonstrations(openings(0, 800)) }, {
  epochs: 4,
  batchSize: 16,
  learningRate: 1e-3,
  schedule: "cosine",
  warmupSteps: 20
})

const reward = RewardModeling.make({
  init: sft,
  preferences: Compare.make({ policy: sft, prompts }, { gold, maxNewTokens, completionsPerPrompt: 4 })
}, { epochs: 2, batchSize: 64, learningRate: 1e-3, schedule: "linear" })

const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(10_000),
  beta: 0.1,
  steps: 30,
  batchSize: 64,
  numMiniBatches: 2,
  numPpoEpochs: 2,
  learningRate: 1.5e-4,
  valueLearningRate: 1e-3,
  vfCoef: 1,
  missingEosPenalty: 0.5,
  maxNewTokens,
  measureSamples: 192,
  checkpointEvery: 10
})

const policy = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(12_000), from: sft })

export default Pipeline.runnable(Evaluate.make(
  {
    initial: sft,
    reward,
    prompts: held,
    preferences: Compare.make({ policy: sft, prompts: held }, { gold, maxNewTokens })
  },
  { base, sft, ppo: policy },
  { gold, maxNewTokens }
))
