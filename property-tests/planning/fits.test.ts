import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, type FileSystem, Result } from "effect"
import fc from "fast-check"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { lineage } from "../../dsl/Artifact.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import { sha256 } from "../../dsl/Digest.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { effects, fits, type Verdict } from "../../src/planning/fits.ts"
import { fitted, type MicroBatchPlan, planWith, roomWithin } from "../../src/planning/microBatches.ts"
import type { Planned } from "../../src/planning/plan.ts"
import type { Backend } from "../../src/tensor/backend.ts"
import { kinds, open } from "../engine/transformer/backends.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { runs, succeeded, tiny } from "../interpreters/tiny.ts"

const run = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeFileSystem.layer))

const plan = planWith({})
const ppo = ({ stages }: Planned) => stages.find(({ stage }) => stage.startsWith("ppo"))!

/** PPO on more rows than `tiny` has, so that most of its memory are activations. */
const large = { ppo: { batchSize: 24, maxNewTokens: 40 }, steps: 2, measureEvery: 2 } as const
const capped = (memory: number): Artifact.Any => tiny({ ...large, limits: { memory } }).root

const rlOf = (root: Artifact.Any): string => lineage(root).find(({ node }) => node.op === "Ppo")!.id

const applied = (root: Artifact.Any, { changes }: Verdict): Artifact.Any =>
  changes.reduce((root, { path, value }) => Result.getOrThrow(Pipeline.set(root, path, value)), root)

describe("micro-batches of a run", () => {
  const folder = folders("fits")
  let most: number
  beforeAll(async () => {
    most = ppo(await run(plan(tiny(large).root, new Map()))).bytes
  }, 60_000)

  it("are none where all fits", async () => {
    assert.strictEqual((await run(fitted(capped(most), roomWithin(Infinity), plan))).microBatches.size, 0)
  }, 60_000)

  it("are the largest that fit, the same each time, and change no id", async () => {
    const root = capped(Math.floor(0.6 * most))
    const [one, two] = [
      await run(fitted(root, roomWithin(Infinity), plan)),
      await run(fitted(root, roomWithin(Infinity), plan))
    ]
    assert.deepStrictEqual([...one.microBatches], [...two.microBatches])
    const stage = ppo(one.planned)
    assert.isAtMost(stage.bytes, stage.memoryCap)
    assert.deepStrictEqual(one.planned.stages.map(({ stage }) => stage), one.plain.stages.map(({ stage }) => stage))
    const { microBatchTokens, slots } = one.microBatches.get(stage.stage)!
    const more = await run(
      plan(root, new Map([[stage.stage, { microBatchTokens: Math.ceil(1.6 * microBatchTokens!), slots: slots! }]]))
    )
    assert.isAbove(ppo(more).bytes, stage.memoryCap)
  }, 60_000)

  describe.each(kinds.filter((kind) => kind !== "reference"))("on %s", (kind) => {
    let backend: Backend
    beforeAll(async () => {
      backend = await open(kind)
    })
    afterAll(() => backend.dispose())

    it("keep a run below its cap that it would be above, to the same result", async () => {
      const root = capped(Math.floor(0.6 * most))
      succeeded(await runs(root, folder(), { engine: transformer(backend) }))
      const { peak } = backend.memory()
      assert.isAtMost(peak, 0.6 * most)
      succeeded(await runs(tiny(large).root, folder(), { engine: transformer(backend) }))
      assert.isAbove(backend.memory().peak, 0.6 * most)
    }, 60_000)
  })
})

describe("advice", () => {
  it("that is taken fits, and is the cheapest of those that change least", async () => {
    const most = ppo(await run(plan(tiny(large).root, new Map()))).bytes
    for (const share of [0.6, 0.3]) {
      const root = capped(Math.floor(share * most))
      const room = roomWithin(Infinity)
      const { misfits } = await run(fits(root, { room, plan }, `ppo-${rlOf(root).slice(0, 8)}`))
      assert.lengthOf(misfits, 1)
      for (const { bytes, room: cap, verdicts } of misfits) {
        assert.isAbove(bytes, cap)
        const best = verdicts[0]!
        if (!best.fits) {
          assert.isTrue(verdicts.every(({ bytes, fits }) => !fits && bytes > cap && bytes >= best.bytes))
          continue
        }
        const { planned } = await run(fitted(applied(root, best), room, plan))
        assert.isTrue(planned.stages.some((stage) => stage.bytes === best.bytes && stage.bytes <= cap))
        for (const other of verdicts.filter(({ fits, result }) => fits && result === best.result)) {
          assert.isAtMost(best.cost, other.cost)
        }
      }
    }
  }, 120_000)

  it("follows what is planned, whatever that is", async () => {
    const { root, rl } = tiny()
    const stage = (of: Artifact.Any): string => {
      const all = [...(JSON.parse(Pipeline.toJson(of)) as { nodes: Array<{ id: string; op: string }> }).nodes]
      return `ppo-${all.find(({ op }) => op === "Ppo")!.id.slice(0, 8)}`
    }
    assert.strictEqual(stage(root), `ppo-${rl.id.slice(0, 8)}`)
    /** Any number for any description and micro-batches, but less for smaller ones and for more changes. */
    const invented = (seed: string): MicroBatchPlan => (of, microBatches) => {
      const name = stage(of)
      const draw = (what: string) => parseInt(sha256(`${seed}/${what}`).slice(0, 8), 16) / 2 ** 32
      const { params } = (JSON.parse(Pipeline.toJson(of)) as { nodes: Array<{ op: string; params: any }> }).nodes
        .find(({ op }) => op === "Ppo")!
      const shrunk = [
        params.recompute === true,
        params.precision === "bf16",
        params.lora !== undefined,
        params.batchSize < 4
      ]
      const changed = shrunk.reduce((sum, yes, i) => sum - (yes ? 20 * draw(`bytes ${i}`) : 0), 100)
      const tokens = microBatches.get(name)?.microBatchTokens ?? 8192
      const bytes = changed - 20 * draw("tokens") * (1 - tokens / 8192)
      const stages = [{
        stage: name,
        precision: "f32" as const,
        steps: 1,
        phases: [{
          phase: "update" as const,
          bytes,
          terms: [{ what: "activations" as const, bytes }],
          flops: 1,
          calls: 1,
          traffic: 1,
          seconds: null
        }],
        flops: 1 + draw(`flops ${shrunk} ${tokens < 8192}`),
        prompts: 0,
        disk: { made: 0, most: 0 },
        seconds: null,
        hostSeconds: null,
        error: 0,
        generated: 0,
        accumulated: 1,
        trained: 0,
        bytes,
        terms: [],
        host: 0,
        memoryCap: Infinity
      }]
      return Effect.succeed({ stages, unplanned: [] })
    }
    const advised = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.integer({ min: 40, max: 99 }), async (seed, room) => {
        const { misfits } = await run(fits(root, { room: () => room, plan: invented(seed) }))
        for (const { verdicts } of misfits) {
          const best = verdicts[0]!
          const fit = verdicts.filter(({ fits }) => fits)
          assert.strictEqual(best.fits, fit.length > 0)
          const order = (one: Verdict) => effects.indexOf(one.result)
          for (const other of fit) {
            assert.isTrue(order(best) < order(other) || (order(best) === order(other) && best.cost <= other.cost))
          }
          // What makes something else is not even tried where anything gentler fits.
          if (fit.length > 0 && best.result !== "another") {
            assert.isTrue(verdicts.every(({ result }) => result !== "another"))
          }
          advised.add(best.changes.map(({ path }) => path).join(" "))
        }
      }),
      { numRuns: 60 }
    )
    assert.isAbove(advised.size, 3, [...advised].join("; "))
  }, 60_000)
})
