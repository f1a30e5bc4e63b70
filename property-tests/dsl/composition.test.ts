/** Pipelines as an algebra: connecting is composition, rounds are composition of the same body, and running respects both. */
import { Result } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Decontaminate,
  Deduplicate,
  Filter,
  Gold,
  Kl,
  Llama2Chat,
  Mix,
  Pipeline,
  Ppo,
  Recipe,
  RejectionSampling,
  RewardModeling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Split
} from "../../dsl/index.ts"
import { deduplicate } from "../../src/data/deduplicate.ts"
import { filter } from "../../src/data/filter.ts"
import type { DemonstrationRow } from "../../src/data/rows.ts"
import { problems } from "../../src/interpreters/check.ts"
import { klSpenders } from "../../src/interpreters/capsOf.ts"
import type { Event } from "../../src/store/runLog.ts"
import { made, rowsOf, store } from "../interpreters/worldly.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"

const base = Checkpoint.huggingFace("world", "anywhere")
const demonstrations = Source.demonstrations(Source.tales({ count: 16 }))
const prompts = Source.prompts(Source.tales({ count: 2 }))
const held = Source.prompts(Source.tales({ count: 2, split: "held" }))
const preferences = Source.preferences(Source.file("pairs.jsonl"))
const params = { batchSize: 4, learningRate: 1e-2 }
const reward = RewardModeling.make({ init: base, preferences }, params)

type Stage = (of: Artifact.Artifact<"Policy", "world">) => Artifact.Artifact<"Policy", "world">
type Data = (of: Artifact.Artifact<"Demonstrations">) => Artifact.Artifact<"Demonstrations">

/** One stage with its input open. */
const open = Pipeline.input("in", "Policy", "world")
const stages: fc.Arbitrary<Artifact.Any> = fc.record({
  seed: fc.nat({ max: 99 }),
  batchSize: fc.integer({ min: 1, max: 4 })
})
  .map(({ batchSize, seed }) => Sft.make({ base: open, demonstrations }, { ...params, batchSize, seed }))

/** `a` and then `b`: what comes out of `a` goes into `b`. */
const andThen = (a: Artifact.Any, b: Artifact.Any): Artifact.Any =>
  Pipeline.connect(b, { in: a } as never) as Artifact.Any

describe("invariant 42: composition", () => {
  it("is associative, with the open input as its identity on both sides", () => {
    fc.assert(
      fc.property(stages, stages, stages, (a, b, c) => {
        assert.strictEqual(andThen(andThen(a, b), c).id, andThen(a, andThen(b, c)).id)
        assert.strictEqual(andThen(open, a).id, a.id)
        assert.strictEqual(andThen(a, open).id, a.id)
      })
    )
  })

  it("of descriptions is composition of what they mean: for operations on data, of the functions themselves", async () => {
    type Rows = ReadonlyArray<DemonstrationRow>
    type Operation = readonly [described: Data, meant: (rows: Rows) => Rows]
    const operation = fc.oneof(
      fc.constantFrom("row" as const, "prompt" as const).map((by): Operation => [
        (of) => Deduplicate.make({ of }, { by }) as never,
        (rows) => deduplicate(rows, { by })
      ]),
      fc.integer({ min: 1, max: 2 }).map((maxWords): Operation => [
        (of) => Filter.make({ of }, { maxWords }) as never,
        (rows) => filter(rows, { maxWords })
      ])
    )
    const rows = await rowsOf<DemonstrationRow>(demonstrations)
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 4 }), async (chain) => {
        const described = chain.reduce<Artifact.Artifact<"Demonstrations">>((of, [op]) => op(of), demonstrations)
        const meant = chain.reduce((all, [, f]) => f(all), rows)
        if (meant.length > 0) assert.deepStrictEqual(await rowsOf(described), meant)
      }),
      { numRuns: 20 }
    )
  })

  it("of stages: a, and then b on what a made, is the whole in one go, and a is not made again", async () => {
    await fc.assert(
      fc.asyncProperty(stages, stages, async (x, y) => {
        const start = Sft.make({ base, demonstrations }, params)
        const [a, both] = [andThen(start, x), andThen(andThen(start, x), y)]
        const shared = await store()
        await made(a, { store: shared })
        const events: Array<Event> = []
        const inTwo = await made(both, { store: shared, onEvent: (event) => events.push(event) })
        assert.deepStrictEqual(inTwo, await made(both))
        assert.deepStrictEqual(
          events.flatMap((event) => event._tag === "Started" || event._tag === "Cached" ? [event._tag] : []),
          a.id === both.id ? ["Cached"] : ["Cached", "Started"]
        )
      }),
      { numRuns: 8 }
    )
  })

  it("depends on values alone: the same description built in another order, or read back from JSON, makes the same", async () => {
    const build = () => {
      const completions = Score.byJudge({
        completions: Sample.make({ policy: base, prompts }, { completionsPerPrompt: 3, maxNewTokens: 2 })
      }, { gold: Gold.tales })
      return Sft.make({ base, demonstrations: Select.make({ completions }, { rule: Select.perPrompt() }) }, params)
    }
    const [one, other] = [build(), build()]
    assert.notStrictEqual(one, other)
    assert.strictEqual(one.id, other.id)
    const read = Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(one)))
    const expected = await made(one)
    assert.deepStrictEqual(await made(other), expected)
    assert.deepStrictEqual(await made(read), expected)
  })

  it("building a description has no effects, and equal ones hash equally", () => {
    fc.assert(
      fc.property(pipelines({ steps: 12 }), ({ root }) => {
        assert.strictEqual(Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(root))).id, root.id)
      }),
      { numRuns: 20 }
    )
  })
})

describe("rounds", () => {
  const on: Stage = (of) => Sft.make({ base: of, demonstrations }, params) as never
  const start = Sft.make({ base, demonstrations }, { ...params, seed: 9 })

  it("are the body that many times, a chain when it goes on", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (m, n) => {
        const times = (of: Artifact.Any, count: number) =>
          Pipeline.repeat(of as typeof start, count, on as never) as Artifact.Any
        assert.strictEqual(times(start, 1).id, on(start as never).id)
        // So rounds compose: n after m are m + n.
        assert.strictEqual(times(times(start, m), n).id, times(start, m + n).id)
      })
    )
    assert.throws(() => Pipeline.repeat(start, 0, on as never), /rounds: 1 or more, not 0/)
  })

  it("tell the body its number and everything before it", () => {
    const seen: Array<readonly [number, number, boolean]> = []
    const all = Pipeline.rounds(start, 3, (previous, round, earlier) => {
      seen.push([round, earlier.length, earlier.at(-1) === previous])
      return Sft.make({ base: previous, demonstrations }, { ...params, seed: round })
    })
    assert.deepStrictEqual(seen, [[1, 1, true], [2, 2, true], [3, 3, true]])
    assert.lengthOf(all, 3)
  })

  it("invariant 45: one that restarts from base has it as weight parent and the sampler as data parent", () => {
    const restarted = Pipeline.repeat(start, 3, (previous) => {
      const { selected } = RejectionSampling.make({ policy: previous, prompts, reward }, {
        completionsPerPrompt: 2,
        maxNewTokens: 2,
        rule: Select.perPrompt()
      })
      return Sft.make({ base, demonstrations: selected }, params)
    })
    const trained = Artifact.lineage(restarted).filter(({ node }) =>
      node.op === "Sft" && node.wires["demonstrations"] !== demonstrations
    )
    assert.lengthOf(trained, 3)
    for (const { node } of trained) assert.strictEqual(node.wires["base"], base)
    const samplers = Artifact.lineage(restarted).filter(({ node }) => node.op === "Sample").map(({ node }) =>
      node.wires["policy"]!.id
    )
    assert.deepStrictEqual(samplers, [start.id, ...trained.slice(0, 2).map(({ id }) => id)])
    assert.deepStrictEqual(problems(restarted), [])
  })

  const rl = <P extends Artifact.Artifact<"BaseModel" | "Policy", "world", never, number>>(
    init: P,
    seed: number
  ) =>
    Ppo.make({
      init: init as Artifact.Artifact<"Policy", "world">,
      reference: base,
      reward,
      value: reward,
      prompts,
      held
    }, {
      allowance: Kl.mnatsPerSequence(100),
      beta: 0.1,
      steps: 1,
      batchSize: 2,
      learningRate: 1e-3,
      maxNewTokens: 2,
      seed
    })

  it("invariant 45: KL allotted counts again from base when a round restarts there, and adds up when it goes on", () => {
    const spent = (of: Artifact.Any) => klSpenders(of, base).reduce((sum, { mnats }) => sum + mnats, 0)
    const going = Pipeline.repeat(base, 4, (previous, round) => rl(previous, round))
    assert.strictEqual(spent(going), 400)
    const restarting = Pipeline.repeat(base, 4, (previous, round) => {
      const { selected } = RejectionSampling.make({ policy: previous, prompts, reward }, {
        completionsPerPrompt: 2,
        maxNewTokens: 2,
        rule: Select.perPrompt()
      })
      return rl(Sft.make({ base, demonstrations: selected }, params) as never, round)
    })
    assert.strictEqual(spent(restarting), 100)
    // What the compiler could not add up, check does.
    const over = Pipeline.cap(going, { kl: Kl.mnatsPerSequence<number>(399), from: base })
    assert.include(problems(over).map(({ problem }) => problem).join(), "KL over budget: 400 mnats allotted")
    assert.deepStrictEqual(problems(Pipeline.cap(going, { kl: Kl.mnatsPerSequence<number>(400), from: base })), [])
  })
})

describe("Llama 2 Chat", () => {
  const chat = Recipe.planned(Llama2Chat.llama2Chat)
  const all = Artifact.lineage(chat.policy)
  const ofOp = (op: string) => all.filter(({ node }) => node.op === op)

  it("has four rounds, every SFT from base, and two new reward models a version", () => {
    assert.lengthOf(ofOp("Sft"), 5)
    for (const { node } of ofOp("Sft")) assert.strictEqual(node.wires["base"]!.node.op, "Checkpoint")
    assert.lengthOf(ofOp("RewardModeling"), 10)
    assert.lengthOf(ofOp("Ppo"), 1)
  })

  it("takes the best answers of the latest policy, and of all for V4, sampling no policy twice", () => {
    const policies = ofOp("Score").map(({ node }) => node.wires["completions"]!.node.wires["policy"]!.id)
    assert.strictEqual(new Set(policies).size, 4)
    const pooled = ofOp("Mix").filter(({ node }) => node.kind === "Demonstrations").map(({ node }) =>
      Object.keys(node.wires)
    )
    assert.deepStrictEqual(pooled.map(({ length }) => length), [2, 2, 2, 5])
    assert.include(pooled.at(-1)!, "parts.v3")
  })

  it("fine-tunes the 7B on the answers of the 70B", () => {
    const large = chat.v4.node.wires
    const [small, ...others] = Artifact.lineage(chat.small).filter(({ node }) =>
      node.op === "Sft" && node.wires["base"]!.id !== large["base"]!.id
    )
    assert.isEmpty(others)
    assert.strictEqual(small!.node.wires["demonstrations"]!.id, large["demonstrations"]!.id)
  })
})

describe("invariant 44: what check says of a wrong composition", () => {
  const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 2, maxNewTokens: 2 })
  const says = (root: unknown, line: string) =>
    assert.include(problems(root as Artifact.Any).map(({ problem }) => problem).join("\n"), line)

  it("of a scorer without its reward model, or with one too many", () => {
    says(Score.byReward({ completions } as never), "Score.reward is missing: connect a RewardModel")
    says(
      Score.byJudge({ completions, reward } as never, { gold: Gold.tales }),
      "Score.reward is connected, but its scorer is JudgeScorer"
    )
    says(
      Select.make({ completions } as never, { rule: Select.perPrompt() }),
      "Select.completions needs scored completions"
    )
  })

  it("of a mixture of different kinds, or with shares that do not fit", () => {
    says(
      Mix.make({ a: prompts, b: demonstrations } as never),
      "its parts are of different kinds: Demonstrations, Prompts"
    )
    says(
      Mix.make({ a: prompts }, { take: { counts: { b: 1 } } as never }),
      "no share is given for its part a\nit has no part b; its parts are a"
    )
    says(Mix.make({} as never), "it has nothing to mix")
    says(Mix.make({ a: prompts }, { take: { counts: { a: 0 } } }), "must be a whole number above 0")
  })

  it("of a filter without a criterion, or with one that its rows cannot pass", () => {
    says(Filter.make({ of: prompts }, {}), "it has no criterion")
    says(Filter.make({ of: prompts }, { minScore: 1 }), "minScore needs scored completions, not Prompts")
    says(Filter.make({ of: prompts }, { minWords: 3, maxWords: 2 }), "minWords 3 is more than maxWords 2")
  })

  it("of prompts to evaluate on that were sampled to train on", async () => {
    const { Evaluate, Gate } = await import("../../dsl/index.ts")
    const { selected } = RejectionSampling.make({ policy: base, prompts, reward }, {
      completionsPerPrompt: 2,
      maxNewTokens: 2,
      rule: Select.perPrompt()
    })
    const tuned = Sft.make({ base, demonstrations: selected }, params)
    const line = (wire: string) => `its ${wire} are prompts that a model was trained on (sft-`
    says(Evaluate.make({ initial: base, prompts }, { tuned }, { gold: Gold.tales, maxNewTokens: 2 }), line("prompts"))
    const gate = { gold: Gold.tales, maxNewTokens: 2, otherwise: "fail" } as const
    says(
      Gate.make({ candidate: tuned, previous: base, held: prompts }, { ...gate, tolerance: { gold: 0 } }),
      line("held")
    )
    says(Gate.make({ candidate: tuned, previous: base, held }, { ...gate, tolerance: {} }), "it guards nothing")
    says(
      Gate.make({ candidate: tuned, previous: base, held }, { ...gate, tolerance: { kl: 1, proxy: 1 } }),
      "Gate.initial is missing: the guard kl needs the model that KL is measured from, e.g. initial: sft\nGate.reward is missing"
    )
  })

  it("of nothing, when it is right: split, decontaminated, deduplicated, mixed by weight", () => {
    const clean = Decontaminate.make({ of: Deduplicate.make({ of: prompts }), against: held }, { ngram: 8 })
    const [first, rest] = Split.make({ of: clean }, { fraction: 0.9 })
    const mixed = Mix.make({ first, rest, held }, { take: { weights: { first: 3, rest: 1, held: 1 }, count: 10 } })
    assert.deepStrictEqual(problems(mixed), [])
    assert.strictEqual(mixed.node.kind, "Prompts")
    assert.notStrictEqual(first.id, rest.id)
  })
})
