/** Preferences and the reward models that learn from them. */
import fc from "fast-check"
import * as RewardLoss from "../../../dsl/RewardLoss.ts"
import * as Source from "../../../dsl/Source.ts"
import * as Compare from "../../../dsl/stages/Compare.ts"
import * as RewardModeling from "../../../dsl/stages/RewardModeling.ts"
import { batchSize, gold, index, maxNewTokens, rate, seed, training } from "./parameters.ts"
import { family, onShelf, pick, type Shelf, type Step, stocked } from "./shelf.ts"
import { origin } from "./sources.ts"

export const preferences: fc.Arbitrary<Step> = fc.oneof(
  origin("train").map((of) => (shelf: Shelf) => void shelf.preferences.push(Source.preferences(of))),
  fc.record({
    family,
    policy: index,
    data: index,
    params: fc.record({ gold, maxNewTokens, seed, completionsPerPrompt: fc.integer({ min: 2, max: 3 }) })
  }).map(({ data, family, params, policy }) => (shelf: Shelf) => {
    const policies = onShelf(shelf.policies, stocked(shelf, family))
    shelf.preferences.push(Compare.make({ policy: pick(policies, policy), prompts: pick(shelf.prompts, data) }, params))
  })
)

const center = fc.constantFrom(0, 0.01)
const judged = fc.constantFrom("pairs" as const, "rankings" as const, "answers" as const, "steps" as const)

export const rewards: fc.Arbitrary<Step> = fc.record({
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
}).map(
  ({ center, data, family, init, judged, listwise, origin, params: { training, ...params }, process }) => (shelf) => {
    const of = stocked(shelf, family)
    const from = pick(onShelf(shelf.policies, of), init)
    const [all, own] = [{ ...training, ...params }, onShelf(shelf.rewards, of)]
    const centred = { centerRewardsCoefficient: center }
    switch (judged) {
      case "pairs":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: pick(shelf.preferences, data) },
            { ...all, loss: RewardLoss.bradleyTerry(centred) }
          )
        )
      case "rankings":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: Source.rankings(origin) },
            { ...all, loss: listwise ? RewardLoss.plackettLuce : RewardLoss.kWise(centred) }
          )
        )
      case "answers":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: Source.unpairedPreferences(origin) },
            { ...all, loss: RewardLoss.outcome }
          )
        )
      case "steps":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: Source.stepwise(origin) },
            { ...all, loss: RewardLoss.process(process) }
          )
        )
    }
  }
)
