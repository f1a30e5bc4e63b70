/** `run` of a program: prepared once, resumed to the same bytes, its report about the run that was made. */
import { Effect, Exit, Fiber, Tracer } from "effect"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { build, type Definition } from "../../dsl/Definition.ts"
import { Sft, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { data } from "../../dsl/Wires.ts"
import { implement } from "../../src/outside/implementation.ts"
import { generate, ledger, run, type RunOptions, score } from "../../src/program/index.ts"
import type { Event } from "../../src/store/runLog.ts"
import { keel } from "../cli/keel.ts"
import { contents, folderIn, leftovers, runs, succeeded, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import * as Schema from "effect/Schema"

const folder = folders("program")
const reference = { backend: "reference" } as const

/** Runs it, and counts the spans of its effects. */
const counting = async (root: Artifact.Any, options: RunOptions) => {
  const spans = new Map<string, number>()
  const tracer = Tracer.make({
    span: (options) => {
      spans.set(options.name, (spans.get(options.name) ?? 0) + 1)
      return new Tracer.NativeSpan(options)
    }
  })
  const ran = await Effect.runPromise(Effect.withTracer(run(root as never, options), tracer))
  return { ran, spans }
}
const told = (at: string, file: string): any => JSON.parse(readFileSync(join(at, file), "utf8"))

describe("a run is prepared once", () => {
  let checks = 0
  class Same extends Schema.TaggedClass<Same>()("Same", { seed: Schema.Natural }) {}
  const definition = {
    op: "Same",
    schema: Same,
    wires: { rows: data("Demonstrations", "some demonstrations") },
    main: "rows",
    makes: () => ({ kind: "Demonstrations" as const, family: "" }),
    mistakes: () => {
      checks++
      return []
    }
  } as const satisfies Definition
  const same = implement(
    definition,
    (_, { rows }) =>
      Effect.succeed({ _tag: "Data" as const, dataset: { role: "Demonstrations" as const, rows: [...rows] } })
  )
  const rows = build(definition, { rows: Source.demonstrations(Source.tales({ count: 4 })) }, { seed: 0 }) as never
  const root: Artifact.Any = Sft.make({ base: tiny().base, demonstrations: rows }, {
    batchSize: 2,
    learningRate: 1e-3
  }) as never

  it("with one check and one plan, which its report shows", async () => {
    const out = join(folder(), "run")
    const { spans } = await counting(root, { ...reference, out, stages: [same] })
    assert.strictEqual(checks, 1)
    assert.deepStrictEqual([spans.get("prepare"), spans.get("plan")], [1, 1])
  })

  it(
    "for the micro-batches of its memory cap too: what is announced, planned, reported and spent is one thing",
    async () => {
      const { policy, rl } = tiny({ limits: { memory: 600 * 2 ** 10 } })
      const at = folder()
      const out = join(at, "run")
      const { spans } = await counting(policy, { backend: "wasm", out })
      assert.strictEqual(spans.get("prepare"), 1)
      // One of all stages; the others are of the stage that does not fit, each with half of what it did at once before.
      assert.isAtMost(spans.get("plan")!, 12)
      const planned = told(out, "planned.json").stages[label(rl)].memory
      assert.isAtMost(planned, 600 * 2 ** 10)
      const { spent } = told(out, "spending.json").stages.find(({ stage }: { stage: string }) => stage === label(rl))
      assert.approximately(spent.memory / planned, 1, 0.03)
      // Found again, the report says the same of it.
      mkdirSync(join(at, "again"))
      writeFileSync(join(at, "it.json"), toJson(policy))
      const { stderr } = await keel(["run", "it.json", "--out", "again/run", "--backend", "wasm"], at)
      const [, announced] = /: (\d+\.\d) KiB instead of/u.exec(stderr)!
      assert.strictEqual(announced, (planned / 1024).toFixed(1))
    },
    60_000
  )

  it("whatever plan an earlier run has left in its folder", async () => {
    const { base } = tiny()
    const out = join(folder(), "run")
    mkdirSync(out, { recursive: true })
    const stale = { generated: 7, trained: 7, flops: 7, memory: 7, prompts: 7, disk: { made: 7, most: 7 }, seconds: 7 }
    writeFileSync(join(out, "planned.json"), JSON.stringify({ stages: { [label(base)]: stale }, problem: "stale" }))
    await Effect.runPromise(run(base, { ...reference, out }))
    assert.isAbove(told(out, "planned.json").stages[label(base)].memory, 7)
    assert.notInclude(readFileSync(join(out, "report.md"), "utf8"), "stale")
  })

  it("and a finished stage holds no memory, whatever its cap", async () => {
    const at = folder()
    const [free, capped] = [tiny(), tiny({ limits: { memory: 300 * 2 ** 10 } })]
    await Effect.runPromise(run(free.policy, { ...reference, out: join(at, "free") }))
    const events: Array<string> = []
    const { model } = await Effect.runPromise(
      run(capped.policy, {
        ...reference,
        out: join(at, "capped"),
        onEvent: ({ _tag }) => Effect.sync(() => events.push(_tag))
      })
    )
    assert.deepStrictEqual(events, ["Cached"])
    assert.isTrue(existsSync(join(model, "model.safetensors")))
  }, 60_000)
})

describe("run of a program", () => {
  const { root, rl } = tiny({ steps: 6 })
  let expected: ReadonlyMap<string, string>
  beforeAll(async () => {
    const store = folder()
    succeeded(await runs(root, store))
    expected = contents(store)
  })

  it("that gets Ctrl-C stops between two steps with a checkpoint, and goes on", async () => {
    const [at, root] = [folder(), tiny({ steps: 12 }).root as Artifact.Any]
    let steps = 0
    const stop = ({ _tag, ...event }: Event) =>
      Effect.sync(() => {
        if (_tag !== "Step" || !("stage" in event && event.stage.startsWith("ppo-"))) return
        if (++steps === 2) process.listeners("SIGINT").at(-1)!("SIGINT")
      })
    const options = { ...reference, out: join(at, "run"), onEvent: stop }
    const exit = await Effect.runPromiseExit(run(root as never, options))
    assert.isTrue(Exit.hasInterrupts(exit))
    assert.strictEqual(steps, 2)
    const saved = leftovers(join(at, "store")).filter((path) => path.includes("ppo-"))
    assert.isTrue(saved.some((path) => path.endsWith("/step-2/state.json")), saved.join(" "))
    await Effect.runPromise(run(root as never, options))
    assert.strictEqual(steps, 12)
    assert.deepStrictEqual(process.listeners("SIGINT").filter(({ name }) => name === "stop"), [])
  })

  it("that was interrupted goes on in the same folder to the same weights", async () => {
    const at = folder()
    const out = join(at, "run")
    const until = (step: number) => {
      let stop = () => {}
      const onEvent = (event: Event) =>
        Effect.sync(() => {
          if (event._tag === "Step" && event.stage === label(rl) && event.step === step) stop()
        })
      const fiber = Effect.runFork(run(root, { ...reference, out, onEvent }))
      stop = () => fiber.interruptUnsafe()
      return Effect.runPromise(Fiber.await(fiber))
    }
    for (const step of [1, 4]) {
      assert.isTrue(Exit.isFailure(await until(step)))
      assert.include(readFileSync(join(out, "report.md"), "utf8"), "Not finished")
    }
    const { folder: where, report } = await Effect.runPromise(run(root, { ...reference, out }))
    assert.strictEqual(where, out)
    assert.deepStrictEqual(report!.models.map(({ name }) => name), ["base", "sft", "ppo"])
    assert.deepStrictEqual(contents(join(at, "store")), expected)
    assert.deepStrictEqual(leftovers(join(at, "store")), [])
    // The command line finds the same run.
    const { code, stdout } = await keel(["ledger", out, "--json"], at)
    assert.strictEqual(code, 0)
    const own = await Effect.runPromise(ledger(out))
    assert.isAbove(own.stages.flatMap(({ measured }) => measured).length, 0)
    assert.deepStrictEqual(JSON.parse(stdout), JSON.parse(JSON.stringify(own)))
  }, 60_000)

  it("says what is wrong in a tagged error of one line", async () => {
    const error = async <A, E>(effect: Effect.Effect<A, E>): Promise<E> => Effect.runPromise(Effect.flip(effect))
    const out = join(folder(), "run")
    await Effect.runPromise(run(tiny().base, { ...reference, out }))
    const other = await error(run(tiny({ context: 64 }).base, { ...reference, out }))
    const misspelt = await error(run(tiny().base, { ...reference, outt: out } as never))
    assert.match((misspelt as Error).message, /run: there is no option outt, only out, store, backend/u)
    const nowhere = await error(ledger(folder()))
    const absent = await error(generate("nowhere", ["a"]))
    assert.deepStrictEqual([other._tag, nowhere._tag, absent._tag], ["BadRunFolder", "BadRunFolder", "BadCheckpoint"])
    for (const { message } of [other, nowhere, absent]) assert.notInclude(message, "\n")
    const unread = await error(
      run(
        Sft.make({ base: tiny().base, demonstrations: Source.demonstrations(Source.file("nowhere.jsonl")) }, {
          batchSize: 2,
          learningRate: 1e-3
        }),
        { ...reference, out: join(folder(), "run") }
      )
    )
    assert.match(unread.message, /nowhere\.jsonl: /u)
  })
})

describe("a model in a folder", () => {
  const { base, reward } = tiny()
  let at: string
  const model = async (of: Artifact.Any) => join(await folderIn(at, of), "model")
  beforeAll(async () => {
    at = folder()
    succeeded(await runs(reward, at))
  })

  it("continues several prompts, each as it would alone from the same seed", async () => {
    const options = { ...reference, maxNewTokens: 5, seed: 3 }
    const [first, second] = await Effect.runPromise(generate(await model(base), ["a dog", "a girl"], options))
    assert.deepStrictEqual(await Effect.runPromise(generate(await model(base), ["a dog"], options)), [first])
    assert.isTrue(second!.text.startsWith("a girl"))
    assert.lengthOf(second!.logps, second!.ids.length)
  })

  it("scores completions, each by itself, as its training read them", async () => {
    const rows = [{ prompt: "a dog", completion: " ran" }, { prompt: "a girl", completion: " found a green ball" }]
    const both = await Effect.runPromise(score(await model(reward), rows, reference))
    const alone = await Effect.runPromise(score(await model(reward), rows.slice(1), reference))
    assert.approximately(alone[0]!, both[1]!, 1e-9)
    assert.notStrictEqual(both[0], both[1])
  })

  it("refuses a model of the other kind, options out of range, and a backend that is none", async () => {
    const error = async <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>): Promise<string> =>
      (await Effect.runPromise(Effect.flip(effect))).message
    assert.match(
      await error(score(await model(base), [], reference)),
      /no score head\. Give the folder of a reward model\./u
    )
    assert.match(
      await error(generate(await model(reward), ["a dog"], reference)),
      /reward model .* Give the folder of a policy/u
    )
    const wrong = { ...reference, temperature: -1, topP: 2, topK: 0.5, maxNewTokens: 0 }
    const said = await error(generate(await model(base), ["a dog"], wrong))
    for (const name of ["temperature", "topP", "topK", "maxNewTokens"]) assert.include(said, name)
    assert.match(
      await error(generate(await model(base), ["a dog"], { backend: "cuda" as never })),
      /only auto, native, wasm/u
    )
  })
})
