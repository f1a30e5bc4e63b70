import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { Gold } from "../../dsl/Gold.ts"
import type { Verifier } from "../../dsl/Verifier.ts"
import { unbroken } from "./broken.ts"
import { features, preference } from "./labeler.ts"
import type { RewardImplementation } from "./own.ts"
import { stories } from "./stories.ts"
import { tales } from "../data/tales/gold.ts"
import { type Asked, unreachable, verify } from "./verifier.ts"

/** The gold reward of a completion, and a labeler's choice between two completions. */
export class Judge extends Context.Service<Judge, {
  /** Pure, total and bounded; in the units of the checker. */
  readonly gold: (gold: Gold, prompt: string, completion: string) => number
  /** Whether the labeler prefers `a` to `b`, given a uniform random number in [0, 1). */
  readonly prefers: (gold: Gold, prompt: string, a: string, b: string, u: number) => boolean
  /** The share of its weight that a verifier gives a completion of the prompt, in [0, 1]; true is 1. Pure and total. */
  readonly verifies: (verifier: Verifier, asked: Asked, completion: string) => number | boolean
  /** Why no completion of the prompt can pass a verifier's check; left out by a judge that does not read the text. */
  readonly unreachable?: typeof unreachable
}>()("keel/Judge") {}

const checker = (gold: Gold, own: ReadonlyArray<RewardImplementation>) =>
  Gold.match(gold, {
    TalesChecker: () => tales,
    StoryChecker: () => stories,
    OwnReward: ({ name, params }) => {
      const reward = own.find((one) => one.name === name)
      if (reward === undefined) throw new Error(`the reward ${name} has no implementation: pass it in \`rewards\``)
      return (prompt: string, completion: string) =>
        unbroken(
          "reward",
          name,
          () => reward.score(prompt, completion, params),
          (score) =>
            Number.isFinite(score) ? null : `gave ${String(score)} for the completion ${JSON.stringify(completion)}`
        )
    }
  })

/** The built-in checkers and rewards from outside, and labelers with their tastes and mistakes (`labeler.ts`). */
export const layer = (own: ReadonlyArray<RewardImplementation> = []): Layer.Layer<Judge> =>
  Layer.succeed(Judge, {
    gold: (gold, prompt, completion) => checker(gold, own)(prompt, completion),
    prefers: (gold, prompt, a, b, u) => {
      const score = checker(gold, own)
      return u < preference(score(prompt, a), score(prompt, b), features(a), features(b))
    },
    verifies: verify,
    unreachable
  })
