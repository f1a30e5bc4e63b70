/** Observers change nothing; and Goodhart's law in a world where everything is known: the stop at the peak of gold, by enumeration. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import { assert, describe, it } from "vitest"
import { Gold, Grpo, Kl, PolicyGradient } from "../../dsl/index.ts"
import { CurrentEngine } from "../../src/engine/current.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { expectedReward, logDistribution, rewardTable } from "../../src/engine/tabular/exact.ts"
import { rewardOf } from "../../src/engine/tabular/scores.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { plain } from "../../src/rewards/composed.ts"
import { atOnce, Judge } from "../../src/rewards/judge.ts"
import { grpo } from "../../src/stages/grpo.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { type Event, RunLog } from "../../src/store/runLog.ts"
import { Store } from "../../src/store/store.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { type OverOptimised, overOptimised } from "./overOptimised.ts"
import { contents, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("observing")
const observed = (events: ReadonlyArray<Event>) => events.flatMap((event) => event._tag === "Observed" ? [event] : [])

interface Trained {
  readonly weights: Weights
  readonly events: ReadonlyArray<Event>
  /** After each step; 0 is the start. */
  readonly trajectory: ReadonlyArray<Weights>
}

const steps = 80

/** GRPO on the proxy, beta 0, always with the same key: what is observed is the only difference between two runs. */
const trained = async (
  { proxy, world }: OverOptimised,
  observe: Pick<ConstructorParameters<typeof Grpo.Grpo>[0], "observe" | "measureEvery">
): Promise<Trained> => {
  const events: Array<Event> = []
  const init = language(world)
  const trajectory: Array<Weights> = [init]
  const store = Layer.effect(
    Store,
    Effect.map(Store, (store) => ({
      ...store,
      save: (key, label, snapshot) =>
        Effect.suspend(() => {
          trajectory[snapshot.step] = snapshot.models["policy"]!.weights
          return store.save(key, label, snapshot)
        })
    } satisfies Store["Service"]))
  ).pipe(Layer.provide(MemoryStore.layer))
  const rows = world.prompts.map((prompt) => ({ prompt }))
  const stage = new Grpo.Grpo({
    ...PolicyGradient.drGrpo,
    allowance: Kl.mnatsPerSequence(1),
    beta: 0,
    steps,
    batchSize: 2,
    groupSize: 32,
    learningRate: 0.05,
    maxNewTokens: world.horizon,
    measureEvery: 2,
    measureSamples: 256,
    checkpointEvery: 1,
    ...observe
  })
  const limits = { kl: [], tokens: Infinity, memory: Infinity, seconds: Infinity }
  const wires = { init, reference: undefined, reward: plain(proxy), prompts: rows, held: rows }
  const weights = await Effect.runPromise(
    grpo(stage, wires, { key: "goodhart", stream: `goodhart/${world.seed}`, label: "grpo", limits: limits as never })
      .pipe(
        // What `execute` does.
        Effect.catchTag("EndedEarly", ({ weights }) => Effect.succeed(weights)),
        Effect.provide(Layer.mergeAll(
          Layer.succeed(CurrentEngine, tabular(world)),
          Layer.succeed(RunLog, { emit: (event) => Effect.sync(() => void events.push(event)) }),
          Layer.succeed(Judge, {
            gold: (_, prompt, completion) => world.gold(prompt, completion),
            prefers: () => true,
            verifies: atOnce(() => true)
          }),
          store,
          NodeFileSystem.layer
        ))
      )
  )
  trajectory[steps] ??= weights
  return { weights, events, trajectory }
}

const worldOf = (seed: number, mistaken: number): OverOptimised =>
  overOptimised({ prompts: 2, vocab: 4, horizon: 3, seed: `goodhart ${seed}`, mistaken, bonus: 3 })

const gold = { gold: Gold.tales }

describe("observers", () => {
  it("change nothing that is trained, and see what enumeration says", async () => {
    const of = worldOf(0, 3)
    const [with1, without] = [await trained(of, { observe: gold }), await trained(of, {})]
    assert.deepStrictEqual(with1.weights, without.weights)
    assert.deepStrictEqual(with1.trajectory, without.trajectory)
    // Entropy, length, endings and n-grams are always seen, gold where it is named; at beta 0, with no reference and no cap.
    assert.isTrue(observed(without.events).every(({ observed }) => !("gold" in observed) && "distinct_2" in observed))
    assert.deepStrictEqual(observed(with1.events).map(({ step }) => step), [
      0,
      ...Array.from({ length: steps / 2 }, (_, i) => 2 * i + 2)
    ])
    const [golds, proxies] = [rewardTable(of.world), rewardOf(of.world, of.proxy)]
    let [inside, all] = [0, 0]
    for (const { observed: seen, step } of observed(with1.events)) {
      const logps = logDistribution(of.world, with1.trajectory[step]!)
      for (const [name, table] of [["gold", golds], ["proxy", proxies]] as const) {
        all++
        if (Math.abs(seen[name]! - expectedReward(logps, table).mean) <= 3 * seen[`${name}_se`]!) inside++
      }
      const entropy = -logps.reduce((sum, of) => sum + of.reduce((h, logp) => h + Math.exp(logp) * logp, 0), 0) / 2
      // Nats per token times tokens is nats per sequence.
      assert.closeTo(seen["entropy"]! * seen["length"]!, entropy, 0.25)
    }
    assert.isAtLeast(inside / all, 0.97)
  })

  it("need no gold to work, in a run of files; with a gold they are in its events from the start", async () => {
    const { events } = succeeded(await runs(tiny({ ppo: { observe: gold } }).root, folder()))
    assert.deepStrictEqual(observed(events).map(({ step }) => step), [0, 2, 4])
    for (const { observed: seen, samples } of observed(events)) {
      assert.includeMembers(Object.keys(seen), [
        "entropy",
        "length",
        "finished",
        "distinct_1",
        "distinct_2",
        "gold",
        "gold_se",
        "proxy",
        "proxy_se"
      ])
      assert.strictEqual(samples, 64)
    }
  })

  it("stop a run at its peak the same way when it was interrupted", async () => {
    // z so small that any decline is one.
    const { root } = tiny({
      steps: 8,
      measureEvery: 1,
      learningRate: 0.02,
      cap: 1_000_000,
      ppo: { observe: { ...gold, stopAtPeak: { z: 1e-9, patience: 2 } } }
    })
    const [whole, at] = [folder(), folder()]
    const first = succeeded(await runs(root, whole))
    const passed = first.events.find((event) => event._tag === "PeakPassed")
    assert.isDefined(passed)
    for (const n of [1, 2]) {
      await runs(root, at, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith("ppo-") && event.step === n
      })
    }
    succeeded(await runs(root, at))
    assert.deepStrictEqual(contents(at), contents(whole))
    // And says it again when it is found.
    assert.deepStrictEqual(succeeded(await runs(root, at)).events.map(({ _tag }) => _tag), ["PeakPassed", "Cached"])
  })
})

describe("Goodhart's law", () => {
  const seeds = 40
  it(
    `invariant 39: in ${seeds} worlds gold falls while the proxy rises; the stop keeps 90 % of the best gain in 90 % of them`,
    async () => {
      let [goodhart, good, stopped] = [0, 0, 0]
      const shares: Array<number> = []
      for (let seed = 0; seed < seeds; seed++) {
        const of = worldOf(seed, 3)
        const full = await trained(of, { measureEvery: steps })
        const [golds, proxies] = [rewardTable(of.world), rewardOf(of.world, of.proxy)]
        const goldOf = (weights: Weights) => expectedReward(logDistribution(of.world, weights), golds).mean
        const proxyOf = (weights: Weights) => expectedReward(logDistribution(of.world, weights), proxies).mean
        const trajectory = full.trajectory.map(goldOf)
        const best = Math.max(...trajectory)
        const [start, end] = [trajectory[0]!, trajectory.at(-1)!]
        const at = trajectory.indexOf(best)
        if (end < best - 0.1 * (best - start) && proxyOf(full.trajectory.at(-1)!) > proxyOf(full.trajectory[at]!)) {
          goodhart++
        }
        const gated = await trained(of, { observe: { ...gold, stopAtPeak: { patience: 2, z: 3 } } })
        const passed = gated.events.find((event) => event._tag === "PeakPassed")
        if (passed?._tag === "PeakPassed") {
          stopped++
          // Exactly the policy of the step that it names.
          assert.deepStrictEqual(gated.weights, full.trajectory[passed.kept])
        }
        const share = best === start ? 1 : (goldOf(gated.weights) - start) / (best - start)
        shares.push(share)
        if (share >= 0.9) good++
      }
      const said = `${goodhart} of ${seeds} worlds fell, ${stopped} were stopped, ${good} kept 90 %; worst ${
        Math.min(...shares)
      }`
      assert.isAtLeast(goodhart / seeds, 0.75, said)
      assert.isAtLeast(good / seeds, 0.9, said)
      // Its power: of the runs whose gold fell.
      assert.isAtLeast(stopped / goodhart, 0.9, said)
    },
    120_000
  )

  it(
    "where the proxy is gold the stop lets 19 of 20 runs end, and none lose more than a tenth of the gain",
    async () => {
      let stopped = 0
      for (let seed = 0; seed < 20; seed++) {
        const of = worldOf(seed, 0)
        const gated = await trained(of, { observe: { ...gold, stopAtPeak: { patience: 2, z: 3 } } })
        if (gated.events.some(({ _tag }) => _tag === "PeakPassed")) stopped++
      }
      assert.isAtMost(stopped, 1)
    },
    120_000
  )
})
