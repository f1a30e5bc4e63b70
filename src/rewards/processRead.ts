import type { RewardLoss } from "../../dsl/RewardLoss.ts"
import type { Codec, Weights } from "../engine/engine.ts"
import { withProcess } from "../engine/processReward.ts"

/** The weights of a reward model, to be read as its loss says: step by step, or by the number after the last token. */
export const processRead = (weights: Weights, loss: RewardLoss | null, codec: Codec): Weights =>
  withProcess(
    weights,
    loss?._tag !== "Process" ? null : {
      separator: [...codec.encodeCompletion(loss.separator, { end: false })],
      stop: codec.stop,
      aggregation: loss.aggregation,
      labels: loss.labels
    }
  )
