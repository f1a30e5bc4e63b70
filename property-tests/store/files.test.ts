import { Effect, Exit, FileSystem, Layer, Option } from "effect"
import fc from "fast-check"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type { Optimizer, Weights } from "../../src/engine/engine.ts"
import * as FileStore from "../../src/store/files.ts"
import type { Made } from "../../src/store/made.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { estimate } from "../../src/store/report.ts"
import { type Snapshot, Store } from "../../src/store/store.ts"
import { randomWeights, variants } from "../engine/transformer/tinyModels.ts"
import { type Faults, faulty, folders, unsynced } from "./faultyFileSystem.ts"

const folder = folders("store")

const model = (seed: string): Weights => {
  const weights = randomWeights(variants["Llama, GQA, tied"]!, seed)
  return { ...weights, config: { ...weights.config, dtype: "float64" } }
}
const moments = (seed: string, step: number): Optimizer => ({ step, tensors: model(seed).tensors })

const snapshot = (step: number): Snapshot => ({
  step,
  models: { policy: { weights: model(`at ${step}`), optimizer: moments(`moments at ${step}`, 2 * step) } },
  state: { tokens: step, stage: { kept: [null, "x"] } }
})

const makes: ReadonlyArray<Made> = [
  { _tag: "Model", weights: model("made") },
  { _tag: "Data", dataset: { role: "Prompts", rows: [{ prompt: "a\nb ü" }, { prompt: "" }] } },
  { _tag: "Data", dataset: { role: "Text", rows: [{ text: "a b" }], vocabulary: ["c", "d"] } },
  { _tag: "Data", dataset: { role: "Text", rows: [{ text: "a b" }], vocabulary: [] } },
  {
    _tag: "Data",
    dataset: {
      role: "Preferences",
      rows: [{ prompt: "p", chosen: "c", rejected: "r", margin: 0.5, ended: { chosen: true, rejected: false } }]
    }
  },
  {
    _tag: "Report",
    report: {
      models: [{
        name: "m",
        gold: estimate([1, 2, 4]),
        proxy: null,
        // One prompt has no standard error.
        kl: estimate([0.25]),
        length: estimate([3, 3]),
        finished: 1,
        completions: ["x"]
      }],
      rewardAccuracy: null,
      prompts: ["p"],
      goldGain: [{ from: "a", to: "b", difference: estimate([1, -1]) }]
    }
  }
]

type Disk = Layer.Layer<FileSystem.FileSystem>
const using = <A, E>(at: string, effect: Effect.Effect<A, E, Store>, disk: Disk = unsynced) =>
  Effect.runPromiseExit(effect.pipe(Effect.provide(FileStore.layer(at).pipe(Layer.provide(disk)))))

const value = <A, E>(exit: Exit.Exit<A, E>): A => {
  if (Exit.isSuccess(exit)) return exit.value
  throw new Error(String(exit.cause))
}
const failure = <A, E>(exit: Exit.Exit<A, E>): E => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag !== "Fail") throw new Error(`no typed failure: ${JSON.stringify(exit)}`)
  return reason.error
}

/** Everything under a folder, by path. */
const files = (at: string): ReadonlyArray<string> =>
  existsSync(at)
    ? readdirSync(at, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) =>
      join(f.parentPath, f.name)
    )
    : []

const find = (key: string) => Effect.flatMap(Store, (store) => store.find(key, "n"))
const finish = (key: string, made: Made) => Effect.flatMap(Store, (store) => store.finish(key, "n", made))
/** As a run that is resumed asks: first for the resources spent. */
const latest = Effect.flatMap(Store, (store) => Effect.andThen(store.spent("key", "n"), store.latest("key", "n")))
const save = (of: Snapshot) => Effect.flatMap(Store, (store) => store.save("key", "n", of))

describe("the store on disk", () => {
  it("answers like the store in memory, whatever is asked of it in whatever order", async () => {
    const command = fc.oneof(
      fc.record({
        op: fc.constant("finish" as const),
        key: fc.constantFrom("one", "two"),
        made: fc.nat(makes.length - 1)
      }),
      fc.record({ op: fc.constant("save" as const), key: fc.constantFrom("one", "two"), step: fc.nat(3) }),
      fc.record({ op: fc.constant("keep" as const), key: fc.constantFrom("one", "two"), step: fc.nat(3) }),
      fc.record({
        op: fc.constantFrom("find" as const, "latest" as const),
        key: fc.constantFrom("one", "two", "three")
      })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 12 }), async (commands) => {
        const program = Effect.gen(function*() {
          const store = yield* Store
          const answers: Array<unknown> = []
          for (const c of commands) {
            if (c.op === "finish") yield* store.finish(c.key, "n", makes[c.made]!)
            else if (c.op === "save") yield* store.save(c.key, "n", snapshot(c.step))
            else if (c.op === "keep") yield* store.keep(c.key, "n", "within-cap", model(`kept ${c.step}`))
            else if (c.op === "latest") answers.push(yield* store.latest(c.key, "n"))
            else answers.push(yield* store.has(c.key, "n"), yield* store.find(c.key, "n"))
          }
          return answers
        })
        const onDisk = value(await using(folder(), program))
        const inMemory = await Effect.runPromise(Effect.provide(program, MemoryStore.layer))
        assert.deepStrictEqual(onDisk, inMemory)
      }),
      { numRuns: 25, seed: 7 }
    )
  })

  it("keeps what it made in files that another process finds, and no trace of the way there", async () => {
    for (const [i, made] of makes.entries()) {
      const at = folder()
      value(await using(at, Effect.andThen(save(snapshot(1)), finish("key", made))))
      assert.deepStrictEqual(value(await using(at, find("key"))), Option.some(made), `${i}`)
      assert.deepStrictEqual(files(at).filter((path) => path.includes("partial")), [])
    }
  })

  it("does not take a node of another key with the same beginning for its own", async () => {
    const at = folder()
    value(await using(at, finish("0123456789abcdef-a", makes[0]!)))
    const error = failure(await using(at, find("0123456789abcdef-b")))
    assert.strictEqual(error._tag, "StoreDamaged")
    assert.include(error.message, "another node")
  })

  it("calls every damaged or missing file by name", async () => {
    for (const made of makes) {
      const at = folder()
      value(await using(at, finish("key", made)))
      for (const path of files(at)) {
        const before = readFileSync(path)
        if (before.length > 1) {
          truncateSync(path, before.length >> 1)
          const error = failure(await using(at, find("key")))
          assert.strictEqual(error._tag, "StoreDamaged", path)
          assert.include(error.message, `Remove ${join(at, "n-key")}; its contents will be made again.`)
        }
        rmSync(path)
        assert.strictEqual(failure(await using(at, find("key")))._tag, "StoreDamaged", path)
        writeFileSync(path, before)
      }
      assert.deepStrictEqual(value(await using(at, find("key"))), Option.some(made))
    }
    const at = folder()
    value(await using(at, save(snapshot(3))))
    for (const path of files(at)) {
      const before = readFileSync(path)
      truncateSync(path, before.length >> 1)
      assert.strictEqual(failure(await using(at, latest))._tag, "StoreDamaged", path)
      rmSync(path)
      assert.strictEqual(failure(await using(at, latest))._tag, "StoreDamaged", path)
      writeFileSync(path, before)
    }
    assert.deepStrictEqual(value(await using(at, latest)), Option.some(snapshot(3)))
  })

  it.skipIf(process.platform === "win32")("waits for no pipe in the place of a file", async () => {
    const at = folder()
    value(await using(at, finish("key", makes[0]!)))
    value(await using(at, Effect.flatMap(Store, (store) => store.save("other", "n", snapshot(3)))))
    const other = Effect.flatMap(Store, (store) => store.latest("other", "n"))
    for (const path of files(at)) {
      const before = readFileSync(path)
      rmSync(path)
      execFileSync("mkfifo", [path])
      const error = failure(await using(at, Effect.andThen(find("key"), other)))
      assert.strictEqual(error._tag, "StoreDamaged", path)
      rmSync(path)
      writeFileSync(path, before)
    }
  })

  const off = (after: number): Faults => ({ kind: "crash", after, count: 0 })

  /** What `read` says after a crash within `write`, for every place where it can happen, and after a second try. */
  const crashes = async <A>(
    before: Effect.Effect<unknown, unknown, Store>,
    write: Effect.Effect<unknown, unknown, Store>,
    read: Effect.Effect<A, unknown, Store>,
    allowed: ReadonlyArray<A>,
    after: A
  ) => {
    for (let n = 0;; n++) {
      const at = folder()
      value(await using(at, before))
      const faults = off(n)
      const exit = await using(at, write, faulty(faults))
      const found = value(await using(at, read))
      if (faults.count <= n) {
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(found, after)
        return n
      }
      assert.isTrue(
        allowed.some((one) => isEqual(one, found)),
        `after ${n} changes of the disk: ${JSON.stringify(found)}`
      )
      value(await using(at, write))
      assert.deepStrictEqual(value(await using(at, read)), after, `the second try after ${n} changes`)
    }
  }
  const isEqual = (a: unknown, b: unknown): boolean => {
    try {
      assert.deepStrictEqual(a, b)
      return true
    } catch {
      return false
    }
  }

  it("has the old or the new checkpoint after a crash at any moment of saving, the same step again included", async () => {
    const [old, next] = [Option.some(snapshot(1)), Option.some(snapshot(2))]
    const n = await crashes(save(snapshot(1)), save(snapshot(2)), latest, [old, next], next)
    assert.isAbove(n, 10)
    const again = { ...snapshot(1), state: "again" }
    await crashes(save(snapshot(1)), save(again), latest, [old, Option.some(again)], Option.some(again))
    await crashes(Effect.void, save(snapshot(2)), latest, [Option.none(), next], next)
    // Nothing was lost by the crash of a crash either.
    const twice = Effect.andThen(Effect.exit(save(snapshot(2))), save(snapshot(3)))
    await crashes(save(snapshot(1)), twice, latest, [old, next, Option.some(snapshot(3))], Option.some(snapshot(3)))
  })

  it("is finished or goes on from its checkpoint after a crash at any moment of finishing", async () => {
    const state = Effect.all([find("key"), latest])
    for (const made of makes.slice(0, 2)) {
      const done = Option.some(made)
      await crashes(
        save(snapshot(1)),
        finish("key", made),
        Effect.map(state, ([found, checkpoint]) => Option.isSome(found) ? found : checkpoint),
        [Option.some<Made | Snapshot>(snapshot(1)), done],
        done
      )
    }
  })

  it("removes the checkpoints of a finished node that a crash left", async () => {
    const at = folder()
    value(await using(at, Effect.andThen(save(snapshot(1)), finish("key", makes[0]!))))
    mkdirSync(join(at, "n-key.partial", "step-1"), { recursive: true })
    assert.isTrue(Option.isSome(value(await using(at, find("key")))))
    assert.deepStrictEqual(readdirSync(at), ["n-key"])
  })

  it("fails with a typed error on a full disk at any moment, and goes on when there is room", async () => {
    for (let n = 0;; n++) {
      const at = folder()
      value(await using(at, save(snapshot(1))))
      const faults: Faults = { kind: "full", after: n, count: 0 }
      const exit = await using(at, Effect.andThen(save(snapshot(2)), finish("key", makes[0]!)), faulty(faults))
      if (faults.count <= n) break
      const error = failure(exit)
      assert.strictEqual(error._tag, "PlatformError")
      assert.include(error.message, "ENOSPC")
      assert.deepStrictEqual(files(at).filter((path) => path.endsWith(".partial")), [], "half a file was left")
      value(await using(at, finish("key", makes[0]!)))
      assert.deepStrictEqual(value(await using(at, find("key"))), Option.some(makes[0]!))
    }
  })
})
