import { modelConfig } from "../../model/config.ts"
import type { Backend } from "../../tensor/backend.ts"
import { type Batch, type Logprobs, offsetsOf, type Policy, type Weights } from "../engine.ts"
import { divergent } from "./divergent.ts"
import { type OpenedModel, openModel, type Options } from "./openModel.ts"
import type { HeadPasses } from "./passes.ts"
import { sampler } from "./sample.ts"

/** A policy with the raw next-token logits, for tests and tools only. */
export interface TransformerPolicy extends Policy {
  /** Logits of the token after `ids`, [vocab]. */
  readonly logits: (ids: Int32Array) => Float64Array
  /** The opened model, for a student of this teacher. */
  readonly opened: OpenedModel
}

/** Room for the numbers of a batch. */
const perToken = (batch: Batch): Logprobs => {
  const offsets = offsetsOf(batch)
  const total = offsets[batch.length]!
  return { logps: new Float64Array(total), entropies: new Float64Array(total), offsets }
}

export const policy = (chosen: Backend, weights: Weights, options: Options): TransformerPolicy => {
  const config = modelConfig(weights.config)
  if (config.head !== "lm") {
    throw new Error(
      "These weights are a scorer's (their config.json has a classification head), not a language model's."
    )
  }
  const opened = openModel(chosen, config, weights, { ...options, head: "lm", fresh: [] })
  const { backend, model, passes, trainable } = opened
  const { logits, sample } = sampler(opened)
  let numbers = 0
  /** The backward pass of the last retained call. */
  let backwards: (dTokens: Float64Array) => HeadPasses = (dLogps) => vocabulary(null, dLogps)

  const shape = (rows: number, temperature: number) => {
    const { dim, logitCap, vocab } = config
    return { rows, dim, vocab, temperature, cap: logitCap }
  }
  /** Fused log-softmax and gather; `into` is null when only the log-sum-exp is needed again. */
  const vocabulary = (
    into: Logprobs | null,
    dLogps: Float64Array | null,
    { on = backend, temperature = 1 }: { readonly on?: Backend; readonly temperature?: number | undefined } = {}
  ): HeadPasses => ({
    forward: (hidden, { first, outputs, targets }, space) => {
      const rows = outputs.length
      const out = {
        logps: space.reals("logps", rows),
        lse: space.reals("headLse", rows),
        entropy: space.reals("entropy", rows)
      }
      on.head(out, hidden, trainable.parameters.head, space.ints("targets", targets), shape(rows, temperature))
      if (into === null) return
      into.logps.set(on.read(out.logps), first)
      into.entropies.set(on.read(out.entropy), first)
    },
    backward: (dHidden, hidden, { first, outputs, targets }, space) => {
      const rows = outputs.length
      const gradient = space.reals("dLogps", rows)
      backend.write(gradient, dLogps!.subarray(first, first + rows))
      backend.headBackward(
        { dH: dHidden, dW: trainable.gradients().head },
        gradient,
        hidden,
        trainable.parameters.head,
        space.ints("targets", targets),
        space.reals("headLse", rows),
        shape(rows, temperature)
      )
    }
  })

  return {
    ...model,
    logprobs: (batch, { precision, retain = false, temperature } = {}) => {
      const on = precision === undefined ? backend : opened.at(precision)
      const out = perToken(batch)
      passes.run(batch, retain, vocabulary(out, null, { on, temperature }), on)
      if (retain) {
        numbers = out.logps.length
        backwards = (dLogps) => vocabulary(null, dLogps, { temperature })
      }
      return out
    },
    divergences: (batch, teacher, divergence, { retain = false } = {}) => {
      const offsets = offsetsOf(batch)
      const values = new Float64Array(offsets[batch.length]!)
      const between = divergent(opened, teacher, divergence)
      passes.run(batch, retain, between(values, null))
      if (retain) {
        numbers = values.length
        backwards = (dValues) => between(null, dValues)
      }
      return { values, offsets }
    },
    backward: (dTokens) => {
      if (passes.retained() && dTokens.length !== numbers) {
        throw new Error(`backward got ${dTokens.length} gradients for the ${numbers} tokens of the retained batch.`)
      }
      passes.backward(backwards(dTokens))
    },
    learn: (batch, gradientOf) => {
      const out = perToken(batch)
      const dLogps = new Float64Array(out.logps.length)
      passes.learn(batch, vocabulary(out, dLogps), ({ first, outputs }) => {
        const logps = out.logps.subarray(first, first + outputs.length)
        const gradient = gradientOf(logps, first)
        if (gradient.length !== logps.length) {
          throw new Error(`learn got ${gradient.length} gradients for ${logps.length} logps.`)
        }
        dLogps.set(gradient, first)
      })
      return out
    },
    sample,
    logits,
    opened
  }
}
