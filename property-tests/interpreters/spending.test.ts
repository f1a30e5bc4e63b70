/** What happens when a KL cap is passed: `stop`, `rollback`, `warn`; and that caps hold, by enumeration. */
import { Effect, Exit } from "effect"
import { cpSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { WhenSpent } from "../../dsl/Budget.ts"
import { Checkpoint, Grpo, Kl, Pipeline, Sft, Source, Verifier } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { problems } from "../../src/interpreters/check.ts"
import { keysIn } from "../../src/interpreters/storeKeys.ts"
import { Store } from "../../src/store/store.ts"
import { stream } from "../../src/sampling/random.ts"
import type { Event, Measurement } from "../../src/store/runLog.ts"
import { faulty, folders } from "../store/faultyFileSystem.ts"
import { contents, failed, leftovers, type Ran, runs, succeeded, tiny } from "./tiny.ts"
import { making, store as newStore } from "./worldly.ts"

const folder = folders("spending")
const measured = (events: ReadonlyArray<Event>): ReadonlyArray<Measurement> =>
  events.flatMap((event) => event._tag === "Measured" ? [event.measurement] : [])
const overBudget = (events: ReadonlyArray<Event>) =>
  events.flatMap((event) => event._tag === "OverBudget" ? [event] : [])

describe("a cap that rolls back", () => {
  const options = {
    cap: 200,
    beta: 0,
    learningRate: 0.01,
    steps: 12,
    measureEvery: 1,
    measureMost: 64,
    limits: { whenSpent: "rollback" }
  } as const
  /** The first of these seeds that is within its cap for a while, and then is not. */
  const rolled = async (): Promise<
    { readonly ran: Ran; readonly at: string; readonly of: ReturnType<typeof tiny> }
  > => {
    for (let seed = 20; seed < 30; seed++) {
      const [at, of] = [folder(), tiny({ ...options, seed })]
      const ran = succeeded(await runs(of.root, at))
      const [over] = overBudget(ran.events)
      if (over !== undefined && over.kept!.step > 0) return { ran, at, of }
    }
    throw new Error("no seed did")
  }

  it("makes, byte for byte, the policy of the step that it names, as a run of so many steps would have it", async () => {
    const { at, of, ran } = await rolled()
    const [over] = overBudget(ran.events)
    assert.strictEqual(over!.stage, label(of.rl))
    assert.strictEqual(measured(ran.events).at(-1)!.step, over!.step)
    assert.isTrue(over!.undecided === true || over!.spent > over!.cap)
    const to = over!.kept!.step
    // The same run, stopped by hand at that step: its checkpoint is the policy.
    const [again, stopped] = [
      folder(),
      (event: Event) => event._tag === "Step" && event.stage === label(of.rl) && event.step === to
    ]
    await runs(of.root, again, { stopAt: stopped })
    const model = (path: RegExp, from: string) => {
      const found = readdirSync(from, { recursive: true }).map(String).filter((name) => path.test(name))
      assert.lengthOf(found, 1)
      return readFileSync(join(from, found[0]!))
    }
    assert.isTrue(
      model(/^ppo-[^/]*\/model\/model\.safetensors$/u, at)
        .equals(model(new RegExp(`^ppo-[^/]*\\.partial/step-${to}/policy/model\\.safetensors$`, "u"), again))
    )
    // The checkpoint stays for a raised cap.
    assert.isTrue(leftovers(at).every((path) => path.startsWith("ppo-")))
    // Found in the store it says so again, each time, also where only what was made of it is found.
    for (let i = 0; i < 2; i++) {
      assert.deepStrictEqual(succeeded(await runs(of.root, at)).events, [over!, {
        _tag: "Cached",
        stage: label(of.root)
      }])
    }
    // What comes after it was made from it.
    assert.isTrue(Exit.isSuccess(ran.exit))
  })

  it("goes back to where it started when nothing after that was within", async () => {
    const of = tiny({ ...options, cap: 1, learningRate: 1, steps: 4, measureEvery: 4 })
    const at = folder()
    const { events } = succeeded(await runs(of.root, at))
    assert.deepStrictEqual(overBudget(events).map(({ kept, step }) => [step, kept!.step]), [[4, 0]])
    const names = [...contents(at).keys()].filter((name) =>
      /^(?:ppo|sft)-[^/]*\/model\/model\.safetensors$/u.test(name)
    )
    const [one, two] = names.map((name) => readFileSync(join(at, name)))
    assert.isTrue(one!.equals(two!))
  })

  it("loses nothing when it is killed at any file operation, the roll-back among them", async () => {
    const { at: whole, of } = await rolled()
    const expected = contents(whole)
    // All before PPO is made once.
    const before = folder()
    await runs(of.root, before, { stopAt: (event) => event._tag === "Started" && event.stage === label(of.rl) })
    const place = (): string => {
      const at = folder()
      cpSync(before, at, { recursive: true })
      return at
    }
    const all = { kind: "crash" as const, after: 1e9, count: 0 }
    succeeded(await runs(of.root, place(), { disk: faulty(all) }))
    const crash = async (at: string, after: number) => {
      const ran = await runs(of.root, at, { disk: faulty({ kind: "crash", after, count: 0 }) })
      assert.isTrue(Exit.isFailure(ran.exit))
      assert.strictEqual(failed(ran)._tag, "PlatformError")
    }
    // Operations all over, and closer ones at the end, among which is the roll-back.
    const moments = Array.from({ length: all.count - 1 }, (_, i) => i + 1)
      .filter((after) => after % 17 === 0 || (after > all.count - 60 && after % 4 === 0))
    for (const after of moments) {
      const at = place()
      await crash(at, after)
      succeeded(await runs(of.root, at))
      assert.deepStrictEqual(contents(at), expected, `crash at operation ${after} of ${all.count}`)
    }
  })
})

describe("a cap that warns", () => {
  it("says so at every measurement above it, and trains to the end", async () => {
    const options = { cap: 20, beta: 0, learningRate: 0.01, steps: 6, measureEvery: 1 } as const
    const of = tiny({ ...options, limits: { whenSpent: "warn" } })
    const { events } = succeeded(await runs(of.root, folder()))
    const above = measured(events).filter(({ verdict }) => verdict !== undefined && verdict !== "within")
    assert.isTrue(above.some(({ cap, mean }) => mean > cap!))
    assert.deepStrictEqual(
      overBudget(events).map(({ kept, step }) => [step, kept]),
      above.map(({ step }) => [step, null])
    )
    assert.deepStrictEqual(
      events.flatMap((event) => event._tag === "Step" && event.stage === label(of.rl) ? [event.step] : []),
      [1, 2, 3, 4, 5, 6]
    )
  })

  it("says so again of a stage that is found in the store, stopped half-way or not", async () => {
    const of = tiny({
      cap: 20,
      beta: 0,
      learningRate: 0.01,
      steps: 6,
      measureEvery: 1,
      limits: { whenSpent: "warn" }
    })
    const at = [folder(), folder()] as const
    const whole = overBudget(succeeded(await runs(of.root, at[0])).events)
    assert.isAbove(whole.length, 1)
    const half = (event: Event) =>
      event._tag === "Step" && event.stage === label(of.rl) && event.step === whole[0]!.step + 1
    assert.isTrue(Exit.isFailure((await runs(of.root, at[1], { stopAt: half })).exit))
    succeeded(await runs(of.root, at[1]))
    for (const found of at) {
      assert.deepStrictEqual(succeeded(await runs(of.root, found)).events, [...whole, {
        _tag: "Cached",
        stage: label(of.root)
      }])
    }
  })
})

describe("p95 and max over prompts", () => {
  it("have caps of their own, and samples enough of every prompt", async () => {
    const { events } = await (async () => {
      const options = { beta: 0, learningRate: 0.02, steps: 40, measureEvery: 1, measureMost: 512, cap: 1000 }
      const ran = await runs(tiny({ ...options, limits: { klMax: Kl.mnatsPerSequence<number>(1000) } }).root, folder())
      const error = failed(ran)
      if (error._tag !== "KlBudgetExceeded") throw error
      assert.strictEqual(error.statistic, "max")
      assert.match(
        error.message,
        /mnats of KL per sequence \(max over prompts\) at step \d+; .*the cap (?:is|of) 1000/u
      )
      return ran
    })()
    const last = measured(events).at(-1)!
    assert.isTrue(last.mean <= 1 && (last.verdict === "undecided" || last.max! > 1))
    for (const { prompts, samples } of measured(events)) assert.isAtLeast(samples, 4 * prompts!)
  })

  it("without a cap on the mean, below it, or per token are refused", () => {
    const { rl, sft } = tiny()
    const said = (params: Record<string, unknown>) => {
      return problems(Pipeline.cap(rl as never, { from: sft, ...params } as never) as Artifact.Any)
        .map(({ problem }) => problem)
    }
    assert.include(
      said({ klMax: Kl.mnatsPerSequence(9000) }),
      "klMax stands beside kl, the cap on the mean over prompts: write both"
    )
    assert.include(
      said({ whenSpent: "warn" }),
      "whenSpent stands beside kl, the cap on the mean over prompts: write both"
    )
    assert.include(
      said({ kl: Kl.mnatsPerSequence(5000), klP95: Kl.mnatsPerSequence(4000) }),
      "klP95 4000 is below kl 5000, and P95 over prompts is above the mean"
    )
    assert.include(
      said({ kl: Kl.mnatsPerSequence(5000), klMax: Kl.mnatsPerToken(9000) }),
      "klMax must be per sequence: convert it with Kl.overTokens(kl, length)"
    )
    assert.deepStrictEqual(
      said({ kl: Kl.mnatsPerSequence(5000), klMax: Kl.mnatsPerSequence(9000), whenSpent: "rollback" }),
      []
    )
  })
})

describe("over 200 runs with random worlds, rewards, learning rates and caps", () => {
  const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
  const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
  const error = 0.1

  /** `over`: with caps on p95 and max over prompts too, some way above the one on the mean. */
  const one = async (
    seed: number,
    whenSpent: WhenSpent,
    over?: { readonly prompts: number; readonly most: number; readonly error: number }
  ) => {
    const random = stream(`spending/${seed}`)
    const world = makeWorld({ prompts: over?.prompts ?? 2, vocab: 3, horizon: 2, seed: `spending ${seed}` })
    const base = Checkpoint.huggingFace("tales", "base")
    const init = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 16 })) }, {
      batchSize: 4,
      learningRate: 0.02
    })
    const mnats = Math.round(10 ** (over === undefined ? 1 + 2 * random.next() : 2 + random.next()))
    const rl = Grpo.make({ init, prompts, held }, {
      allowance: Kl.mnatsPerSequence<number>(1),
      beta: 0,
      steps: 12,
      batchSize: over === undefined ? 2 : 24,
      groupSize: 4,
      verifiers: [Verifier.format(["a"])],
      learningRate: 10 ** (-2 + 1.5 * random.next()),
      maxNewTokens: 2,
      measureEvery: 1 + random.int(4),
      measureSamples: 64,
      measureError: error,
      ...(over === undefined ? {} : { measureMost: over.most, measureError: over.error }),
      seed
    })
    // One of the three is the tight one.
    const near = 1.5 + random.next()
    const [p95, max] = ([[8, 8], [near, 8], [8, near]] as const)[seed % 3]!.map((by) => Math.ceil(by * mnats)) as [
      number,
      number
    ]
    const perPrompt = over === undefined
      ? {}
      : { klP95: Kl.mnatsPerSequence<number>(p95), klMax: Kl.mnatsPerSequence<number>(max) }
    const root = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence<number>(mnats), ...perPrompt, from: init, whenSpent })
    const events: Array<Event> = []
    const store = await newStore()
    const exit = await Effect.runPromiseExit(making(root, { world, store, onEvent: (event) => events.push(event) }))
    const keys = await Effect.runPromise(Effect.provideService(keysIn(root), Store, store))
    const from = await Effect.runPromise(store.find(keys.result(init)!, label(init)))
    if (from._tag === "None" || from.value._tag !== "Model") throw new Error("no initial model")
    const start: Weights = from.value.weights
    const distances = (weights: Weights) => kl(logDistribution(world, weights), logDistribution(world, start))
    const distance = (weights: Weights) => distances(weights).mean
    const withinCap = await Effect.runPromise(store.kept(keys.of(rl)!.weights, label(rl), "within-cap"))
    const caps = { mean: mnats / 1000, p95: p95 / 1000, max: max / 1000 }
    return { events, exit, distance, distances, cap: caps.mean, caps, rl, withinCap }
  }

  it("what a run ends with is within its cap", async () => {
    let [rolled, stopped, kept] = [0, 0, 0]
    for (let seed = 0; seed < 200; seed++) {
      const whenSpent = seed % 2 === 0 ? "rollback" : "stop"
      const { cap, distance, events, exit, rl, withinCap } = await one(seed, whenSpent)
      const over = overBudget(events)
      const all = measured(events).filter(({ stage }) => stage === label(rl))
      const holds = (weights: Weights, step: number) => {
        const passing = all.find((one) => one.step === step)
        const exact = distance(weights)
        // Step 0 is the initial model itself.
        if (passing === undefined) return assert.isAtMost(exact, 1e-9, `seed ${seed}`)
        assert.isAtMost(exact, cap, `seed ${seed}`)
      }
      if (Exit.isFailure(exit)) {
        const reason = exit.cause.reasons[0]
        if (reason?._tag !== "Fail" || reason.error._tag !== "KlBudgetExceeded") throw new Error(String(exit.cause))
        assert.strictEqual(whenSpent, "stop")
        stopped++
        // What it ends with is the policy that it kept; nothing, when no measurement was within the cap.
        if (withinCap._tag === "None") assert.strictEqual(reason.error.keptStep, 0)
        else holds(withinCap.value, reason.error.keptStep)
        continue
      }
      if (exit.value._tag !== "Model") throw new Error("no model")
      if (over.length > 0) rolled++
      else kept++
      holds(exit.value.weights, over[0]?.kept?.step ?? 12)
    }
    // All three happened often enough for this to mean something.
    for (const count of [rolled, stopped, kept]) {
      assert.isAtLeast(count, 20, `${rolled} rolled back, ${stopped} stopped, ${kept} within`)
    }
  }, 120_000)

  it(
    "caps on p95 and max over prompts hold too: enough of every prompt that decides is sampled, and sampling ends",
    async () => {
      // A prompt's own error bar takes as many samples as a mean over all: fewer, of larger caps.
      const [prompts, most, error] = [24, 1 << 13, 0.25]
      const by = { mean: 0, p95: 0, max: 0 }
      let more = 0
      for (let seed = 0; seed < 75; seed++) {
        const { caps, distances, events, exit, rl } = await one(seed, "rollback", { prompts, most, error })
        const all = measured(events).filter(({ stage }) => stage === label(rl))
        for (const { samples } of all) {
          assert.isBelow(samples, 2 * most)
          if (samples > 4 * prompts) more++
        }
        const last = all.at(-1)!
        const over = overBudget(events)
        for (const { statistic } of over) by[statistic]++
        assert.strictEqual(over.length, last.verdict === "within" ? 0 : 1)
        if (Exit.isFailure(exit) || exit.value._tag !== "Model") throw new Error(String(exit))
        const exact = distances(exit.value.weights)
        const sorted = exact.prompts.toSorted()
        for (const [statistic, is] of [["mean", exact.mean], ["p95", sorted[22]!], ["max", sorted[23]!]] as const) {
          const excess = (is - caps[statistic]) / caps[statistic]
          assert.isAtMost(excess, 0, `seed ${seed}, ${statistic}`)
        }
      }
      // Each of the three was passed, and many measurements took more than the least.
      for (const [statistic, count] of Object.entries(by)) assert.isAtLeast(count, 4, statistic)
      assert.isAtLeast(more, 20)
    },
    120_000
  )
})
