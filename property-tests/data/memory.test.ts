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
const codec = { encodePrompt: (text) => new Int32Array(150).fill(text.length), encodeCompletion: () => Int32Array.of(2) }
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

describe("rows of 60 MB", () => {
  it(
    "are read, mixed, filtered, deduplicated, split, stored, found and encoded in a heap that holds half of them",
    () => {
      const at = folder()
      const rows = `${at}.jsonl`
      const text = "once upon a time there was a little cat who liked to play with her friend in the garden ".repeat(7)
      writeFileSync(rows, Array.from({ length: 100_000 }, (_, i) => `{"text":"${i} ${text}"}\n`).join(""))
      const ran = execFileSync(process.execPath, [
        "--no-warnings",
        "--max-semi-space-size=4",
        // V8 ends a process that needs more, in MiB.
        "--max-old-space-size=96",
        "--input-type=module",
        "-e",
        script(rows, join(at, "store"))
      ], { encoding: "utf8" })
      const { left, read, same } = JSON.parse(ran) as {
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
