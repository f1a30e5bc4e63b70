/** Operations and rewards from outside Keel in each of its interpreters, what is missing or misnamed among them included. */
import { Effect, Exit, Result, Schema } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import { build, type Definition } from "../../dsl/Definition.ts"
import { Compare, Evaluate, Gold, Interpreter, Pipeline, Render, Sft, Source } from "../../dsl/index.ts"
import { problems } from "../../src/interpreters/check.ts"
import { lackingExtensions } from "../../src/interpreters/extensions.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { prepare } from "../../src/planning/prepare.ts"
import { implement } from "../../src/outside/implementation.ts"
import { reward } from "../../src/rewards/own.ts"
import { data, model, optional } from "../../dsl/Wires.ts"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { folders } from "../store/faultyFileSystem.ts"
import { engine, tiny, train } from "./tiny.ts"

const folder = folders("extensions")

/** Joins two sets of demonstrations, or fails when there are more than `most`. */
class Join extends Schema.TaggedClass<Join>()("Join", { most: Schema.Int, seed: Schema.Natural }) {}
class TooMany extends Schema.TaggedError<TooMany>()("TooMany", { rows: Schema.Number }) {
  override get message() {
    return `${this.rows} rows are too many: raise most`
  }
}
const wires = {
  first: data("Demonstrations", "some demonstrations"),
  second: optional(data("Demonstrations", "more of them")),
  reader: optional(model(["BaseModel", "Policy"], "whoever reads them"))
} as const
const definition = {
  op: "Join",
  schema: Join,
  wires,
  main: "reader",
  makes: () => ({ kind: "Demonstrations" as const, family: "" }),
  mistakes: ({ most }: Readonly<Record<string, any>>, connected: object) =>
    most < 0 ? [`most ${most} leaves nothing of ${Object.keys(connected).length} inputs`] : []
} as const satisfies Definition
const received: Array<ReadonlyArray<string>> = []
const join = implement(definition, ({ most }, { first, reader, second }, scope) =>
  Effect.suspend(() => {
    received.push([`${first.length}`, `${second?.length}`, `${reader?.config !== undefined}`, scope.label])
    const rows = [...first, ...second ?? []]
    return rows.length > most
      ? Effect.fail(new TooMany({ rows: rows.length }))
      : Effect.succeed({ _tag: "Data" as const, dataset: { role: "Demonstrations" as const, rows } })
  }))

const demonstrations = (count: number) => Source.demonstrations(Source.tales({ count }))
const { base, prompts } = tiny()
const joined = (most: number, more: object = {}) =>
  build(definition, { first: demonstrations(3), second: demonstrations(4), reader: base }, {
    most,
    seed: 0,
    ...more
  }) as
    & Artifact.Artifact<"Demonstrations", "">
    & Artifact.Any
const pipeline = (most = 100): Artifact.Any =>
  Sft.make({ base, demonstrations: joined(most) }, { batchSize: 4, learningRate: 1e-3 }) as Artifact.Any

const failure = <A, E>(exit: Exit.Exit<A, E>): E => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag === "Fail") return reason.error
  throw new Error(String(exit))
}

describe("an operation from outside", () => {
  it("is described like any other: JSON, text, overrides, seeds", () => {
    const root = pipeline()
    const json = Pipeline.toJson(root)
    const refused = Pipeline.fromJson(json)
    assert.isTrue(Result.isFailure(refused))
    if (Result.isFailure(refused)) {
      assert.match(refused.failure.message, /node Join \w{8}: no such operation; there are Input,/u)
    }
    const back = Result.getOrThrow(Pipeline.fromJson(json, [definition]))
    assert.strictEqual(back.id, root.id)
    assert.deepStrictEqual(problems(back), [])
    assert.include(Render.text(root), "→ Demonstrations   ← first: source-")
    const set = Result.getOrThrow(Pipeline.set(back, "join.most", 2))
    assert.strictEqual(set.id, pipeline(2).id)
    assert.include(Pipeline.toJson(Pipeline.seed(root, 7)), '"most":100,"seed":7')
    const wrong = Pipeline.fromJson(json.replace('"most":100', '"most":"all"'), [definition])
    assert.isTrue(Result.isFailure(wrong))
  })

  it("is judged by its schema, its wires and its own mistakes", () => {
    const of = (root: Artifact.Any) => problems(root).map(({ problem }) => problem)
    assert.deepStrictEqual(of(joined(-1)), ["most -1 leaves nothing of 3 inputs"])
    assert.match(of(joined(1, { more: true }))[0]!, /more/u)
    assert.deepStrictEqual(of(build(definition, { first: prompts }, { most: 1, seed: 0 })), [
      "Join.first needs some demonstrations, not a Prompts"
    ])
  })

  it("may not have a name that is taken", () => {
    const mine = { ...definition, op: "Sft" }
    const taken = build(mine, { first: demonstrations(3) }, { most: 1, seed: 0 })
    assert.include(
      problems(taken).map(({ problem }) => problem).join("\n"),
      "two operations are called Sft, and one is Keel's"
    )
    const twin = build({ ...definition }, { first: joined(100) }, { most: 100, seed: 0 })
    assert.deepStrictEqual(problems(twin).map(({ problem }) => problem), [
      "two operations are called Join: give yours another name"
    ])
  })

  it("gets what is on its wires, in simulation and for real, and its result is found again", async () => {
    received.length = 0
    const { policies } = await Effect.runPromise(simulate(pipeline(), { stages: [join] }))
    assert.strictEqual(policies.length, 2)
    assert.deepStrictEqual(received[0]!.slice(2), ["true", Render.label(joined(100))])
    const store = folder()
    const events: Array<string> = []
    const once = () =>
      Effect.runPromise(
        train(pipeline(), {
          engine: engine(),
          store,
          stages: [join],
          onEvent: (event) => Effect.sync(() => void events.push(event._tag))
        }).pipe(Effect.provide(NodeServices.layer))
      )
    const made = await once()
    assert.strictEqual(made._tag, "Model")
    assert.deepStrictEqual(received[1], ["3", "4", "true", Render.label(joined(100))])
    events.length = 0
    await once()
    assert.deepStrictEqual(events, ["Cached"])
    assert.lengthOf(received, 2)
  })

  it("fails with its own typed error", async () => {
    const error = failure(await Effect.runPromiseExit(simulate(pipeline(0), { stages: [join] })))
    assert.strictEqual(error._tag, "TooMany")
    assert.match(error.message, /raise most/u)
  })

  it("without its implementation is refused before anything is made", async () => {
    const told: Array<string> = []
    const error = failure(await Effect.runPromiseExit(simulate(pipeline(), { onEvent: ({ _tag }) => told.push(_tag) })))
    assert.strictEqual(error._tag, "Refused")
    assert.match(
      error.message,
      /join-\w{8}: the stage Join comes from outside Keel and has no implementation here: pass/u
    )
    assert.deepStrictEqual(told, [])
  })
})

describe("a reward from outside", () => {
  const gold = Gold.own("Longest", { unit: "letters" })
  const compared: Artifact.Any = Compare.make({ policy: base, prompts }, { gold, maxNewTokens: 4 })
  const on = (store: string, rewards: ReadonlyArray<ReturnType<typeof reward>>, root = compared) =>
    train(root, { engine: engine(), store, rewards, onEvent: () => Effect.void }).pipe(
      Effect.provide(NodeServices.layer)
    )

  it("is given its parameters where a checker of Keel's would stand", async () => {
    const seen: Array<unknown> = []
    const longest = reward("Longest", (_, completion, params) => {
      seen.push(params["unit"])
      return completion.length
    })
    const made = await Effect.runPromise(on(folder(), [longest]))
    assert.isTrue(made._tag === "Data" && made.dataset.role === "Preferences")
    assert.deepStrictEqual([...new Set(seen)], ["letters"])
  })

  it("that throws or gives no finite number ends its stage in an error with its name and a remedy", async () => {
    const cases = [
      [() => NaN, "gave NaN for the completion"],
      [() => undefined as never, "gave undefined for the completion"],
      [() => assert.fail("never"), "threw AssertionError: never"]
    ] as const
    for (const [score, said] of cases) {
      const error = failure(await Effect.runPromiseExit(on(folder(), [reward("Longest", score)])))
      assert.strictEqual(error._tag, "BrokenExtension")
      assert.match(error.message, /^compare-[0-9a-f]{8}: .*\. Mend its function \(laws\.reward of keel\/testing/u)
      assert.include(error.message, `: the reward Longest ${said}`)
    }
    const report: Artifact.Any = Evaluate.make({ initial: base, prompts }, { base }, { gold, maxNewTokens: 4 })
    const exit = await Effect.runPromiseExit(on(folder(), [reward("Longest", () => NaN)], report))
    assert.match(failure(exit).message, /^evaluate-[0-9a-f]{8}: the reward Longest gave NaN .*Mend its function/u)
  })

  it("that nobody implements is refused, and needs none in simulation", async () => {
    const error = failure(await Effect.runPromiseExit(on(folder(), [])))
    assert.match(String(error.message), /the reward Longest comes from outside Keel and has no implementation here/u)
    await Effect.runPromise(simulate(compared))
  })
})

it("all that nobody implements is named at once, with every other mistake, by check and by run", async () => {
  const observed = tiny({ ppo: { observe: { gold: Gold.own("Watched") } } })
  const root: Artifact.Any = Evaluate.make(
    { initial: Sft.make({ base, demonstrations: joined(-1) }, { batchSize: 4, learningRate: 1e-3 }), prompts },
    { ppo: observed.policy },
    { gold: Gold.own("Asked"), maxNewTokens: 4 }
  )
  const error = failure(
    await Effect.runPromiseExit(
      Effect.provide(prepare(root, { engine: engine() }), NodeServices.layer)
    )
  )
  const lacking = lackingExtensions(root, {})
  assert.deepStrictEqual(lacking.map(({ problem }) => problem.split(" comes")[0]), [
    "the stage Join",
    "the reward Watched",
    "the reward Asked"
  ])
  assert(error._tag === "Refused")
  assert.deepStrictEqual(error.problems, [...problems(root), ...lacking])
  assert.include(error.message, "most -1 leaves nothing of 3 inputs")
})

it("a fold gives each case its parameters and what became of its inputs, and throws for what it has no case for", () => {
  const one = (_: object, { inputs }: Interpreter.At<number>) =>
    1 + Object.values(inputs).reduce((sum, n) => sum + n, 0)
  const none = (): number => 0
  const cases: Interpreter.Cases<number> = new Proxy({} as Interpreter.Cases<number>, {
    get: (_, op) => op === "Source" || op === "Pretrain" ? none : op === "Join" ? undefined : one
  })
  const sft = Sft.make({ base, demonstrations: demonstrations(2) }, { batchSize: 4, learningRate: 1e-3 })
  assert.strictEqual(Interpreter.fold<number, typeof sft>(sft, cases), 1)
  assert.throws(() => Interpreter.fold<number, Artifact.Any>(pipeline(), cases), /no case for Join/u)
})
