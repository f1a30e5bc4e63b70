import { modelConfig, withHead } from "../../model/config.ts"
import type { Backend } from "../../tensor/backend.ts"
import { type Batch, offsetsOf, type Scorer, type Weights } from "../engine.ts"
import { type OpenedModel, openModel, type Options } from "./openModel.ts"
import type { HeadPasses } from "./passes.ts"

/**
 * By row of the batch, the padding tokens at the end of its completion. transformers reads the score of a sequence after its last token
 * that is no padding (`GenericForSequenceClassification`); where the end is the padding token, that is before the end.
 */
const paddingAtEnd = (batch: Batch, pad: number | null): Int32Array =>
  Int32Array.from(batch, ({ completion }) => completion.length - 1 - completion.findLastIndex((id) => id !== pad))

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
  let retained: { readonly padding: Int32Array; readonly offsets: Int32Array } | undefined
  /** For each row that ends in padding: the index of its last value, and of the value that stands there. */
  const eachPadded = (
    { offsets, padding }: NonNullable<typeof retained>,
    each: (last: number, read: number) => void
  ): void =>
    padding.forEach((tokens, row) => {
      const last = offsets[row + 1]! - 1
      if (tokens > 0) each(last, last - tokens)
    })

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
      const ends = { offsets, padding: paddingAtEnd(batch, config.pad) }
      eachPadded(ends, (last, read) => values[last] = values[read]!)
      if (retain) [numbers, retained] = [values.length, ends]
      return { values, offsets }
    },
    backward: (dValues) => {
      if (passes.retained() && dValues.length !== numbers) {
        throw new Error(`backward got ${dValues.length} gradients for the ${numbers} values of the retained batch.`)
      }
      const gradient = Float64Array.from(dValues)
      if (retained !== undefined) {
        eachPadded(retained, (last, read) => {
          gradient[read]! += gradient[last]!
          gradient[last] = 0
        })
      }
      passes.backward(linear(null, gradient))
    },
    opened
  }
}
