import { modelConfig, withHead } from "../../model/config.ts"
import type { Backend } from "../../tensor/backend.ts"
import { offsetsOf, type Scorer, type Weights } from "../engine.ts"
import { type OpenedModel, openModel, type Options } from "./openModel.ts"
import type { HeadPasses } from "./passes.ts"

/**
 * A scalar head v = w · h on the normed hidden states, in place of the vocabulary's (`…ForSequenceClassification` with one
 * label, so that transformers loads it). Opened from a policy, w is 0 and so is every value.
 */
export const scorer = (
  chosen: Backend,
  weights: Weights,
  options: Options
): Scorer & { readonly opened: OpenedModel } => {
  const config = modelConfig(withHead(weights.config, "score"))
  // A scorer without its head is a damaged checkpoint; a policy without a scalar head is the normal start.
  const fresh = modelConfig(weights.config).head === "score" ? [] : ["score.weight"]
  const opened = openModel(chosen, config, weights, { ...options, head: "score", fresh })
  const { backend, model, passes, trainable } = opened
  let numbers = 0

  const linear = (into: Float64Array | null, dValues: Float64Array | null, on = backend): HeadPasses => ({
    forward: (hidden, { first, outputs }, space) => {
      if (into === null) return
      const values = space.reals("values", outputs.length)
      on.linear(values, hidden, trainable.parameters.head, null, outputs.length, config.dim, 1)
      into.set(on.read(values), first)
    },
    backward: (dHidden, hidden, { first, outputs }, space) => {
      const gradient = space.reals("dValues", outputs.length)
      backend.write(gradient, dValues!.subarray(first, first + outputs.length))
      backend.linearBackward(
        { dX: dHidden, accumulate: false, dW: trainable.gradients().head, dBias: null },
        gradient,
        hidden,
        trainable.parameters.head,
        outputs.length,
        config.dim,
        1
      )
    }
  })

  return {
    ...model,
    values: (batch, { precision, retain = false } = {}) => {
      const on = precision === undefined ? backend : opened.at(precision)
      const offsets = offsetsOf(batch, 1)
      const values = new Float64Array(offsets[batch.length]!)
      passes.run(batch, retain, linear(values, null, on), on)
      if (retain) numbers = values.length
      return { values, offsets }
    },
    backward: (dValues) => {
      if (passes.retained() && dValues.length !== numbers) {
        throw new Error(`backward got ${dValues.length} gradients for the ${numbers} values of the retained batch.`)
      }
      passes.backward(linear(null, dValues))
    },
    opened
  }
}
