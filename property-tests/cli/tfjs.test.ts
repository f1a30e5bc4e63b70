/** TensorFlow.js from the command line: what is said where it is not, and, where it is, kill -9 in the middle of a run. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { toJson } from "../../dsl/Pipeline.ts"
import { NoTfjs, tfjs } from "../../src/tensor/tfjs/tfjs.ts"
import { contents, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { keel, start } from "./keel.ts"

const folder = folders("tfjs-cli")

const missing = await tfjs({ threads: 2 }).then(
  (backend) => backend.dispose(),
  (error: unknown) => {
    if (error instanceof NoTfjs && /is not installed/.test(error.message)) return error.message
    throw error
  }
)

const workplace = (): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "it.json"), toJson(tiny().root))
  return at
}
const run = ["run", "it.json", "--out", "runs/it", "--backend", "tfjs"]
const lastLine = (text: string): string => text.trim().split("\n").at(-1)!

describe("keel backend install", () => {
  it("fails with one line that says what to do, and leaves nothing", async () => {
    const at = folder()
    const { code, stderr, stdout } = await keel(["backend", "install", "tfjs-node", "--tensorflow", "nowhere"], at)
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(
      lastLine(stderr),
      /^BackendNotInstalled: tfjs-node: looking for TensorFlow failed: there is no nowhere\. Take one from `pip install /
    )
  })
})

describe("--backend tfjs", () => {
  it.skipIf(missing === undefined)("says in one line what to do where it is not installed", async () => {
    const { code, stderr } = await keel(run, workplace())
    assert.strictEqual(code, 1)
    assert.match(lastLine(stderr), /^BackendUnavailable: backend tfjs .* Run `keel backend install tfjs-node-gpu`, or /)
  })

  it.skipIf(missing !== undefined)(
    `killed with -9 goes on with keel resume to the same bytes${missing === undefined ? "" : ` (${missing})`}`,
    async () => {
      const undisturbed = workplace()
      const whole = await keel(run, undisturbed)
      assert.strictEqual(whole.code, 0, whole.stderr)
      const at = workplace()
      const log = join(at, "runs/it/events.jsonl")
      const steps = () => existsSync(log) ? readFileSync(log, "utf8").split('"_tag":"Step"').length - 1 : 0
      const { child, ended } = start(run, at)
      while (child.exitCode === null && steps() < 4) await new Promise((resolve) => setTimeout(resolve, 1))
      child.kill("SIGKILL")
      assert.strictEqual((await ended).signal, "SIGKILL")
      const last = await keel(["resume", "runs/it"], at)
      assert.strictEqual(last.code, 0, last.stderr)
      assert.deepStrictEqual(contents(join(at, "runs/store")), contents(join(undisturbed, "runs/store")))
    },
    180_000
  )
})
