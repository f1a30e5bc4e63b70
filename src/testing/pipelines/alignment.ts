/** Policies from preferences without a reward model: DPO and its relatives, KTO. */
import fc from "fast-check"
import * as Kl from "../../../dsl/Kl.ts"
import * as PreferenceLoss from "../../../dsl/PreferenceLoss.ts"
import * as Dpo from "../../../dsl/stages/Dpo.ts"
import * as Kto from "../../../dsl/stages/Kto.ts"
import * as Pair from "../../../dsl/stages/Pair.ts"
import { capped } from "./capped.ts"
import { allowance, index, maxNewTokens, measureSamples, rate, training } from "./parameters.ts"
import { family, onShelf, pick, type ShelfStep, stocked } from "./shelf.ts"

const namedLosses: ReadonlyArray<() => PreferenceLoss.Loss<boolean>> = [
  PreferenceLoss.dpo,
  PreferenceLoss.dpoNorm,
  PreferenceLoss.ipo,
  PreferenceLoss.copg,
  PreferenceLoss.apoZero,
  PreferenceLoss.mpo,
  PreferenceLoss.simPo,
  PreferenceLoss.orpo
]

export const alignments: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  init: index,
  reference: index,
  data: index,
  held: index,
  from: index,
  loss: fc.constantFrom(...namedLosses),
  kto: fc.boolean(),
  allowance,
  training,
  params: fc.record({
    learningRate: rate,
    maxNewTokens,
    measureSamples
  })
}).map((drawn) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, drawn.family))
  const named = drawn.loss()
  // Only scored completions have margins.
  const loss = PreferenceLoss.readsMargins(named) && shelf.scored.length === 0 ? PreferenceLoss.dpo() : named
  const wires = {
    init: pick(policies, drawn.init),
    reference: pick(policies, drawn.reference),
    preferences: PreferenceLoss.readsMargins(loss)
      ? Pair.make({ completions: pick(shelf.scored, drawn.data) }, { margins: true })
      : pick(shelf.preferences, drawn.data),
    held: pick(shelf.held, drawn.held)
  }
  // One measurement, at the end: a single PPO step can afford it, every step of an epoch cannot.
  const params = {
    ...drawn.training,
    ...drawn.params,
    batchSize: 4,
    measureEvery: 100,
    allowance: Kl.mnatsPerSequence(drawn.allowance)
  }
  const { reference: _, ...free } = wires
  const policy = drawn.kto
    ? Kto.make(wires, params)
    : loss.reference
    ? Dpo.make(wires, { ...params, loss: loss as PreferenceLoss.Loss<true> })
    : Dpo.make(free, { ...params, loss: loss as PreferenceLoss.Loss<false> })
  policies.push(capped(policy, { index: drawn.from, slack: 0 }))
})
