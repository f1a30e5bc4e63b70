import fc from "fast-check"
import type { Model, Row, Update, Weights } from "../engine/engine.ts"
import { policyWeights } from "../engine/tabular/checkpoint.ts"
import { codecOf } from "../engine/tabular/codec.ts"
import { completions } from "../engine/tabular/exact.ts"
import { treeOf } from "../engine/tabular/tree.ts"
import { type World, world } from "../engine/tabular/world.ts"
import { stream } from "../sampling/random.ts"

/** Small worlds of every shape, down to one prompt, one letter and one step. */
export const worlds: fc.Arbitrary<World> = fc.record({
  prompts: fc.integer({ min: 1, max: 3 }),
  vocab: fc.integer({ min: 2, max: 4 }),
  horizon: fc.integer({ min: 1, max: 3 }),
  seed: fc.string({ maxLength: 4 })
}).map(world)

/** A policy with normal logits of the given spread. */
export const randomPolicy = (of: World, key: string, spread = 1): Weights => {
  const tree = treeOf(of)
  const random = stream(key)
  const length = of.prompts.length * tree.contexts * tree.actions
  return policyWeights(of, Float64Array.from({ length }, () => spread * random.normal()))
}

/** Every completion of every prompt, prompts one after the other. */
export const everyRow = (of: World): Array<Row> => {
  const codec = codecOf(of)
  return of.prompts.flatMap((prompt) =>
    completions(of).map(({ tokens }) => ({ prompt: codec.encodePrompt(prompt), completion: tokens }))
  )
}

/** No memory and an enormous eps make AdamW's step −gradient (to a relative |gradient| / 10¹²). */
export const readout: Update = { learningRate: 1e12, betas: [0, 0], eps: 1e12, weightDecay: 0, maxGradNorm: Infinity }

/** The accumulated gradient of a fresh model, read off its weights; the model has made a step afterwards. */
export const readGradient = (
  model: Model,
  name: string
): { readonly gradient: Float64Array; readonly norm: number } => {
  const before = model.weights().tensors.get(name)!.data
  const norm = model.step(readout)
  const after = model.weights().tensors.get(name)!.data
  return { gradient: Float64Array.from(after, (x, i) => before[i]! - x), norm }
}
