/** The folder of a run: one process at a time, moved, damaged, somebody else's; and a share of `npm run test:chaos`. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { toJson } from "../../dsl/Pipeline.ts"
import {
  changesOf,
  crashed,
  damaged,
  halfway,
  killed,
  library,
  open,
  seeded,
  together,
  wholeOf
} from "../chaos/trials.ts"
import { leftovers, tiny } from "../interpreters/tiny.ts"
import { keel, start } from "./keel.ts"

const root = mkdtempSync(join(tmpdir(), "keel-run-folder-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const { root: pipeline } = tiny({ steps: 12 })

const workplace = (name: string): string => {
  const at = join(root, name)
  mkdirSync(at, { recursive: true })
  writeFileSync(join(at, "it.json"), toJson(pipeline))
  return at
}
const args = ["run", "it.json", "--out", "runs/it", "--backend", "reference"]
const log = (at: string): string =>
  existsSync(join(at, "runs/it/events.jsonl")) ? readFileSync(join(at, "runs/it/events.jsonl"), "utf8") : ""

/** Starts a run and waits until it has a checkpoint. */
const begun = async (at: string) => {
  const run = start(args, at)
  while (run.child.exitCode === null && !log(at).includes('"Checkpoint"')) await new Promise((go) => setTimeout(go, 5))
  return run
}

describe("the folder of a run", () => {
  it("has one process at a time; killed, moved and torn it goes on where it is", async () => {
    const at = workplace("a")
    const { child, ended } = await begun(at)
    const second = await keel(["resume", "runs/it"], at)
    assert.strictEqual(second.code, 1)
    assert.match(second.stderr, new RegExp(`^BadRunFolder: runs/it: process ${child.pid} on .* runs it\\.`, "mu"))
    child.kill("SIGKILL")
    await ended
    // The last line is torn, as by a power cut.
    appendFileSync(join(at, "runs/it/events.jsonl"), '{"at":1,"ev')
    const moved = join(root, "b")
    renameSync(at, moved)
    const after = await keel(["resume", "runs/it"], moved)
    assert.strictEqual(after.code, 0, after.stderr)
    assert.match(after.stderr, /goes on from step/u)
    assert.isFalse(existsSync(at))
    assert.deepStrictEqual(leftovers(join(moved, "runs/store")), [])
    const torn = log(moved).trim().split("\n").filter((line) => !line.startsWith("{") || !line.endsWith("}"))
    assert.deepStrictEqual(torn, ['{"at":1,"ev'])
    for (const line of log(moved).trim().split("\n")) {
      if (!torn.includes(line)) assert.containsAllKeys(JSON.parse(line), ["at", "time", "event"])
    }

    // Without its store it does not begin anew.
    renameSync(join(moved, "runs/store"), join(moved, "elsewhere"))
    const alone = await keel(["resume", "runs/it"], moved)
    assert.match(alone.stderr, /^BadRunFolder: runs\/it: its store, .* is not there\./mu)
    renameSync(join(moved, "elsewhere"), join(moved, "runs/store"))

    // A changed byte of how it was started is told, and the remedy works.
    const [file, description] = [join(moved, "runs/it/run.json"), join(moved, "runs/it/description.json")]
    for (const path of [file, description]) {
      writeFileSync(
        path,
        readFileSync(path, "utf8").replace(
          path === file ? "reference" : '"steps":12',
          path === file ? "referencf" : '"steps":13'
        )
      )
      const told = await keel(["resume", "runs/it"], moved)
      assert.strictEqual(told.code, 1)
      assert.match(
        told.stderr,
        /Start it again in the same folder: keel run FILE --out runs\/it goes on where it is\./u
      )
      const again = await keel(args, moved)
      assert.strictEqual(again.code, 0, again.stderr)
    }
  })

  it("is not one with other files in it, or a file", async () => {
    const at = workplace("c")
    mkdirSync(join(at, "mine"))
    writeFileSync(join(at, "mine/thesis.tex"), "")
    const foreign = await keel(["run", "it.json", "--out", "mine", "--backend", "reference"], at)
    assert.match(foreign.stderr, /BadRunFolder: .*mine: it holds other files \(thesis\.tex\)\. Give a new folder/u)
  })

  it("names the module that it imports, and asks for it where it lies elsewhere", async () => {
    const at = workplace("d")
    await keel(args, at)
    const file = join(at, "runs/it/run.json")
    const { sha256: _, ...run } = JSON.parse(readFileSync(file, "utf8"))
    // As an older version wrote it: without a SHA-256.
    writeFileSync(file, JSON.stringify({ ...run, keel: 1, module: "/somebody/elses.ts" }))
    const { code, stderr } = await keel(["resume", "runs/it"], at)
    assert.strictEqual(code, 1)
    assert.match(
      stderr,
      /takes stages, rewards or losses from \/somebody\/elses\.ts, which is not there\. Name the module .* --module FILE/u
    )
  })
})

describe("a run of the command line", () => {
  it("is the same after kills, damages and in company: a share of npm run test:chaos", async () => {
    const { at, close } = open()
    try {
      const random = seeded(11)
      const whole = await wholeOf(at, "bestOfN")
      const problems: Array<string> = []
      problems.push(...(await killed(at, whole, () => 0.5)).problems)
      const disk = library(at)
      if (disk === undefined) console.log("no kills at changes on the disk: that needs Linux and a C compiler")
      else {
        const changes = await changesOf(at, disk, whole)
        for (let i = 0; i < 1; i++) {
          problems.push(
            ...(await crashed(at, disk, whole, changes[Math.floor(changes.length * random())]!, random)).problems
          )
        }
      }
      const from = await halfway(at, whole, random)
      for (let i = 0; i < 2; i++) problems.push(...(await damaged(at, whole, from, random)).problems)
      problems.push(...(await together(at, whole, () => 0.4, false)).problems)
      assert.deepStrictEqual(problems, [])
    } finally {
      close()
    }
  }, 180_000)
})
