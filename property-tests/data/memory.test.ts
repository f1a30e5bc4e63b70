/** Rows that take more than the memory that they may, through everything that a run does with them before it trains. */
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("memory")
const module = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href)

/** Reads rows, mixes, filters, deduplicates, splits, encodes, and writes and reads a result of the store. */
const script = (rows: string, store: string): string => `
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Effect from "effect/Effect"
import { data } from ${module("src/stages/data.ts")}
import { encodeTexts } from ${module("src/data/encode.ts")}
import { read, readers } from ${module("src/data/read.ts")}
import { CurrentEngine } from ${module("src/engine/current.ts")}
import { layer } from ${module("src/store/files.ts")}
import { RunLog } from ${module("src/store/runLog.ts")}
import { Store } from ${module("src/store/store.ts")}
const codec = { encodePrompt: (text) => new Int32Array(150).fill(text.length), encodeCompletion: () => Int32Array.of(2), decode: () => "a", stop: [2] }
const done = await Effect.runPromise(Effect.gen(function*() {
  const { rows } = yield* read(readers.Text)(${JSON.stringify(rows)})
  const scope = { label: "stage", stream: "seed" }
  const text = (rows) => ({ role: "Text", rows, vocabulary: [] })
  const stages = [
    { _tag: "Mix", take: { _tag: "Whole" } },
    { _tag: "Filter", minWords: 1 },
    { _tag: "Deduplicate", by: "row" },
    { _tag: "Split", fraction: 0.9, part: "first", seed: 1 }
  ]
  let at = text(rows)
  for (const stage of stages) at = yield* data(stage, stage._tag === "Mix" ? { "parts.a": at } : { of: at }, scope)
  const store = yield* Store
  yield* store.finish("key", "stage", { _tag: "Data", dataset: at })
  const found = yield* store.find("key", "stage")
  const encoded = yield* encodeTexts({ stage: "stage", codec, context: 1e6 }, found.value.dataset.rows)
  const last = encoded.length - 1
  const [kept, back] = [at.rows[last].text, found.value.dataset.rows[last].text]
  return { read: rows.length, left: at.rows.length, same: kept === back && encoded[last].completion[0] === back.length }
}).pipe(
  Effect.provideService(CurrentEngine, { kind: "transformer" }),
  Effect.provideService(RunLog, { emit: () => Effect.void }),
  Effect.provide(layer(${JSON.stringify(store)})),
  Effect.provide(NodeFileSystem.layer)
))
console.log(JSON.stringify(done))`

/** Samples completions of a made-up policy, scores them and selects some, which a store keeps. */
const sampling = (store: string): string => `
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Effect from "effect/Effect"
import { CurrentEngine } from ${module("src/engine/current.ts")}
import { Judge } from ${module("src/rewards/judge.ts")}
import { sample } from ${module("src/stages/sample.ts")}
import { score } from ${module("src/stages/score.ts")}
import { select } from ${module("src/stages/select.ts")}
import { layer } from ${module("src/store/files.ts")}
import { RunLog } from ${module("src/store/runLog.ts")}
import { Store } from ${module("src/store/store.ts")}
const text = "once upon a time there was a little cat who liked to play with her friend in the garden ".repeat(7)
const codec = {
  stop: [],
  encodePrompt: () => Int32Array.of(1),
  encodeCompletion: () => Int32Array.of(2),
  decode: ([i]) => i + " " + text
}
let next = 0
const policy = {
  context: 1000,
  dispose: () => {},
  sample: (prompts) => prompts.map(() => ({ completion: Int32Array.of(next++), finished: true }))
}
const done = await Effect.runPromise(Effect.gen(function*() {
  const prompts = Array.from({ length: 1000 }, (_, i) => ({ prompt: "question " + i }))
  const scope = (key) => ({ key, label: key, stream: "seed", limits: { kl: [] } })
  const of = { batchSize: 50, checkpointEvery: 1, completionsPerPrompt: 100, maxNewTokens: 1, temperature: 1, topK: 0, topP: 1 }
  const completions = yield* sample(of, { policy: {}, prompts }, scope("sample"))
  const scored = yield* score({ batchSize: 500, scorer: { _tag: "JudgeScorer", gold: {} } }, { completions }, scope("score"))
  const kept = yield* select({ rule: { _tag: "PerPrompt", keep: 90 } }, { completions: scored }, scope("select"))
  const store = yield* Store
  yield* store.finish("key", "select", { _tag: "Data", dataset: { role: "Demonstrations", rows: kept } })
  const { value: { dataset: { rows } } } = yield* store.find("key", "select")
  return {
    sampled: completions.length,
    scored: scored.length,
    left: rows.length,
    first: Number(rows[0].completion.split(" ")[0]),
    last: Number(rows.at(-1).completion.split(" ")[0]),
    same: rows[54_321].completion === kept[54_321].completion
  }
}).pipe(
  Effect.provideService(CurrentEngine, { kind: "transformer", codec: () => codec, policy: () => policy }),
  Effect.provideService(Judge, { gold: (_, __, completion) => Number(completion.split(" ")[0]) % 100 }),
  Effect.provideService(RunLog, { emit: () => Effect.void }),
  Effect.provide(layer(${JSON.stringify(store)})),
  Effect.provide(NodeFileSystem.layer)
))
console.log(JSON.stringify(done))`

/** What a process prints, in a heap of 96 MiB: V8 ends a process that needs more. */
const printed = (source: string): Readonly<Record<string, unknown>> =>
  JSON.parse(execFileSync(process.execPath, [
    "--no-warnings",
    "--max-semi-space-size=4",
    "--max-old-space-size=96",
    "--input-type=module",
    "-e",
    source
  ], { encoding: "utf8" }))

describe("rows of 60 MB that stages make", () => {
  it("are sampled, scored, selected, stored and found in a heap that does not hold them", () => {
    const done = printed(sampling(join(folder(), "store")))
    assert.deepStrictEqual(done, {
      sampled: 100_000,
      scored: 100_000,
      left: 90_000,
      first: 10,
      last: 99_999,
      same: true
    })
  }, 300_000)
})

describe("rows of 60 MB", () => {
  it(
    "are read, mixed, filtered, deduplicated, split, stored, found and encoded in a heap that holds half of them",
    () => {
      const at = folder()
      const rows = `${at}.jsonl`
      const text = "once upon a time there was a little cat who liked to play with her friend in the garden ".repeat(7)
      writeFileSync(rows, Array.from({ length: 100_000 }, (_, i) => `{"text":"${i} ${text}"}\n`).join(""))
      const { left, read, same } = printed(script(rows, join(at, "store"))) as {
        readonly left: number
        readonly read: number
        readonly same: boolean
      }
      assert.strictEqual(read, 100_000)
      assert.isAbove(left, 88_000)
      assert.isBelow(left, 92_000)
      assert.isTrue(same)
    },
    300_000
  )
})
