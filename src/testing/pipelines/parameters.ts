/** Parameters that many operations share: small enough to simulate, often left out so that defaults are met too. */
import fc from "fast-check"
import * as Gold from "../../../dsl/Gold.ts"
import * as Lora from "../../../dsl/Lora.ts"

export const seed = fc.nat({ max: 2 ** 31 - 1 })
export const index = fc.nat({ max: 999 })
export const count = fc.integer({ min: 4, max: 12 })
export const text = fc.string({ minLength: 1, maxLength: 8, unit: "binary" })
export const rate = fc.double({ min: 1e-6, max: 1e-3, noNaN: true })
export const gold = fc.constantFrom<Gold.Gold>(Gold.tales, Gold.stories)
export const maxNewTokens = fc.integer({ min: 1, max: 4 })
export const batchSize = fc.integer({ min: 1, max: 4 })
export const measureSamples = fc.integer({ min: 2, max: 4 })
/** Milli-nats per sequence. */
export const allowance = fc.integer({ min: 1, max: 40_000 })

/** Some of the fields, often few of them, so that defaults are met too. */
export const some = <A extends object>(fields: { readonly [K in keyof A]: fc.Arbitrary<A[K]> }) =>
  fc.record<A, never>(fields, { requiredKeys: [] })

const optimising = {
  adamBeta1: fc.double({ min: 0, max: 0.99, noNaN: true }),
  adamBeta2: fc.double({ min: 0, max: 0.99, noNaN: true }),
  adamEpsilon: fc.double({ min: 1e-9, max: 1e-6, noNaN: true }),
  weightDecay: fc.double({ min: 0, max: 0.1, noNaN: true }),
  maxGradNorm: fc.double({ min: 0.1, max: 10, noNaN: true }),
  checkpointEvery: fc.integer({ min: 1, max: 5 }),
  precision: fc.constantFrom("f32" as const, "bf16" as const),
  recompute: fc.boolean(),
  seed
}

const share = fc.double({ min: 0, max: 1, noNaN: true })
/** The fields of a schedule that go together. */
const scheduled = fc.oneof(
  some({
    schedule: fc.constantFrom("constant" as const, "linear" as const, "cosine" as const),
    warmupSteps: fc.nat({ max: 1 })
  }),
  fc.record({
    schedule: fc.constantFrom("linear" as const, "cosine" as const),
    warmupRatio: fc.double({ min: 0.01, max: 1, noNaN: true }),
    warmupFrom: share,
    minLearningRateRatio: share
  })
)
const withSchedule = <A extends object>(fields: fc.Arbitrary<A>) =>
  fc.tuple(fields, scheduled).map(([own, of]) => ({ ...own, ...of }))

/** Pretraining has no weights to adapt. */
export const pretraining = withSchedule(some(optimising))

export const training = withSchedule(some({
  ...optimising,
  lora: fc.record({
    rank: fc.integer({ min: 1, max: 4 }),
    alpha: fc.constantFrom(1, 16),
    targetModules: fc.constantFrom(Lora.allLinear, ["q_proj", "v_proj"] as const)
  })
}))
