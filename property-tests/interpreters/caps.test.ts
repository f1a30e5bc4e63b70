/** Caps and instruments in the store: they change no weights, and whatever ran before, a run ends as in a store of its own. */
import { Cause, Effect, Exit, Fiber, Result } from "effect"
import fc from "fast-check"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Budget, Checkpoint, Gold, Kl, Pipeline, Ppo, RewardModeling, Source } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import type { Event } from "../../src/store/runLog.ts"
import type { Store } from "../../src/store/store.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { failed, folderIn, type Ran, runs, succeeded, tiny, type TinyOptions } from "./tiny.ts"
import { making, store as newStore } from "./worldly.ts"

const folder = folders("caps")
const tags = ({ events }: Ran, op = "ppo") =>
  events.flatMap((event) => "stage" in event && event.stage.startsWith(`${op}-`) ? [event._tag] : [])
const bytes = async (store: string, of: Artifact.Any, root: Artifact.Any): Promise<Buffer> =>
  readFileSync(join(await folderIn(store, of, root), "model", "model.safetensors"))

describe("on the transformer", () => {
  const base = tiny()
  const store = folder()
  const whole = runs(base.root, store)

  it("instruments, names, resources and caps that are not passed change no weights and make nothing again", async () => {
    succeeded(await whole)
    const expected = await bytes(store, base.rl, base.root)
    const variants: ReadonlyArray<readonly [string, ReturnType<typeof tiny>]> = [
      ["checkpointEvery", tiny({ ppo: { checkpointEvery: 1 } })],
      ["measureEvery", tiny({ measureEvery: 4 })],
      ["measureError", tiny({ ppo: { measureError: 0.5 } })],
      ["measureMost", tiny({ measureMost: 16 })],
      ["allowance", tiny({ ppo: { allowance: Kl.mnatsPerSequence<number>(7) } })],
      ["observe", tiny({ ppo: { observe: { gold: Gold.tales } } })],
      ["recompute", tiny({ ppo: { recompute: true } })],
      ["a looser cap", tiny({ cap: 90_000 })],
      ["a tighter cap", tiny({ cap: 14_000 })],
      ["whenSpent", tiny({ limits: { whenSpent: "warn" } })],
      ["time", tiny({ limits: { seconds: Budget.hours(9) } })],
      ["a cap on the whole", { ...base, root: Pipeline.cap(base.root, { tokens: 1_000_000 }) as never }]
    ]
    // All are found; these might be at work while it trains.
    const computed = new Set(["checkpointEvery", "measureEvery", "observe", "recompute", "whenSpent"])
    for (const [name, { rl, root }] of variants) {
      assert.deepStrictEqual(succeeded(await runs(root, store)).events.map(({ _tag }) => _tag), ["Cached"], name)
      if (!computed.has(name)) continue
      const own = folder()
      succeeded(await runs(root, own))
      assert.isTrue((await bytes(own, rl, root)).equals(expected), name)
    }
    // What a cap would have seen at the steps between was not measured: made again, beside the first.
    const finer = tiny({ measureEvery: 1 })
    assert.include(tags(succeeded(await runs(finer.root, store))), "Started")
    assert.isTrue((await bytes(store, finer.rl, finer.root)).equals(expected))
    assert.isTrue((await bytes(store, base.rl, base.root)).equals(expected))
    const other = tiny({ learningRate: 2e-3 })
    assert.include(tags(succeeded(await runs(other.root, store))), "Started")
  })

  for (const whenSpent of ["stop", "rollback"] as const) {
    it(`a raised cap goes on from the last checkpoint to the bits of one that was raised from the start: ${whenSpent}`, async () => {
      const options: TinyOptions = {
        beta: 0,
        learningRate: 0.01,
        steps: 6,
        measureEvery: 1,
        limits: { whenSpent },
        ppo: { checkpointEvery: 1 }
      }
      let [seed, at, ran] = [0, folder(), undefined as Ran | undefined]
      const of = (cap: number) => tiny({ ...options, cap, seed })
      const last = () =>
        Math.max(
          0,
          ...ran!.events.flatMap((event) =>
            event._tag === "Step" && event.stage === label(of(300).rl) ? [event.step] : []
          )
        )
      do {
        assert.isBelow(++seed, 20)
        ran = await runs(of(300).root, at)
      } while (last() < 3 || last() === 6)
      const [low, high] = [of(300), of(90_000)]
      if (whenSpent === "stop") assert.strictEqual(failed(ran)._tag, "KlBudgetExceeded")
      else assert.isTrue(succeeded(ran).events.some(({ _tag }) => _tag === "OverBudget"))
      const raised = succeeded(await runs(high.root, at))
      const started = raised.events.find((event) => event._tag === "Started" && event.stage === label(high.rl))
      assert.strictEqual((started as { readonly from: number }).from, last())
      const own = folder()
      succeeded(await runs(high.root, own))
      assert.isTrue((await bytes(at, high.rl, high.root)).equals(await bytes(own, high.rl, high.root)))
      // And the lower one again: it takes nothing that passed it.
      const again = await runs(low.root, at)
      if (whenSpent === "stop") {
        assert.strictEqual(
          failed(again).message.replace(/Kept: .*/su, ""),
          failed(ran).message.replace(/Kept: .*/su, "")
        )
      } else {
        assert.include(succeeded(again).events.map(({ _tag }) => _tag), "OverBudget")
        assert.isFalse((await bytes(at, low.rl, low.root)).equals(await bytes(at, high.rl, high.root)))
      }
    })
  }
})

describe("in a world", () => {
  const world = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "caps" })
  const init = Checkpoint.huggingFace("tales", "base")
  const [prompts, held] = [
    Source.prompts(Source.tales({ count: 8 })),
    Source.prompts(Source.tales({ split: "held", count: 4 }))
  ]
  const reward = RewardModeling.make({ init, preferences: Source.preferences(Source.tales({ count: 64 })) }, {
    batchSize: 16,
    learningRate: 0.1
  })
  interface Drawn {
    readonly cap: number
    readonly whenSpent: "stop" | "rollback" | "warn"
    readonly measureEvery: number
    readonly checkpointEvery: number
    readonly stopAt: number | null
  }
  const described = ({ cap, checkpointEvery, measureEvery, whenSpent }: Drawn) => {
    const rl = Ppo.make({ init, reward, value: reward, prompts, held }, {
      beta: 0,
      steps: 8,
      batchSize: 8,
      learningRate: 0.2,
      maxNewTokens: 2,
      allowance: Kl.mnatsPerSequence<number>(1),
      measureEvery,
      measureSamples: 16,
      measureMost: 16,
      checkpointEvery
    })
    return { rl, root: Pipeline.cap(rl, { kl: Kl.mnatsPerSequence<number>(cap), from: init, whenSpent }) }
  }
  const outcome = async (drawn: Drawn, store: Store["Service"], stopAt: number | null = null) => {
    const { rl, root } = described(drawn)
    const events: Array<Event> = []
    let stop = () => {}
    const fiber = Effect.runFork(making(root, {
      world,
      store,
      onEvent: (event) => {
        events.push(event)
        if (event._tag === "Step" && event.stage === label(rl) && event.step === stopAt) stop()
      }
    }))
    stop = () => fiber.interruptUnsafe()
    const exit = await Effect.runPromise(Fiber.await(fiber))
    const passed = events.flatMap((event) => event._tag === "OverBudget" ? [JSON.stringify(event)] : [])
    if (Exit.isSuccess(exit)) {
      if (exit.value._tag !== "Model") throw new Error("no model")
      return { passed, made: [...exit.value.weights.tensors].map(([name, { data }]) => [name, [...data]]) }
    }
    const error = Result.getOrThrow(Cause.findError(exit.cause)) as { readonly _tag: string; readonly step?: number }
    return { passed, failed: [error._tag, error.step] }
  }

  it("whatever ran before in the same store, under any caps and measurements, a run ends as in a store of its own", async () => {
    const drawn = fc.record<Drawn>({
      cap: fc.constantFrom(5, 20, 60, 150, 400, 100_000),
      whenSpent: fc.constantFrom("stop", "rollback", "warn"),
      measureEvery: fc.integer({ min: 1, max: 4 }),
      checkpointEvery: fc.integer({ min: 1, max: 3 }),
      stopAt: fc.option(fc.integer({ min: 1, max: 8 }))
    })
    const ends = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.array(drawn, { minLength: 2, maxLength: 4 }), async (all) => {
        const shared = await newStore()
        for (const one of all) {
          if (one.stopAt !== null) await outcome(one, shared, one.stopAt).catch(() => {})
          const [here, alone] = [await outcome(one, shared), await outcome(one, await newStore())]
          const passed = [...new Set(here.passed)]
          // Nothing is made again for a warning: it tells of the measurements that were made.
          if (one.whenSpent === "warn") assert.includeMembers(alone.passed, passed)
          assert.deepStrictEqual({ ...here, passed: one.whenSpent === "warn" ? alone.passed : passed }, alone)
          const end = here.failed === undefined ? here.passed.length > 0 ? "passed" : "whole" : "failed"
          ends.set(end, (ends.get(end) ?? 0) + 1)
        }
      }),
      { numRuns: 60 }
    )
    for (const end of ["passed", "whole", "failed"]) assert.isAbove(ends.get(end) ?? 0, 5, end)
  })
})
