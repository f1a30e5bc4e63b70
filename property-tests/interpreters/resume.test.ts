import { Cause, Exit } from "effect"
import { cpSync } from "node:fs"
import { assert, beforeAll, describe, it } from "vitest"
import type { Event } from "../../src/store/runLog.ts"
import { type Faults, faulty, folders } from "../store/faultyFileSystem.ts"
import { contents, failed, leftovers, type Ran, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("resume")
const { root } = tiny()

/** One run that nothing disturbed. */
let whole: Ran
let store: string
let expected: ReadonlyMap<string, string>
beforeAll(async () => {
  store = folder()
  whole = succeeded(await runs(root, store))
  expected = contents(store)
})

const interrupted = ({ exit }: Ran): boolean => Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
const step = (op: string, n: number) => (event: Event) =>
  event._tag === "Step" && event.stage.startsWith(`${op}-`) && event.step === n
const stages = (events: ReadonlyArray<Event>, tag: Event["_tag"]) =>
  events.flatMap((event) => event._tag === tag && "stage" in event ? [event.stage.split("-")[0]!] : [])

describe("running", () => {
  it("makes every model, and leaves nothing half made", () => {
    const models = [...expected.keys()].filter((path) => path.endsWith("model.safetensors"))
    assert.deepStrictEqual(models.map((path) => path.split("-")[0]), ["ppo", "pretrain", "rewardmodeling", "sft"])
    assert.deepStrictEqual(leftovers(store), [])
  })

  it("invariant 47: twice gives the same files, byte for byte", async () => {
    const again = folder()
    succeeded(await runs(root, again))
    assert.deepStrictEqual(contents(again), expected)
  })

  it("again finds what is finished and computes nothing", async () => {
    const { events } = succeeded(await runs(root, store))
    assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["Cached"])
    assert.deepStrictEqual(stages(events, "Cached"), ["evaluate"])
    assert.deepStrictEqual(contents(store), expected)
  })

  it("invariant 47: with another beta makes PPO and what is after it again, and finds the rest", async () => {
    const at = folder()
    cpSync(store, at, { recursive: true })
    const { events } = succeeded(await runs(tiny({ beta: 0.5 }).root, at))
    assert.sameMembers([...new Set(stages(events, "Step"))], ["ppo", "evaluate"])
    assert.sameMembers([...new Set(stages(events, "Cached"))], ["pretrain", "sft", "rewardmodeling"])
  })
})

describe("going on after an interruption", () => {
  it("invariant 47: of any stage ends in the same bytes as a run that nothing disturbed", async () => {
    const at = folder()
    const moments = [
      step("pretrain", 1),
      step("pretrain", 4),
      step("sft", 2),
      step("compare", 1),
      step("rewardmodeling", 1),
      step("ppo", 1),
      step("ppo", 2),
      step("ppo", 3),
      step("evaluate", 1)
    ]
    for (const stopAt of moments) {
      const ran = await runs(root, at, { stopAt })
      assert.isTrue(interrupted(ran), String(ran.exit))
      const last = ran.events.at(-1)
      // A training stage writes a checkpoint before it stops.
      if (
        ["pretrain", "sft", "rewardmodeling", "ppo"].some((op) =>
          last !== undefined && "stage" in last && last.stage.startsWith(`${op}-`)
        )
      ) {
        assert.strictEqual(last?._tag, "Checkpoint")
      }
    }
    const { events } = succeeded(await runs(root, at))
    assert.deepStrictEqual(contents(at), expected)
    assert.deepStrictEqual(leftovers(at), [])
    assert.deepStrictEqual(stages(events, "Started"), ["evaluate"])
  })

  it("does no step twice", async () => {
    const at = folder()
    const first = await runs(root, at, { stopAt: step("ppo", 2) })
    const second = succeeded(await runs(root, at))
    const steps = (ran: Ran) => ran.events.filter((event) => event._tag === "Step")
    assert.deepStrictEqual([...steps(first), ...steps(second)], steps(whole))
    assert.deepStrictEqual(contents(at), expected)
  })

  it("twice at the same step is the same as once", async () => {
    const at = folder()
    await runs(root, at, { stopAt: step("ppo", 2) })
    for (let i = 0; i < 2; i++) {
      const ran = await runs(root, at, { stopAt: ({ _tag }) => _tag === "Started" })
      assert.isTrue(interrupted(ran))
      assert.notInclude(stages(ran.events, "Step"), "ppo")
    }
    succeeded(await runs(root, at))
    assert.deepStrictEqual(contents(at), expected)
  })
})

describe("a disk", () => {
  it("that fills up is a typed error, and with room again the run ends in the same bytes", async () => {
    // Every moment would take minutes: one store goes on from each failure to the next, with more room each time.
    const at = folder()
    let failures = 0
    for (;;) {
      const faults: Faults = { kind: "full", after: 1 + 9 * failures, count: 0 }
      const ran = await runs(root, at, { disk: faulty(faults) })
      if (Exit.isSuccess(ran.exit)) break
      assert.strictEqual(failed(ran)._tag, "PlatformError")
      assert.include(failed(ran).message, "ENOSPC")
      failures++
      assert.isBelow(failures, 100)
    }
    assert.isAbove(failures, 5)
    assert.deepStrictEqual(contents(at), expected)
  })

  it("that stops in the middle of a write, as kill -9 does, loses at most the work since a checkpoint", async () => {
    const at = folder()
    let crashes = 0
    for (;;) {
      const faults: Faults = { kind: "crash", after: 5 + 10 * crashes, count: 0 }
      const ran = await runs(root, at, { disk: faulty(faults) })
      if (Exit.isSuccess(ran.exit)) break
      assert.strictEqual(failed(ran)._tag, "PlatformError")
      crashes++
      assert.isBelow(crashes, 100)
    }
    assert.isAbove(crashes, 3)
    assert.deepStrictEqual(contents(at), expected)
  })
})
