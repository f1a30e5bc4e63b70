/** A pipeline that learns by a loss from outside Keel, which is Keel's DPO, as small as it gets. */
import { Dpo, Kl, Pipeline, PreferenceLoss } from "keel"
import { preferenceLoss } from "keel/stage"
import { dpo } from "../../src/losses/dpo.ts"
import { tiny } from "./tiny.ts"

export const started = tiny()
const { compared, held, sft } = started
export const spends = {
  allowance: Kl.mnatsPerSequence(1),
  batchSize: 3,
  learningRate: 1e-3,
  maxNewTokens: 6,
  measureEvery: 2,
  measureSamples: 4,
  checkpointEvery: 1
} as const

export const mine = preferenceLoss(
  "Mine",
  ({ logps, offsets, refLogps }, { beta }) => dpo(logps, refLogps, offsets, PreferenceLoss.dpo({ beta: Number(beta) }))
)
export const described = PreferenceLoss.own("Mine", { beta: 0.3 })

export const pairwise = (loss = described) =>
  Pipeline.cap(
    Dpo.make({ init: sft, reference: sft, preferences: compared, held }, { ...spends, loss }),
    { kl: Kl.mnatsPerSequence(20_000), from: sft }
  )

export const losses = [mine]
export default pairwise()
