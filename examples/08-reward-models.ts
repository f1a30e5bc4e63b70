/**
 * Every kind of reward model from one base: rankings, final answers and judged steps, and PPO against the most cautious reading of an
 * ensemble of two of them.
 *
 *     npx keel run examples/08-reward-models.ts
 *
 * Ends with (seed 0, native backend), with no significant gain in gold of either policy over the other:
 *
 *     Gold, cautious − sft: +0.09 ± 0.09 on the same 256 prompts (1.0 standard errors).
 *     Gold, cautious − careful: -0.04 ± 0.10 on the same 256 prompts (-0.4 standard errors).
 */
import { Ensemble, Evaluate, Kl, Pipeline, Ppo, RewardLoss, RewardModeling, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts, sft } from "./01-instruct-gpt.ts"

const training = { batchSize: 16, learningRate: 6e-3, schedule: "cosine", warmupSteps: 10, maxGradNorm: 0.3 } as const
const rankings = Source.rankings(Source.tales({ count: 1500 }))

/** All six pairs of four answers, kept around 0 so that the two can be compared. */
const pairwise = RewardModeling.make({ init: base, preferences: rankings }, {
  ...training,
  loss: RewardLoss.kWise({ centerRewardsCoefficient: 0.01 })
})
/**
 * The same from other batches. `RewardLoss.plackettLuce`, the likelihood of the whole ranking, needs rankings without ties; here answers
 * that are equally good tie.
 */
const another = RewardModeling.make({ init: base, preferences: rankings }, {
  ...training,
  loss: RewardLoss.kWise({ centerRewardsCoefficient: 0.01 }),
  seed: 1
})
/** Is the answer right? Asked after every token; values start from it. */
const outcome = RewardModeling.make(
  { init: base, preferences: Source.unpairedPreferences(Source.tales({ count: 2000 })) },
  { ...training, loss: RewardLoss.outcome }
)
/** Is the sentence right? Its reward is the probability of the worst one. */
const process = RewardModeling.make(
  { init: base, preferences: Source.stepwise(Source.tales({ count: 2000 })) },
  { ...training, loss: RewardLoss.process({ separator: " .", aggregation: "min" }) }
)

const reward = Ensemble.make([pairwise, another], { rule: Ensemble.worstCase })
const tuned = (of: typeof reward | typeof process) =>
  Pipeline.cap(
    Ppo.make({ init: sft, reference: sft, reward: of, value: outcome, prompts, held }, {
      allowance: Kl.mnatsPerSequence(8_000),
      beta: 0.1,
      steps: 30,
      batchSize: 32,
      numPpoEpochs: 2,
      learningRate: 1e-3,
      vfCoef: 1,
      missingEosPenalty: 1,
      measureEvery: 10,
      measureSamples: 128,
      maxNewTokens
    }),
    { kl: Kl.mnatsPerSequence(8_000), from: sft }
  )

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, reward, prompts: held }, {
    sft,
    cautious: tuned(reward),
    careful: tuned(process)
  }, { gold, maxNewTokens })
)
