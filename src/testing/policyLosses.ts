/** Random points of the space of policy gradients. */
import fc from "fast-check"
import * as Advantage from "../../dsl/Advantage.ts"
import * as PolicyLoss from "../../dsl/PolicyLoss.ts"
import * as Reference from "../../dsl/Reference.ts"

const positive = fc.double({ min: 0.05, max: 1, noNaN: true })

export const clips: fc.Arbitrary<PolicyLoss.Clip> = fc.oneof(
  fc.constant(new PolicyLoss.Unclipped()),
  fc.record({ low: positive, high: positive }).map((fields) => new PolicyLoss.Clipped(fields)),
  fc.record({ low: positive, high: positive, bound: fc.double({ min: 2.1, max: 4, noNaN: true }) })
    .map((fields) => new PolicyLoss.DualClipped(fields)),
  fc.record({ positive, negative: positive }).map((fields) => new PolicyLoss.SoftGated(fields)),
  fc.record({ max: fc.double({ min: 1, max: 5, noNaN: true }) }).map((fields) => new PolicyLoss.DetachedWeight(fields))
)

const objectives: fc.Arbitrary<PolicyLoss.Objective> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      level: fc.constantFrom("token" as const, "sequence" as const, "sequence-mean" as const),
      clip: clips
    })
      .map((fields) => new PolicyLoss.Ratio(fields))
  },
  fc.constantFrom(new PolicyLoss.Likelihood(), new PolicyLoss.Contrastive(), new PolicyLoss.GammaWeighted({}))
)

const aggregations: fc.Arbitrary<PolicyLoss.Aggregation> = fc.constantFrom(
  new PolicyLoss.TokenMean(),
  new PolicyLoss.SequenceMean(),
  new PolicyLoss.FixedLength({}),
  new PolicyLoss.FixedLength({ length: 7 }),
  new PolicyLoss.SequenceSum()
)

const placements: fc.Arbitrary<PolicyLoss.KlPlacement> = fc.constantFrom(
  new PolicyLoss.KlInReward(),
  ...(["k2", "k3", "k3-corrected"] as const).map((estimator) => new PolicyLoss.KlInLoss({ estimator }))
)

export const policyLosses: fc.Arbitrary<PolicyLoss.PolicyLoss> = fc.record({
  objective: objectives,
  aggregation: aggregations,
  kl: placements,
  entropyCoef: fc.constantFrom(0, 0.01),
  importanceCap: fc.constantFrom(undefined, 2)
}).map(({ importanceCap, ...fields }) =>
  new PolicyLoss.PolicyLoss({ ...fields, ...(importanceCap === undefined ? {} : { importanceCap }) })
)

export const groupAdvantages: fc.Arbitrary<Advantage.GroupAdvantage> = fc.constantFrom(
  new Advantage.MonteCarlo(),
  new Advantage.GroupMean(),
  new Advantage.LeaveOneOut(),
  new Advantage.GroupStd({ ddof: 0, epsilon: 1e-8 }),
  new Advantage.GroupStd({ ddof: 1, epsilon: 1e-4 }),
  new Advantage.MaxNormalised()
)

/** Reference policies for stages of `steps` steps that move before the end. */
export const referencePolicies = (steps: number): fc.Arbitrary<Reference.ReferencePolicy> =>
  fc.oneof(
    fc.constant(new Reference.Frozen()),
    fc.integer({ min: 1, max: steps }).map((steps) => new Reference.ResetEvery({ steps })),
    fc.record({ rate: fc.double({ min: 0.01, max: 1, noNaN: true }), every: fc.integer({ min: 1, max: steps }) })
      .map((fields) => new Reference.MovingAverage(fields))
  )
