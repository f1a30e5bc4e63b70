/** Ctrl-C, SIGTERM and kill -9 in the middle of a long step: its first step in a process, since nobody knows how long it will be. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Compare, Evaluate, Gold, Pretrain, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { contents, leftovers, runs, succeeded, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { type Ended, keel, start } from "./keel.ts"

const folder = folders("stop")

/** Two steps of about a second and a half each on the reference backend. */
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 64 })) }, {
  family: "tales",
  model: { dim: 64, layers: 2, heads: 2, kvHeads: 1, ffn: 160, context: 128 },
  steps: 2,
  batchSize: 32,
  learningRate: 1e-3,
  checkpointEvery: 1
})
const prompts = Source.prompts(Source.tales({ split: "held", count: 64 }))
const sampling = { gold: Gold.tales, maxNewTokens: 90 }

let whole: string
let expected: ReadonlyMap<string, string>
beforeAll(async () => {
  whole = folder()
  succeeded(await runs(base, whole))
  expected = contents(whole)
})

const run = (backend: string) => ["run", "it.json", "--out", "runs/it", "--backend", backend]
const resume = ["resume", "runs/it"]

const workplace = (root: Artifact.Any): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "it.json"), toJson(root))
  return at
}
/** How many events of the log begin so. */
const told = (at: string, tag: string, stage = ""): number => {
  const path = join(at, "runs/it/events.jsonl")
  return existsSync(path) ? readFileSync(path, "utf8").split(`"_tag":"${tag}","stage":"${stage}`).length - 1 : 0
}
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Starts it, waits for one more such event in its log and then `more` milliseconds, and sends the signal. */
const stopped = async (
  at: string,
  args: ReadonlyArray<string>,
  signal: NodeJS.Signals,
  tag: string,
  more: number,
  stage = ""
): Promise<Ended> => {
  const before = told(at, tag, stage)
  const { child, ended } = start(args, at)
  while (child.exitCode === null && told(at, tag, stage) === before) await sleep(5)
  await sleep(more)
  const began = performance.now()
  child.kill(signal)
  const end = await ended
  if (process.env["KEEL_TIMES"] !== undefined) console.log(signal, stage, tag, performance.now() - began)
  return end
}
const finished = async (at: string): Promise<void> => {
  const last = await keel(resume, at)
  assert.strictEqual(last.code, 0, last.stderr)
}

describe("in the middle of a long step", () => {
  it("Ctrl-C stops at once, nothing half done is saved, and going on reaches the same bytes", async () => {
    const at = workplace(base)
    const store = join(at, "runs/store")
    const first = await stopped(at, run("reference"), "SIGINT", "Started", 300)
    assert.strictEqual(first.code, 130, first.stderr)
    assert.match(first.stderr, /^Stopped; pretrain-[0-9a-f]{8} begins again\. Go on with: keel resume .*runs\/it$/mu)
    assert.notInclude(first.stderr, "Abandoned")
    assert.deepStrictEqual([told(at, "Step"), told(at, "Checkpoint")], [0, 0])
    assert.deepStrictEqual([...contents(store).keys(), ...leftovers(store)], [])

    // Killed after its first step, it has a checkpoint.
    assert.strictEqual((await stopped(at, resume, "SIGKILL", "Checkpoint", 0)).signal, "SIGKILL")
    // By a name without the process that owned it.
    const left = () =>
      leftovers(store).flatMap((path) => path.endsWith("/beat") ? [] : path.replace(/\.partial[^/]*/u, ".partial"))
    const saved = left()
    const second = await stopped(at, resume, "SIGINT", "Started", 300)
    assert.strictEqual(second.code, 130, second.stderr)
    assert.match(
      second.stderr,
      /^Stopped; pretrain-[0-9a-f]{8} goes on from step 1 of 2, its last checkpoint\. Go on with: /mu
    )
    assert.deepStrictEqual([told(at, "Step"), told(at, "Checkpoint")], [1, 1])
    assert.deepStrictEqual(left(), saved)
    await finished(at)
    assert.deepStrictEqual(contents(store), expected)
  })

  it("SIGTERM ends the process at once, like kill -9", async () => {
    const at = workplace(base)
    const { signal } = await stopped(at, run("reference"), "SIGTERM", "Started", 300)
    assert.strictEqual(signal, "SIGTERM")
    assert.strictEqual(told(at, "Step"), 0)
    await finished(at)
    assert.deepStrictEqual(contents(join(at, "runs/store")), expected)
  })
})

describe("in the middle of sampling", () => {
  const cases = [
    ["compare", Compare.make({ policy: base, prompts }, { ...sampling, completionsPerPrompt: 4 })],
    ["evaluate", Evaluate.make({ initial: base, prompts }, { base }, sampling)]
  ] as const
  for (const [op, root] of cases) {
    it(`of ${op}, Ctrl-C stops at once`, async () => {
      const at = workplace(root)
      const { code, stderr } = await stopped(at, run("reference"), "SIGINT", "Started", 300, op)
      assert.strictEqual(code, 130, stderr)
      assert.match(stderr, new RegExp(`^Stopped; ${op}-[0-9a-f]{8} begins again\\. Go on with: `, "mu"))
    })
  }
})

describe("on the wasm backend", () => {
  it("Ctrl-C stops in the middle of a step, threads and all", async () => {
    const large = Pretrain.make({ text: Source.text(Source.tales({ count: 128 })) }, {
      family: "tales",
      model: { dim: 384, layers: 8, heads: 6, kvHeads: 3, ffn: 1024, context: 128 },
      steps: 1,
      batchSize: 128,
      learningRate: 1e-3
    })
    const at = workplace(large)
    const { code, stderr } = await stopped(at, run("wasm"), "SIGINT", "Started", 500)
    assert.strictEqual(code, 130, stderr)
    assert.match(stderr, /^Stopped; pretrain-[0-9a-f]{8} begins again\. Go on with: /mu)
    assert.deepStrictEqual([told(at, "Step"), leftovers(join(at, "runs/store"))], [0, []])
  })

  it("killed with -9 goes on with keel resume to the same bytes", async () => {
    const { root } = tiny()
    const undisturbed = workplace(root)
    const whole = await keel(run("wasm"), undisturbed)
    assert.strictEqual(whole.code, 0, whole.stderr)
    const at = workplace(root)
    let killed = 0
    // In pretraining, and after it.
    for (const [i, n] of [3, 7].entries()) {
      const before = told(at, "Step")
      const { child, ended } = start(i === 0 ? run("wasm") : resume, at)
      while (child.exitCode === null && told(at, "Step") < before + n) await sleep(1)
      child.kill("SIGKILL")
      if ((await ended).signal === "SIGKILL") killed++
    }
    assert.strictEqual(killed, 2)
    await finished(at)
    assert.deepStrictEqual(contents(join(at, "runs/store")), contents(join(undisturbed, "runs/store")))
    assert.deepStrictEqual(leftovers(join(at, "runs/store")), [])
  })
})
