/** Models chosen among models or combined from them: merges and gates. */
import fc from "fast-check"
import type * as Artifact from "../../../dsl/Artifact.ts"
import * as Kl from "../../../dsl/Kl.ts"
import * as MergeMethod from "../../../dsl/MergeMethod.ts"
import * as Pipeline from "../../../dsl/Pipeline.ts"
import * as Gate from "../../../dsl/stages/Gate.ts"
import * as Merge from "../../../dsl/stages/Merge.ts"
import { gold, index, maxNewTokens, measureSamples, seed } from "./parameters.ts"
import { family, onShelf, pick, type ShelfPolicy, type ShelfStep, stocked } from "./shelf.ts"

/** Far above the sum of any drawn allowances. */
const ample = Kl.mnatsPerSequence<number>(1_000_000_000)

const pairMethods = fc.oneof(
  fc.constant(MergeMethod.uniformSoup),
  fc.integer({ min: 0, max: 8 }).map((k) => MergeMethod.linear({ a: k / 8, b: 1 - k / 8 })),
  fc.tuple(fc.integer({ min: 0, max: 8 }), fc.constantFrom("tensor", "layer")).map(([k, per]) =>
    MergeMethod.slerp({ a: k / 8, b: 1 - k / 8 }, { per })
  )
)
const taskMethods = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }).map(MergeMethod.taskArithmetic),
  fc.integer({ min: 0, max: 8 }).map((k) => MergeMethod.taskSlerp({ a: k / 8, b: 1 - k / 8 })),
  fc.record({ density: fc.double({ min: 0.1, max: 1, noNaN: true }) }).map(MergeMethod.ties),
  fc.record({ dropRate: fc.double({ min: 0, max: 0.9, noNaN: true }), lambda: fc.constant(0.5) }).map(MergeMethod.dare)
)

/** How a process reward model reads its steps, as text: only such as read alike can be merged. */
const processOf = ({ node }: Artifact.Any): string => {
  if (node.op === "Merge") return processOf(node.wires["models.a"]!)
  const { loss } = node.params as { readonly loss?: { readonly _tag: string } }
  return loss?._tag === "Process" ? JSON.stringify(loss) : ""
}

export const merges: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  a: index,
  b: index,
  base: index,
  held: index,
  method: pairMethods,
  task: fc.option(taskMethods),
  rewards: fc.boolean(),
  seed,
  measuring: fc.record({ maxNewTokens, measureSamples })
}).map(({ a, b, base, family, held, measuring, method, rewards, seed, task }) => (shelf) => {
  const of = stocked(shelf, family)
  const own = onShelf(shelf.rewards, of)
  if (rewards && own.length > 0) {
    const first = pick(own, a)
    const alike = own.filter((one) => processOf(one) === processOf(first))
    own.push(Merge.make({}, { a: first, b: pick(alike, b) }, { method, seed }))
    return
  }
  const policies = onShelf(shelf.policies, of)
  const models = { a: pick(policies, a), b: pick(policies, b) }
  const wires = { held: pick(shelf.held, held) }
  const params = { ...measuring, seed }
  const merged = task === null
    ? Merge.make(wires, models, { ...params, method })
    : Merge.make({ ...wires, base: pick(policies, base) }, models, { ...params, method: task })
  policies.push(Pipeline.cap(merged, { kl: ample, from: models.a }) as ShelfPolicy)
})

/** A gate between the newest policy and another policy of its family. */
export const gates: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  candidate: index,
  previous: index,
  held: index,
  gold,
  maxNewTokens,
  tolerance: fc.double({ min: 0, max: 3, noNaN: true })
}).map(({ candidate, family, gold, held, maxNewTokens, previous, tolerance }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, family))
  policies.push(
    Gate.make({
      candidate: pick(policies, candidate),
      previous: pick(policies, previous),
      held: pick(shelf.held, held)
    }, {
      gold,
      maxNewTokens,
      tolerance: { gold: tolerance, length: tolerance },
      // A gate that fails would end most drawn pipelines.
      otherwise: "roll-back"
    })
  )
})
