/**
 * A reward made of rewards: two checks and a reward model, each with its weight, where the reward model counts only for stories that name
 * what they were asked for, and only after the first 10 steps. Each part is normalised within its group before they are added (GDPO), so
 * that none outweighs the others by its unit.
 *
 *     npx keel run examples/17-composed-reward.ts
 *
 * The parts are logged by themselves (`rewards/names/mean`) and plotted. The last lines, on the native backend:
 *
 *     | model | gold reward  | proxy reward | KL from initial, nats/seq (cap 8) | length | finished |
 *     |-------|--------------|--------------|-----------------------------------|--------|----------|
 *     | base  | -0.41 ± 0.08 | -2.81 ± 0.12 | 15.95 ± 0.44                      | 11.70  | 100 %    |
 *     | sft   | 2.35 ± 0.09  | -1.40 ± 0.19 | 0.00 ± 0.00                       | 31.25  | 100 %    |
 *     | grpo  | 3.23 ± 0.07  | 2.25 ± 0.12  | 1.72 ± 0.11                       | 31.20  | 100 %    |
 *
 *     Keywords, grpo − sft: +55.1 points [+48.4, +61.7] on the same 256 prompts.
 */
import { Evaluate, Grpo, Kl, Pipeline, PolicyGradient, Reward, Verifier } from "../dsl/index.ts"
import { base, gold, held, maxNewTokens, prompts, reward as liked, sft } from "./01-instruct-gpt.ts"

const names = Reward.verify(Verifier.keywords())
const ends = Reward.verify(Verifier.format(["the end ."]))
const quality = Reward.gate({
  when: Reward.below(names, 1),
  then: Reward.clip(liked, { min: -4, max: -4 }),
  otherwise: liked
})

export const reward = Reward.sum({
  names: Reward.whiten(names, { over: "group" }),
  ends: Reward.whiten(ends, { over: "group" }),
  quality: Reward.from(10, Reward.whiten(quality, { over: "group" }))
}, { ends: 0.5 })

const rl = Grpo.make({ init: sft, reference: sft, reward, prompts, held }, {
  ...PolicyGradient.drGrpo,
  allowance: Kl.mnatsPerSequence(8_000),
  beta: 0.02,
  steps: 40,
  batchSize: 8,
  groupSize: 8,
  learningRate: 1e-3,
  measureEvery: 10,
  maxNewTokens
})

const policy = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(8_000), from: sft })

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, reward, prompts: held }, { base, sft, grpo: policy }, {
    gold,
    verifiers: [Verifier.keywords()],
    maxNewTokens
  })
)
