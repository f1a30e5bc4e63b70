/** Up to four processes make one node at once: any order of their calls of the file system, with processes that stand still or die. */
import { Cause, Effect, Exit, Layer, Option } from "effect"
import fc from "fast-check"
import { readdirSync } from "node:fs"
import { assert, describe, it } from "vitest"
import * as FileStore from "../../src/store/files.ts"
import { CurrentOwners, type Owner } from "../../src/store/owner.ts"
import { Store } from "../../src/store/store.ts"
import { randomWeights, variants } from "../engine/transformer/tinyModels.ts"
import { folders } from "./faultyFileSystem.ts"
import { newProcess, type Process, scheduled } from "./scheduledFileSystem.ts"

const folder = folders("interleavings")
const [key, name] = ["0123456789abcdef0123456789abcdef", "n"]
const weights = randomWeights(variants["Llama, GQA, tied"]!, "kept")
const last = 3

/** What a stage does: goes on from its checkpoint, saves, keeps, finishes. The result says which steps were done. */
const making = Effect.scoped(Effect.gen(function*() {
  const store = yield* Store
  const nothing = () => Effect.void
  yield* store.claim(key, name, { waiting: nothing, replaced: nothing })
  const found = yield* store.find(key, name)
  if (Option.isSome(found)) return { made: found.value, computed: false }
  const before = yield* store.latest(key, name)
  let [step, done] = Option.match(before, {
    onNone: () => [0, ""] as const,
    onSome: ({ state, step }) => [step, state as string] as const
  })
  for (; step < last; step++) {
    yield* store.save(key, name, { step, models: {}, state: done })
    done += step
    if (step === 1) yield* store.keep(key, name, "kept", weights)
  }
  const kept = yield* store.kept(key, name, "kept")
  const made = {
    _tag: "Data",
    dataset: { role: "Prompts", rows: [{ prompt: `${done} ${Option.isSome(kept)}` }] }
  } as const
  yield* store.finish(key, name, made)
  return { made, computed: true }
}))

interface Fault {
  readonly at: number
  readonly who: number
  readonly what: "freeze" | "thaw" | "die"
}

/** Every process of all runs, by its number. */
const known: Array<Process> = []
let serial = 0

/** Runs `count` processes in an order drawn from `seed`; how each of them ended, undefined if it died. */
const run = async (at: string, count: number, seed: number, faults: ReadonlyArray<Fault>) => {
  const processes: ReadonlyArray<Process> = Array.from({ length: count }, newProcess)
  const ends: Array<Exit.Exit<Effect.Success<typeof making>, Effect.Error<typeof making>> | undefined> = []
  processes.forEach((process, i) => {
    const pid = known.push(process) - 1
    const owners = {
      enter: (): Owner => ({ host: "h", pid, started: "1", place: "00000000", thread: 0, serial: serial++ }),
      leave: () => {},
      standing: (owner: Owner) => {
        const { state } = known[owner.pid]!
        return state === "frozen" ? "unknown" as const : state === "running" ? "running" as const : "gone" as const
      },
      beats: () => Effect.void,
      patience: 0,
      poll: 0
    }
    const layer = FileStore.layer(at).pipe(Layer.provide(scheduled(process)))
    void Effect.runPromiseExit(
      making.pipe(Effect.provide(layer), Effect.provideService(CurrentOwners, owners))
    ).then((exit) => {
      ends[i] = exit
      process.state = "ended"
    })
  })
  const random = () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32
  for (let tick = 0; processes.some(({ state }) => state === "running" || state === "frozen"); tick++) {
    for (const { what, who } of faults.filter((fault) => fault.at === tick)) {
      const process = processes[who % count]!
      if (process.state === "ended" || process.state === "dead") continue
      process.state = what === "die" ? "dead" : what === "freeze" ? "frozen" : "running"
    }
    if (processes.every(({ state }) => state !== "running")) {
      for (const process of processes) if (process.state === "frozen") process.state = "running"
    }
    await new Promise(setImmediate)
    const ready = processes.filter(({ state, turn }) => state === "running" && turn !== undefined)
    await ready[Math.floor(ready.length * random())]?.turn!()
    assert.isBelow(tick, 20_000, "it does not end")
  }
  return { ends, processes }
}

const faults = fc.array(
  fc.record({
    at: fc.nat(400),
    who: fc.nat(3),
    what: fc.constantFrom("freeze" as const, "freeze" as const, "thaw" as const, "die" as const)
  }),
  { maxLength: 6 }
)

describe("several processes that make one node", () => {
  const expected = { _tag: "Data", dataset: { role: "Prompts", rows: [{ prompt: "012 true" }] } }

  it("all end with its one result, which one of them makes, and leave nothing else", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.nat(), faults, async (count, seed, faults) => {
        const at = folder()
        const { ends, processes } = await run(at, count, seed, faults)
        let computed = 0
        ends.forEach((exit, i) => {
          if (processes[i]!.state === "dead") return
          if (Exit.isSuccess(exit!)) {
            assert.deepStrictEqual(exit.value.made as unknown, expected)
            if (exit.value.computed) computed++
            return
          }
          // Only who stood still may be told that another took over.
          const reason = exit!.cause.reasons[0]
          assert.isTrue(reason?._tag === "Fail" && reason.error._tag === "TakenOver", Cause.pretty(exit!.cause))
          assert.isTrue(faults.some(({ what }) => what === "freeze"))
        })
        if (faults.length === 0) assert.strictEqual(computed, 1)
        // Who comes after them finds it, or makes it when all have died, and cleans up.
        const { ends: [after] } = await run(at, 1, seed, [])
        assert.isTrue(Exit.isSuccess(after!), String(after))
        assert.deepStrictEqual(Exit.isSuccess(after!) ? after.value.made as unknown : null, expected)
        assert.deepStrictEqual(readdirSync(at), [`${name}-${key.slice(0, 16)}`])
      }),
      { numRuns: Number(process.env["KEEL_INTERLEAVINGS"] ?? 25) }
    )
  })
})
