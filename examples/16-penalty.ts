/**
 * How strong the KL penalty has to be: one reward model, learned from 256 comparisons, is optimised with five values of β. In the small
 * world of `simulate` gold reward, KL and the optimum π* are exact, so the answer takes seconds:
 *
 *     npx keel simulate examples/16-penalty.ts
 *
 * README has the table that it prints: the policy's own reward rises as β falls, and the gold reward rises, then falls.
 */
import { Evaluate, Grpo, Kl, Pipeline, PolicyGradient, RewardModeling, Sft, Source } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 800 })) }, {
  batchSize: 32,
  learningRate: 3e-3,
  schedule: "cosine"
})

const reward = RewardModeling.make({ init: base, preferences: Source.preferences(Source.tales({ count: 256 })) }, {
  epochs: 20,
  batchSize: 16,
  learningRate: 1e-3
})

const at = (beta: number) =>
  Pipeline.cap(
    Grpo.make({ init: sft, reference: sft, reward, prompts, held }, {
      ...PolicyGradient.rloo,
      allowance: Kl.mnatsPerSequence(30_000),
      beta,
      steps: 100,
      batchSize: 8,
      groupSize: 16,
      learningRate: 1e-3,
      schedule: "linear",
      maxNewTokens,
      measureEvery: 100
    }),
    { kl: Kl.mnatsPerSequence(30_000), from: sft }
  )

export default Pipeline.runnable(
  Evaluate.make(
    { initial: sft, reward, prompts: held },
    { sft, "3": at(3), "1": at(1), "0.3": at(0.3), "0.1": at(0.1), "0.03": at(0.03) },
    { gold, maxNewTokens }
  )
)
