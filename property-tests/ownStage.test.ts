/** The user's stage of `examples/13-own-stage.ts`, tested as a user would: by the laws of `keel/testing`. */
import { Effect } from "effect"
import fc from "fast-check"
import { Gold, Grpo, Kl, Pipeline, Source, Verifier } from "keel"
import { simulate } from "keel/interpreters"
import {
  capped,
  exact,
  laws,
  numbers,
  onShelf,
  pick,
  pipelines,
  ragged,
  type ShelfStep,
  steps,
  stocked,
  world
} from "keel/testing"
import { assert, describe, it } from "vitest"
import example, {
  aboutAsLong,
  definition,
  make,
  rwr,
  rwrLoss,
  scorer,
  sft,
  weighted
} from "../examples/13-own-stage.ts"

const [definitions, stages] = [[definition], [rwr]]

/** A step of the user's own operation, for pipelines that have it between Keel's. */
const rwrs: fc.Arbitrary<ShelfStep> = fc.record({
  family: fc.constantFrom("tales", "other"),
  index: fc.nat({ max: 99 }),
  slack: fc.constantFrom(0, 500),
  allowance: fc.integer({ min: 1, max: 40_000 }),
  reward: steps.RewardModel,
  beta: fc.double({ min: 0.1, max: 5, noNaN: true }),
  batchSize: fc.integer({ min: 1, max: 3 }),
  groupSize: fc.integer({ min: 2, max: 3 })
}).map(({ allowance, family, index, reward, slack, ...params }) => (shelf) => {
  reward(shelf)
  const of = [...shelf.rewards.keys()].find((name) => shelf.rewards.get(name)!.length > 0) ?? stocked(shelf, family)
  const policies = onShelf(shelf.policies, of)
  policies.push(capped(
    make({
      init: pick(policies, index),
      reward: pick(shelf.rewards.get(of)!, index),
      prompts: pick(shelf.prompts, index),
      held: pick(shelf.held, index)
    }, {
      ...params,
      allowance: Kl.mnatsPerSequence(allowance),
      steps: 1,
      learningRate: 1e-3,
      maxNewTokens: 3,
      measureSamples: 2
    }),
    { index, slack }
  ))
})

const drawn = (size: number) => pipelines({ steps: size, own: Array.from({ length: 6 }, () => rwrs) })

describe("the description", () => {
  it("is drawn", () => {
    const nodes = fc.sample(drawn(12), { numRuns: 30, seed: 1 }).map(({ root }) => Pipeline.toJson(root))
    assert.isAbove(nodes.filter((json) => json.includes('"op":"Rwr"')).length, 3)
  })
  it("has no mistakes", () => laws.wellTyped(drawn(10), { numRuns: 20 }))
  it("is the same after JSON", () => laws.jsonRoundTrip(drawn(10), { definitions, numRuns: 20 }))
  it("is equal exactly when its id is", () => laws.identity(drawn(10), { definitions, numRuns: 20 }))
})

describe("the loss", () => {
  const groups = fc.record({
    groupSize: fc.integer({ min: 2, max: 3 }),
    beta: fc.double({ min: 0.1, max: 2, noNaN: true })
  })
    .chain((options) =>
      ragged(-3, 0, "logps").filter(({ offsets }) => (offsets.length - 1) % options.groupSize === 0)
        .chain((rows) => numbers(-2, 2, rows.offsets.length - 1).map((rewards) => ({ ...rows, ...options, rewards })))
    )
  const loss = (
    inputs: {
      readonly rewards: Float64Array
      readonly offsets: Int32Array
      readonly beta: number
      readonly groupSize: number
    },
    logps: Float64Array
  ) => rwrLoss(logps, inputs.rewards, inputs.offsets, inputs)

  it("has the gradient of its differences", () => laws.gradient(groups, ({ logps }) => logps, loss, { numRuns: 50 }))
  it("hides no NaN", () => laws.failsClosed(groups, ({ logps }) => logps, loss, { numRuns: 50 }))
})

it("the reward is pure, total and within [−1, 0]", () => {
  laws.reward((prompt, completion) => aboutAsLong.score(prompt, completion, { words: 5 }), {
    bounds: { min: -1, max: 0 }
  })
  laws.reward((prompt, completion) => aboutAsLong.score(prompt, completion, { words: -1 }), {
    bounds: { min: -1, max: 0 }
  })
  assert.strictEqual(aboutAsLong.score("", "a b c d e", { words: 5 }), 0)
})

describe("the stage", () => {
  it("simulates anywhere in a pipeline, within its caps", () =>
    laws.simulates(drawn(6), { stages, numRuns: 8, seed: 3 }))

  const data = {
    prompts: Source.prompts(Source.tales({ count: 8 })),
    held: Source.prompts(Source.tales({ count: 8, split: "held" }))
  }
  const params = {
    allowance: Kl.mnatsPerSequence(20_000),
    steps: 5,
    batchSize: 8,
    groupSize: 4,
    learningRate: 1e-3,
    checkpointEvery: 2,
    measureEvery: 2,
    measureSamples: 16,
    maxNewTokens: 3
  }
  const short = make({ init: sft, reward: scorer, ...data }, { ...params, beta: 0.5 })
  const root = Pipeline.cap(short, { kl: Kl.mnatsPerSequence(20_000), from: sft })

  it("is observed, as GRPO is: gold and its reward model, from the start on", async () => {
    const observe = { gold: Gold.tales }
    const own = make({ init: sft, reward: scorer, ...data }, { ...params, beta: 0.5, observe })
    const grpo = Grpo.make({ init: sft, reward: scorer, ...data }, { ...params, beta: 0, observe })
    const capped = (of: typeof own | typeof grpo) => Pipeline.cap(of, { kl: Kl.mnatsPerSequence(20_000), from: sft })
    const seen = async (of: ReturnType<typeof capped>) =>
      (await Effect.runPromise(simulate(of, { stages }))).events.flatMap((event) =>
        event._tag === "Observed" ? [[event.step, ...Object.keys(event.observed).sort()]] : []
      )
    const [mine, theirs] = [await seen(capped(own)), await seen(capped(grpo))]
    assert.deepStrictEqual(mine, theirs)
    assert.deepStrictEqual(mine.map(([step]) => step), [0, 2, 4, 5])
    assert.includeMembers(mine[0]!, ["gold", "proxy"])
  })

  it("goes back to where it started when its cap rolls back and nothing after that was within, as GRPO does", async () => {
    const far = { ...params, allowance: Kl.mnatsPerSequence(1), learningRate: 0.01, measureEvery: 5 }
    const own = make({ init: sft, reward: scorer, ...data }, { ...far, beta: 0.1 })
    const grpo = Grpo.make({ init: sft, ...data }, { ...far, beta: 0, verifiers: [Verifier.format(["a"])] })
    for (const  of of[own, grpo]) {
      const root = Pipeline.cap(of as typeof own, { kl: Kl.mnatsPerSequence(1), from: sft, whenSpent: "rollback" })
      const { events } = await Effect.runPromise(simulate(root, { stages }))
      const over = events.flatMap((event) => event._tag === "OverBudget" ? [event] : [])
      assert.deepStrictEqual(over.map(({ kept, step }) => [step, kept?.step]), [[5, 0]])
    }
  })

  it("goes on where it was stopped, bit for bit", () => laws.resumes(root, short, { stages, stops: [1, 4] }))
  it("is reproducible", () => laws.reproducible(root, short, { stages }))
  it("improves the reward model's score, exactly", () =>
    laws.improves(
      root,
      { from: sft, to: short },
      (world, policy, weightsOf) =>
        exact.expectedReward(exact.logDistribution(world, policy), exact.scoreTable(world, weightsOf(scorer))).mean,
      {
        stages,
        worlds: [
          world({ prompts: 3, vocab: 4, horizon: 3, seed: "a" }),
          world({ prompts: 2, vocab: 3, horizon: 2, seed: "b" })
        ]
      }
    ))
})

it("is in the example", () => {
  assert.include(Pipeline.toJson(example), '"op":"Rwr"')
  assert.include(Pipeline.toJson(example), weighted.id)
})
