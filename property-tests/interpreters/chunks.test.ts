/** Stages that make rows work in chunks: what is made is kept, counted and never made again, and caps end them between two chunks. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Exit, Layer } from "effect"
import { appendFileSync, cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Budget,
  Compare,
  Distill,
  Distillation,
  Evaluate,
  Gate,
  Gold,
  Pipeline,
  RewardModeling,
  Sample,
  Score,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { aroundEngine, unchanged } from "../../src/engine/around.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { spentIn } from "../../src/interpreters/storeKeys.ts"
import * as FileStore from "../../src/store/files.ts"
import type { Event } from "../../src/store/runLog.ts"
import type { Spent } from "../../src/store/spent.ts"
import { faulty, folders } from "../store/faultyFileSystem.ts"
import { contents, engine, failed, leftovers, type Ran, runs as runsOn, succeeded, tiny } from "./tiny.ts"

/** The reference engine, whose completions end at any of a third of the tokens: most are shorter than they may be. */
const ending = (): Engine => {
  const own = engine()
  const stop = Array.from({ length: 200 }, (_, i) => 3 * i)
  return aroundEngine(own, {
    model: () => ({
      ...unchanged,
      sample: (sample) => (prompts, sampling, seeds) => sample(prompts, { ...sampling, stop }, seeds)
    })
  })
}
const runs = (of: Artifact.Any, at: string, options: Parameters<typeof runsOn>[2] = {}) =>
  runsOn(of, at, { engine: ending(), ...options })

const folder = folders("chunks")
const { base, held, prompts, sft } = tiny()
// On given pairs: a cap governs everything that a stage was made from, and these generate nothing.
const pairs = `${folder()}.jsonl`
writeFileSync(
  pairs,
  [..."abcd"].map((prompt) => `${JSON.stringify({ prompt, chosen: "the cat", rejected: "a dog" })}\n`).join("")
)
const reward = RewardModeling.make(
  { init: sft, preferences: Source.preferences(Source.file(pairs)) },
  { batchSize: 2, learningRate: 5e-4 }
)
const gold = Gold.tales
const maxNewTokens = 6

const sampled = Sample.make({ policy: sft, prompts }, {
  completionsPerPrompt: 2,
  maxNewTokens,
  batchSize: 3,
  checkpointEvery: 1
})
/** Each stage with the most tokens that one item of it generates. */
const stages: Readonly<Record<string, readonly [of: Artifact.Any, most: number]>> = {
  Sample: [sampled, 2 * maxNewTokens],
  Score: [Score.byReward({ completions: sampled, reward }, { batchSize: 3 }), 0],
  Compare: [Compare.make({ policy: sft, prompts }, { gold, maxNewTokens, completionsPerPrompt: 3 }), 3 * maxNewTokens],
  Evaluate: [
    Evaluate.make(
      { initial: sft, reward, prompts: held, text: Source.text(Source.tales({ count: 3, seed: 9 })) },
      { base, sft },
      { gold, maxNewTokens, verifiers: [Verifier.ended()], completionsPerPrompt: 2, passAt: [2], stop: ["the"] }
    ),
    2 * maxNewTokens
  ],
  Gate: [
    Gate.make({ candidate: sft, previous: base, held, reward }, {
      gold,
      maxNewTokens,
      tolerance: { gold: 99 },
      otherwise: "fail"
    }),
    maxNewTokens
  ],
  Distill: [
    Distill.make({ student: base, teacher: sft, prompts }, {
      objective: Distillation.sequenceLevel,
      batchSize: 4,
      learningRate: 1e-3,
      epochs: 1,
      maxNewTokens
    }),
    maxNewTokens
  ]
}

/** Everything that the stages need, made once. */
let before: string | undefined
const place = async (): Promise<string> => {
  if (before === undefined) {
    before = folder()
    for (const  of of[sft, reward]) succeeded(await runs(of, before))
  }
  const at = folder()
  cpSync(before, at, { recursive: true })
  return at
}

const spentOn = async (of: Artifact.Any, store: string): Promise<Spent> => {
  const disk = FileStore.layer(store).pipe(Layer.provide(NodeFileSystem.layer))
  return (await Effect.runPromise(Effect.provide(spentIn(of), disk))).get(of.id)!
}
const countable = (spent: Spent): Spent => ({ ...spent, disk: 0, memory: 0, milliseconds: 0 })
const over = (ran: Ran) => {
  const error = failed(ran)
  if (error._tag !== "BudgetExceeded") throw error
  return error
}
const stepsOf = (events: ReadonlyArray<Event>, of: Artifact.Any) =>
  events.flatMap((event) => event._tag === "Step" && event.stage === label(of) ? [event.step] : [])
/** The file of the chunks of the only unfinished stage, owned or not. */
const chunksIn = (store: string): string => {
  const found = readdirSync(store, { recursive: true }).map(String).filter((path) => path.endsWith("chunks.jsonl"))
  assert.lengthOf(found, 1)
  return join(store, found[0]!)
}

describe.each(Object.entries(stages))("%s", (_, [of, most]) => {
  const whole = async () => {
    const at = await place()
    succeeded(await runs(of, at))
    return { contents: contents(at), spent: countable(await spentOn(of, at)) }
  }

  it("a cap ends it between chunks: bounded, kept, counted, and raised to the same bytes", async () => {
    const expected = await whole()
    const { generated } = expected.spent
    if (most === 0) return
    for (const cap of [1, Math.ceil(generated / 3), generated - 1]) {
      const at = await place()
      const capped = Pipeline.cap(of, { generated: cap })
      const first = over(await runs(capped, at))
      assert.isAbove(first.spent, cap)
      assert.isAtMost(first.spent, cap + most)
      assert.match(first.kept, /^\d+ of \d+ items, in the store$/u)
      // The next attempt counts what was spent, and makes nothing.
      const second = await runs(capped, at)
      assert.deepStrictEqual([over(second).spent, stepsOf(second.events, of)], [first.spent, []])
      assert.strictEqual((await spentOn(of, at)).generated, first.spent)
      // Within a larger cap it goes on from there.
      succeeded(await runs(Pipeline.cap(of, { generated }), at))
      assert.deepStrictEqual(contents(at), expected.contents, `capped at ${cap}`)
      assert.deepStrictEqual(countable(await spentOn(of, at)), expected.spent)
      assert.deepStrictEqual(leftovers(at), [])
    }
  })

  it("killed at any change of the disk it ends in the same bytes, having spent the same", async () => {
    const expected = await whole()
    // Near its cap it makes one item at a time.
    const capped = most === 0 ? of : Pipeline.cap(of, { generated: expected.spent.generated })
    const all = { kind: "crash" as const, after: 1e9, count: 0 }
    succeeded(await runs(capped, await place(), { disk: faulty(all) }))
    const every = Math.ceil(all.count / 8)
    for (let after = 1; after < all.count; after += every) {
      const at = await place()
      const ran = await runs(capped, at, { disk: faulty({ kind: "crash", after, count: 0 }) })
      assert.isTrue(Exit.isFailure(ran.exit))
      succeeded(await runs(capped, at))
      assert.deepStrictEqual(contents(at), expected.contents, `crash at operation ${after} of ${all.count}`)
      assert.deepStrictEqual(countable(await spentOn(of, at)), expected.spent, `crash at ${after} of ${all.count}`)
      assert.deepStrictEqual(leftovers(at), [])
    }
  })
})

describe("chunks", () => {
  it("that are stopped are kept, and none is made twice", async () => {
    const expected = await place()
    const undisturbed = succeeded(await runs(sampled, expected))
    assert.deepStrictEqual(stepsOf(undisturbed.events, sampled), [1, 2, 3])
    for (const stop of [1, 2]) {
      const at = await place()
      const first = await runs(sampled, at, { stopAt: (event) => event._tag === "Step" && event.step === stop })
      assert.isTrue(Exit.isFailure(first.exit))
      const second = succeeded(await runs(sampled, at))
      assert.deepStrictEqual([...stepsOf(first.events, sampled), ...stepsOf(second.events, sampled)], [1, 2, 3])
      assert.deepStrictEqual(contents(at), contents(expected))
    }
  })

  it("that are cut off or damaged are made again, with all after them", async () => {
    const expected = await place()
    succeeded(await runs(sampled, expected))
    const damages: ReadonlyArray<(path: string) => void> = [
      (path) => appendFileSync(path, '0123 {"part":'),
      (path) => writeFileSync(path, readFileSync(path).subarray(0, -7)),
      (path) => writeFileSync(path, readFileSync(path, "utf8").replace('tokens":', 'tokens": ')),
      // The second line in the place of the first.
      (path) => writeFileSync(path, readFileSync(path, "utf8").replace(/^.*\n/u, "")),
      (path) => writeFileSync(path, "")
    ]
    for (const damage of damages) {
      const at = await place()
      await runs(sampled, at, { stopAt: (event) => event._tag === "Step" && event.step === 2 })
      damage(chunksIn(at))
      succeeded(await runs(sampled, at))
      assert.deepStrictEqual(contents(at), contents(expected))
    }
  })

  it("are written once: twice as many take twice the bytes, not four times", async () => {
    const bytes = async (repeats: number) => {
      const many = Sample.make({ policy: sft, prompts }, {
        completionsPerPrompt: repeats,
        maxNewTokens,
        batchSize: 1,
        checkpointEvery: 1
      })
      const at = await place()
      let most = 0
      await runs(many, at, {
        stopAt: (event) => {
          if (event._tag === "Checkpoint" && event.stage === label(many)) most = readFileSync(chunksIn(at)).length
          return false
        }
      })
      return most
    }
    assert.isBelow(await bytes(8), 2.2 * await bytes(4))
  })

  it("count under a total over several stages, and a chunk passes a cap whose cost is known only afterwards", async () => {
    const at = await place()
    succeeded(await runs(sampled, at))
    const { generated } = await spentOn(sampled, at)
    const both = Evaluate.make({ initial: sft, reward, prompts: held }, { sft }, { gold, maxNewTokens })
    assert.isAbove(generated, 0)
    const total = Pipeline.cap(both, { total: { generated: 1 } })
    const first = over(await runs(total, at))
    assert.isAtMost((await spentOn(both, at))?.generated ?? 0, maxNewTokens)
    assert.strictEqual(first.dimension, "generated")
    const error = over(await runs(Pipeline.cap(sampled, { flops: Budget.flops(1), from: sft }), await place()))
    assert.strictEqual(error.dimension, "flops")
    assert.match(error.kept, /^3 of 8 items/u)
  })
})
