/** The torch backend from the command line: chosen, remembered, stopped, killed, and refused where it makes no sense. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Pretrain, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { contents, leftovers, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { noTorch } from "../tensor/libtorch.ts"
import { keel, start } from "./keel.ts"

const folder = folders("torch")
// One thread: the other tests are on the cores too.
process.env["OMP_NUM_THREADS"] = "1"

const args = ["run", "it.json", "--out", "runs/it", "--backend", "torch", "--device", "cpu"]
const resume = ["resume", "runs/it"]
const workplace = (root: Artifact.Any): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "it.json"), toJson(root))
  return at
}
const told = (at: string, tag: string): number => {
  const path = join(at, "runs/it/events.jsonl")
  return existsSync(path) ? readFileSync(path, "utf8").split(`"_tag":"${tag}"`).length - 1 : 0
}
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe("a device", () => {
  it("other than cpu is refused in one line for a backend that has none", async () => {
    for (const backend of ["wasm", "native"]) {
      const { code, stderr } = await keel(
        ["run", "it.json", "--backend", backend, "--device", "cuda:0"],
        workplace(tiny().root)
      )
      assert.strictEqual(code, 1)
      assert.strictEqual(
        stderr.trim(),
        `BackendUnavailable: backend ${backend} does not work here: it computes on the processor; `
          + "--device cuda:0 needs --backend torch. --backend reference always works, slowly."
      )
    }
  })
})

describe("where there is no libtorch", () => {
  it("one line says what to set or install", async () => {
    const at = workplace(tiny().root)
    const before = process.env["KEEL_LIBTORCH"]
    process.env["KEEL_LIBTORCH"] = at
    const { code, stderr } = await keel(args, at).finally(() => {
      if (before === undefined) delete process.env["KEEL_LIBTORCH"]
      else process.env["KEEL_LIBTORCH"] = before
    })
    assert.strictEqual(code, 1)
    assert.match(
      stderr.trim(),
      /^BackendUnavailable: backend torch does not work here: KEEL_LIBTORCH is .*, where there is no libtorch_cpu\.\w+\. /
    )
    assert.lengthOf(stderr.trim().split("\n"), 1)
  })
})

describe.skipIf(noTorch !== undefined)("--backend torch", () => {
  it("remembers backend and device; killed with -9 it goes on with keel resume to the same bytes", async () => {
    const { root } = tiny()
    const undisturbed = workplace(root)
    const whole = await keel(args, undisturbed)
    assert.strictEqual(whole.code, 0, whole.stderr)
    const { backend, device } = JSON.parse(readFileSync(join(undisturbed, "runs/it/run.json"), "utf8"))
    assert.deepStrictEqual([backend, device], ["torch", "cpu"])
    const at = workplace(root)
    let killed = 0
    // In pretraining, and after it.
    for (const [i, n] of [3, 7].entries()) {
      const before = told(at, "Step")
      const { child, ended } = start(i === 0 ? args : resume, at)
      while (child.exitCode === null && told(at, "Step") < before + n) await sleep(1)
      child.kill("SIGKILL")
      if ((await ended).signal === "SIGKILL") killed++
    }
    assert.strictEqual(killed, 2)
    const last = await keel(resume, at)
    assert.strictEqual(last.code, 0, last.stderr)
    assert.match(last.stderr, /on torch$/mu)
    assert.deepStrictEqual(contents(join(at, "runs/store")), contents(join(undisturbed, "runs/store")))
    assert.deepStrictEqual(leftovers(join(at, "runs/store")), [])
    // Five processes, each with the whole of libtorch to load.
  }, 180_000)

  it("Ctrl-C stops in the middle of a step", async () => {
    const at = workplace(
      Pretrain.make({ text: Source.text(Source.tales({ count: 128 })) }, {
        family: "tales",
        model: { dim: 384, layers: 8, heads: 6, kvHeads: 3, ffn: 1024, context: 128 },
        steps: 1,
        batchSize: 128,
        learningRate: 1e-3
      })
    )
    const { child, ended } = start(args, at)
    while (child.exitCode === null && told(at, "Started") === 0) await sleep(5)
    await sleep(500)
    child.kill("SIGINT")
    const { code, stderr } = await ended
    assert.strictEqual(code, 130, stderr)
    assert.match(stderr, /^Stopped; pretrain-[0-9a-f]{8} begins again\. Go on with: /mu)
    assert.deepStrictEqual([told(at, "Step"), leftovers(join(at, "runs/store"))], [0, []])
  })
})
if (noTorch !== undefined) it.skip(`torch: ${noTorch}`, () => {})
