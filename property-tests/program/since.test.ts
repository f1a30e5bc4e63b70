/** A run whose inputs or machine are not what they were when it began. */
import { Effect, Exit, Fiber } from "effect"
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, assert, beforeAll, describe, it, vi } from "vitest"
import { Checkpoint, Evaluate, Gold, Sft, Source } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { run, type RunOptions } from "../../src/program/index.ts"
import { reward } from "../../src/rewards/own.ts"
import type { Event } from "../../src/store/runLog.ts"
import { signed } from "../../src/store/sealed.ts"
import { folderIn, runs, succeeded, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("since")
const reference = { backend: "reference" } as const
const said: Array<string> = []
vi.spyOn(console, "error").mockImplementation((...text) => void said.push(text.join(" ")))
afterEach(() => void said.splice(0))

let model: string
beforeAll(async () => {
  const store = folder()
  const { base } = tiny()
  succeeded(await runs(base, store))
  model = join(await folderIn(store, base), "model")
})

const rows = (subject: string, count: number) =>
  Array.from(
    { length: count },
    (_, i) =>
      `${
        JSON.stringify({
          prompt: `write about ${subject} .`,
          completion: ` once there was ${i % 2 ? "a dog" : subject} .`
        })
      }\n`
  )
    .join("")

/** A pipeline of files in a folder of their own: two stages, of which one reads the data. */
const files = () => {
  const at = folder()
  mkdirSync(at)
  cpSync(model, join(at, "base"), { recursive: true })
  const data = join(at, "data.jsonl")
  writeFileSync(data, rows("a girl", 8))
  const base = Checkpoint.huggingFace("tales", join(at, "base"))
  const rate = { batchSize: 1, learningRate: 1e-3, checkpointEvery: 2 }
  const first = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 4 })) }, rate)
  const root = Sft.make({ base: first, demonstrations: Source.demonstrations(Source.file(data)) }, rate)
  return { at, data, first, root, out: join(at, "runs", "one") }
}

const told = async (root: Sft1, options: RunOptions, stop: (event: Event) => boolean = () => false) => {
  const events: Array<Event> = []
  let end = () => {}
  const onEvent = (event: Event) =>
    Effect.sync(() => {
      events.push(event)
      if (stop(event)) end()
    })
  const fiber = Effect.runFork(run(root as never, { ...reference, ...options, onEvent }))
  end = () => fiber.interruptUnsafe()
  const exit = await Effect.runPromise(Fiber.await(fiber))
  return { events, exit, model: Exit.isSuccess(exit) ? (exit.value as { readonly model: string }).model : null }
}
type Sft1 = ReturnType<typeof files>["root"]

describe("an input that changed", () => {
  it(
    "is said with the stages that it makes again, from their beginning, to the weights of a run of its own",
    async () => {
      const { at, data, first, out, root } = files()
      const stopped = await told(
        root,
        { out },
        (event) => event._tag === "Step" && event.stage === label(root) && event.step === 5
      )
      assert.isTrue(Exit.isFailure(stopped.exit))
      // As many rows of the same length: nothing but the bytes tells.
      writeFileSync(data, readFileSync(data, "utf8").replaceAll("a girl", "a bear"))
      said.splice(0)
      const again = await told(root, { out })
      assert.deepStrictEqual(
        said.filter((line) => line.includes("changed")),
        [`${data} has changed since this run began: 1 stage is made again from the beginning: ${label(root)}.`]
      )
      const begun = again.events.flatMap((event) => event._tag === "Started" ? [[event.stage, event.from]] : [])
      assert.deepStrictEqual(begun, [[label(root), 0]])
      assert.isFalse(
        again.events.some((event) => "stage" in event && event.stage === label(first) && event._tag === "Step")
      )
      const own = await told(root, { out: join(at, "elsewhere", "one") })
      const weights = (path: string | null) => readFileSync(join(path!, "model.safetensors"))
      assert.isTrue(weights(again.model).equals(weights(own.model)))
      // Finished, and changed back and forth: each time the model of the rows that are there.
      writeFileSync(data, rows("a girl", 3))
      const shorter = await told(root, { out })
      assert.isFalse(weights(shorter.model).equals(weights(own.model)))
      const steps = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        steps.filter(({ stage }) => stage === label(root)).map(({ step }) => step),
        [1, 2, 3]
      )
      said.splice(0)
      assert.deepStrictEqual((await told(root, { out })).events.map(({ _tag }) => _tag), ["Cached"])
      assert.isFalse(said.some((line) => line.includes("changed")))
    },
    120_000
  )

  it("while the run goes on ends it, and what it read is not used", async () => {
    const { data, out, root } = files()
    const { exit } = await told(root, { out }, (event) => {
      if (event._tag === "Step") writeFileSync(data, rows("a cat", 8))
      return false
    })
    assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("has changed since the run began"), String(exit))
    assert.isTrue(Exit.isSuccess((await told(root, { out })).exit))
  }, 60_000)

  it("code without a version is named; with another version its results are made again", async () => {
    const { at, first } = files()
    const root = Evaluate.make({ initial: first, prompts: Source.prompts(Source.tales({ split: "held", count: 2 })) }, {
      first
    }, {
      gold: Gold.own("brief"),
      maxNewTokens: 4
    })
    const brief = (version?: string) =>
      [reward("brief", (_, completion) => -completion.length, version === undefined ? {} : { version })] as const
    const made = async (version?: string) => {
      said.splice(0)
      const { events } = await told(root as never, { out: join(at, "runs", "one"), rewards: brief(version) })
      return events.flatMap((event) => event._tag === "Started" ? [event.stage] : [])
    }
    assert.deepStrictEqual(await made(), [label(first), label(root)])
    assert.isTrue(
      said.some((line) => line.startsWith("Without a version, of reward brief only the text")),
      said.join("\n")
    )
    assert.deepStrictEqual(await made("1"), [label(root)])
    assert.isTrue(said.some((line) => line.startsWith("the code of reward brief has changed")), said.join("\n"))
    assert.isFalse(said.some((line) => line.startsWith("Without a version")))
    assert.deepStrictEqual(await made("1"), [])
    assert.deepStrictEqual(await made("2"), [label(root)])
  }, 60_000)
})

it("a run that began on another machine is refused in a line, or goes on and says so", async () => {
  const { out, root } = files()
  await told(root, { out }, (event) => event._tag === "Step" && event.stage === label(root) && event.step === 3)
  const path = join(out, "run.json")
  const { sha256: _, ...file } = JSON.parse(readFileSync(path, "utf8"))
  assert.deepStrictEqual(file.bits, { backend: "reference" })
  writeFileSync(path, signed({ ...file, bits: { backend: "native", processor: "x64 avx2", compiler: "cc 1" } }))
  const refused = await told(root, { out })
  assert.isTrue(Exit.isFailure(refused.exit))
  const text = String(refused.exit)
  for (const part of ["native (x64 avx2; cc 1)", "here it is reference", "--accept-other-bits"]) {
    assert.include(text, part)
  }
  assert.lengthOf(refused.events, 0)
  said.splice(0)
  assert.isTrue(Exit.isSuccess((await told(root, { out, acceptOtherBits: true })).exit))
  assert.isTrue(
    said.some((line) => line.includes("native (x64 avx2; cc 1), and here it is reference")),
    said.join("\n")
  )
  // Nothing is left to compute: no machine matters.
  writeFileSync(path, signed({ ...file, bits: { backend: "native" } }))
  assert.isTrue(Exit.isSuccess((await told(root, { out })).exit))
  // What cannot be compared is said.
  said.splice(0)
  writeFileSync(path, signed(file).replace("reference", "refference"))
  assert.isTrue(Exit.isSuccess((await told(root, { out })).exit))
  assert.isTrue(
    said.some((line) => line.startsWith(path) && line.includes("it was changed after Keel wrote it")),
    said.join("\n")
  )
}, 60_000)
