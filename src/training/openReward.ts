import * as Effect from "effect/Effect"
import { CurrentEngine } from "../engine/current.ts"
import type { Scorer, Weights } from "../engine/engine.ts"
import type { Composed } from "../rewards/composed.ts"
import { opened } from "../rewards/rewarding.ts"
import { observer } from "./loop.ts"

/** A reward with its models open for observation; they are closed with the scope. */
export const openReward = Effect.fnUntraced(function*(
  reward: Composed<Weights>,
  open: (weights: Weights) => Scorer
) {
  const { codec } = yield* CurrentEngine
  return yield* opened(reward, (weights) => observer(open, weights), codec)
})
