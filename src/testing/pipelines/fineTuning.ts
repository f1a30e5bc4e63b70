/** Base models, and policies made from demonstrations. */
import fc from "fast-check"
import * as Checkpoint from "../../../dsl/Checkpoint.ts"
import * as Pretrain from "../../../dsl/stages/Pretrain.ts"
import * as Sft from "../../../dsl/stages/Sft.ts"
import { batchSize, index, pretraining, rate, some, text, training } from "./parameters.ts"
import { family, onShelf, pick, type Shelf, type ShelfStep, stocked } from "./shelf.ts"

const shape = fc.constantFrom(
  { dim: 4, layers: 1, heads: 1, kvHeads: 1, ffn: 4, context: 24 },
  { dim: 8, layers: 2, heads: 2, kvHeads: 1, ffn: 8, context: 32 }
)

export const bases: fc.Arbitrary<ShelfStep> = fc.oneof(
  fc.record({ family, shape, batchSize, learningRate: rate, training: pretraining, index }).map(
    ({ family, index, shape, training, ...params }) => (shelf: Shelf) =>
      void onShelf(shelf.policies, family).push(
        Pretrain.make({ text: pick(shelf.text, index) }, { ...training, ...params, family, model: shape, steps: 1 })
      )
  ),
  fc.record({ family, path: text }).map(({ family, path }) => (shelf: Shelf) =>
    void onShelf(shelf.policies, family).push(Checkpoint.huggingFace(family, path))
  )
)

export const sfts: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  base: index,
  data: index,
  params: fc.record({
    batchSize,
    learningRate: rate,
    training,
    reduction: fc.constantFrom("token-mean" as const, "sum" as const),
    options: some({
      batchTokens: fc.integer({ min: 20, max: 60 }),
      loss: fc.constantFrom("completion" as const, "assistant" as const, "all" as const),
      maxLength: fc.integer({ min: 8, max: 20 }),
      truncation: fc.constantFrom("error" as const, "keep-start" as const, "keep-end" as const)
    })
  })
}).map(({ base, data, family, params: { options, training, ...params } }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, family))
  policies.push(
    Sft.make({ base: pick(policies, base), demonstrations: pick(shelf.demonstrations, data) }, {
      ...training,
      ...options,
      ...params
    })
  )
})
