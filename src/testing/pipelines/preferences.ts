/** Preferences and the reward models that learn from them. */
import fc from "fast-check"
import * as RewardLoss from "../../../dsl/RewardLoss.ts"
import * as Source from "../../../dsl/Source.ts"
import * as Compare from "../../../dsl/stages/Compare.ts"
import * as RewardModeling from "../../../dsl/stages/RewardModeling.ts"
import { batchSize, gold, index, maxNewTokens, rate, seed, training } from "./parameters.ts"
import { family, onShelf, pick, type Shelf, type ShelfStep, stocked } from "./shelf.ts"
import { origin } from "./sources.ts"

export const preferences: fc.Arbitrary<ShelfStep> = fc.oneof(
  origin("train").map((of) => (shelf: Shelf) => void shelf.preferences.push(Source.preferences(of))),
  fc.record({
    family,
    policy: index,
    data: index,
    /** A policy that labels; without it a labeler that sees `gold` does. */
    judge: fc.option(index),
    gold,
    params: fc.record({ maxNewTokens, seed, completionsPerPrompt: fc.integer({ min: 2, max: 3 }) })
  }).map(({ data, family, gold, judge, params, policy }) => (shelf: Shelf) => {
    const policies = onShelf(shelf.policies, stocked(shelf, family))
    const wires = { policy: pick(policies, policy), prompts: pick(shelf.prompts, data) }
    shelf.preferences.push(
      judge === null
        ? Compare.make(wires, { ...params, gold })
        : Compare.byJudge({ ...wires, judge: pick(policies, judge) }, params)
    )
  })
)

const center = fc.constantFrom(0, 0.01)
const judged = fc.constantFrom("pairs" as const, "rankings" as const, "answers" as const, "steps" as const)

export const rewards: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  init: index,
  data: index,
  judged,
  origin: origin("train"),
  listwise: fc.boolean(),
  center,
  process: fc.record({
    labels: fc.constantFrom("binary" as const, "ternary" as const),
    aggregation: fc.constantFrom("min" as const, "product" as const),
    separator: fc.constantFrom("\n", " .", "")
  }),
  params: fc.record({ batchSize, learningRate: rate, training })
}).map(({ center, data, family, judged, listwise, origin, process, ...drawn }) => (shelf) => {
  const of = stocked(shelf, family)
  const init = pick(onShelf(shelf.policies, of), drawn.init)
  const { training, ...params } = drawn.params
  const all = { ...training, ...params }
  const centred = { centerRewardsCoefficient: center }
  const made = () => {
    switch (judged) {
      case "pairs": {
        const preferences = pick(shelf.preferences, data)
        return RewardModeling.make({ init, preferences }, { ...all, loss: RewardLoss.bradleyTerry(centred) })
      }
      case "rankings": {
        const loss = listwise ? RewardLoss.plackettLuce : RewardLoss.kWise(centred)
        return RewardModeling.make({ init, preferences: Source.rankings(origin) }, { ...all, loss })
      }
      case "answers": {
        const preferences = Source.unpairedPreferences(origin)
        return RewardModeling.make({ init, preferences }, { ...all, loss: RewardLoss.outcome })
      }
      case "steps": {
        const loss = RewardLoss.process(process)
        return RewardModeling.make({ init, preferences: Source.stepwise(origin) }, { ...all, loss })
      }
    }
  }
  onShelf(shelf.rewards, of).push(made())
})
