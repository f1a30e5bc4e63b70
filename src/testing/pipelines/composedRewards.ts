/** Rewards made of rewards, over a reward model and a judge. */
import fc from "fast-check"
import * as Verifier from "../../../dsl/Verifier.ts"
import * as Judge from "../../../dsl/Judge.ts"
import * as Reward from "../../../dsl/stages/Reward.ts"
import type { Of, ShelfPolicy } from "./shelf.ts"

/** A reward, wherever a reward model can stand as a reward. */
export type ShelfReward = Of<"RewardModel" | "Reward">

/** Makes a reward of a reward model; the policy judges where the reward has a judge. */
export type Composed = (model: Of<"RewardModel">, judge: ShelfPolicy) => ShelfReward

/** Verifiers that need no column of the rows. */
export const verifiers: fc.Arbitrary<Verifier.Verifier> = fc.constantFrom<Verifier.Verifier>(
  Verifier.ended(),
  Verifier.noRepetition({ n: 2, weight: 0.5 }),
  Verifier.targetLength({ shape: "max", unit: "words", target: 4 }),
  Verifier.pattern("(?i)end")
)

/** Rubrics of one criterion and of several. */
export const rubrics: fc.Arbitrary<Judge.Rubric> = fc.constantFrom(
  Judge.rubric("It ends."),
  Judge.rubric([{ name: "a", asks: "A." }, { name: "b", asks: "B.", weight: 2 }], { scale: { min: 0, max: 3 } })
)

const bound = fc.double({ min: -1, max: 1, noNaN: true })

const leaf: fc.Arbitrary<Composed> = fc.oneof(
  fc.constant<Composed>((model) => model),
  verifiers.map((verifier): Composed => () => Reward.verify(verifier)),
  fc.constantFrom(" ", "</think>").map((after): Composed => (model) => Reward.of(model, { reads: { after } })),
  rubrics.map((rubric): Composed => (_, judge) => Reward.judge(judge, { rubric }))
)

const { composed } = fc.letrec<{ readonly composed: Composed; readonly when: WhenOf }>((tie) => {
  const inner = tie("composed")
  const of = (rule: (reward: ShelfReward) => ShelfReward) => inner.map((one): Composed => (...on) => rule(one(...on)))
  return {
    when: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom("safety", "maths").map((kind): WhenOf => () => Reward.kindIs(kind)),
      fc.tuple(inner, bound).map(([one, at]): WhenOf => (...on) => Reward.below(one(...on), at)),
      fc.tuple(tie("when"), inner).map(([a, b]): WhenOf => (...on) =>
        Reward.either(a(...on), Reward.below(b(...on), 0.15))
      )
    ),
    composed: fc.oneof(
      { depthSize: "small", maxDepth: 3, withCrossShrink: true },
      leaf,
      fc.tuple(inner, inner, bound).map(([a, b, weight]): Composed => (...on) =>
        Reward.sum({ a: a(...on), b: b(...on) }, { b: weight })
      ),
      fc.tuple(inner, inner).map(([maths, safety]): Composed => (...on) =>
        Reward.byKind({ maths: maths(...on), safety: safety(...on) })
      ),
      fc.tuple(tie("when"), inner, inner).map(([when, then, otherwise]): Composed => (...on) =>
        Reward.gate({ when: when(...on), then: then(...on), otherwise: otherwise(...on) })
      ),
      fc.constantFrom("step", "group", "run").chain((over) => of((one) => Reward.whiten(one, { over }))),
      bound.chain((max) => of((one) => Reward.clip(one, { min: -1, max }))),
      of(Reward.sigmoid),
      of((one) => Reward.logit(Reward.sigmoid(one))),
      fc.nat({ max: 1 }).chain((step) => of((one) => Reward.from(step, one)))
    )
  }
})

type WhenOf = (model: Of<"RewardModel">, judge: ShelfPolicy) => Reward.When<ShelfReward>

/** A reward model itself for every other draw, which simulates fastest. */
export const composedRewards: fc.Arbitrary<Composed> = fc.oneof(fc.constant<Composed>((model) => model), composed)
