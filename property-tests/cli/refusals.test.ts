/** What the system refuses: a full or read-only disk, a path that is no folder, a reader that went away; and a second Ctrl-C. */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { Pretrain, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { contents } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { type Ended, keel } from "./keel.ts"

const folder = folders("refusals")
const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

const model = { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 32, context: 128 }
const training = { family: "tales", steps: 8, batchSize: 8, learningRate: 1e-3, checkpointEvery: 2 }
const text = Source.text(Source.tales({ count: 64 }))
const root = Pretrain.make({ text }, { ...training, model })

const workplace = (): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "it.json"), toJson(root))
  writeFileSync(join(at, "file"), "")
  return at
}
const run = (out: string, backend = "wasm") => ["run", "it.json", "--out", out, "--backend", backend]

/** The command line in a shell: `$keel` with its arguments. */
const shell = (at: string, script: string, within: ReadonlyArray<string> = ["bash", "-c"]): Promise<Ended> =>
  new Promise((resolve) => {
    const [command, ...args] = within
    const env = { ...process.env, NO_COLOR: "1", keel: `${process.execPath} --no-warnings ${main}` }
    const child = spawn(command!, [...args, script], { cwd: at, env, stdio: ["ignore", "pipe", "pipe"] })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (data) => stdout += String(data))
    child.stderr.on("data", (data) => stderr += String(data))
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })

const own = ["unshare", "-rm", "bash", "-c"]
const mounts = spawnSync(own[0]!, [...own.slice(1), "mount -t tmpfs tmpfs /mnt"]).status === 0
if (!mounts) {
  console.warn("skipped: no file system of our own can be mounted (unshare -rm), so no disk is full or read-only")
}

const lastLine = (text: string): string => text.trimEnd().split("\n").at(-1)!

describe("a disk", () => {
  it.skipIf(!mounts)("that is full is named, and the run goes on where it was once there is space", async () => {
    const at = workplace()
    const whole = await keel(run("whole/it"), at)
    assert.strictEqual(whole.code, 0, whole.stderr)
    const { code, stderr, stdout } = await shell(
      at,
      `mkdir t && mount -t tmpfs -o size=60k tmpfs t && $keel ${run("t/it").join(" ")} > told 2>&1; echo $?
       mount -o remount,size=10m t && $keel resume t/it > resumed 2>&1; echo $?; cp -r t kept`,
      own
    )
    assert.deepStrictEqual([code, stdout, stderr], [0, "1\n0\n", ""])
    assert.match(
      lastLine(readFileSync(join(at, "told"), "utf8")),
      /^SystemFailure: .*: the disk is full \(ENOSPC\)\. Free some space, then go on with: keel resume .*t\/it$/u
    )
    assert.deepStrictEqual(contents(join(at, "kept/store")), contents(join(at, "whole/store")))
  })

  it.skipIf(!mounts)("that is read-only is named before anything is trained", async () => {
    const at = workplace()
    const { code, stderr } = await shell(
      at,
      `mkdir t && mount -t tmpfs -o ro tmpfs t && $keel ${run("t/it").join(" ")}`,
      own
    )
    assert.strictEqual(code, 1)
    assert.match(
      lastLine(stderr),
      /^SystemFailure: .*\/t\/it: the file system is read-only \(EROFS\)\. Make it writable, or give another path\.$/u
    )
    assert.notInclude(stderr, "✗")
  })
})

describe("a path", () => {
  it.each([
    ["a file for --out", run("file"), /^keel run: --out file: it is a file .* \(ENOTDIR\)$/mu],
    ["a path below a file for --out", run("file/sub"), /^keel run: --out file\/sub: it is a file .* \(ENOTDIR\)$/mu],
    ["a folder for a file", ["check", "."], /^BadPipelineFile: \.: it is a folder, /mu],
    ["a folder for a description", ["check", "d.json"], /^BadPipelineFile: d\.json: it is a folder, /mu],
    ["a folder that the system makes none in", run("/proc/none"), /^SystemFailure: \/proc\/none: .*\(ENOENT\)/mu]
  ])("%s is named in a line", async (_, args, said) => {
    const at = workplace()
    mkdirSync(join(at, "d.json"))
    const { code, stderr, stdout } = await keel(args, at)
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, said)
    assert.isAtMost(stderr.trim().split("\n").length, 2)
  })
})

describe("a reader that went away", () => {
  it("does not stop a run, on either stream", async () => {
    const at = workplace()
    for (const [out, pipe] of [["a/it", "2>&1 |"], ["b/it", "2>/dev/null |"]] as const) {
      const { code, stderr } = await shell(
        at,
        `set -o pipefail; $keel ${run(out).join(" ")} ${pipe} head -c 1 >/dev/null`
      )
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.isTrue(existsSync(join(at, out, "report.md")))
    }
    assert.deepStrictEqual(contents(join(at, "a/store")), contents(join(at, "b/store")))
  })

  it.skipIf(!existsSync("/dev/full"))("is no full disk, which is said, and not by an exit code of 0", async () => {
    const at = workplace()
    const { code, stderr } = await shell(at, "$keel show it.json >/dev/full")
    assert.strictEqual(code, 1)
    assert.strictEqual(lastLine(stderr), "Standard output is incomplete: the disk is full (ENOSPC)")
    const { code: logless } = await shell(at, `$keel ${run("c/it").join(" ")} 2>/dev/full`)
    assert.strictEqual(logless, 0)
  })
})

describe("Ctrl-C", () => {
  it("is answered, and the second time ends the process at once, to be resumed to the same bytes", async () => {
    const at = workplace()
    const whole = await keel(run("whole/it", "reference"), at)
    assert.strictEqual(whole.code, 0, whole.stderr)
    // A program that never comes back from its first checkpoint, where nothing can interrupt it.
    const source = (path: string): string => JSON.stringify(fileURLToPath(new URL(`../../${path}`, import.meta.url)))
    writeFileSync(
      join(at, "it.mts"),
      `import * as Effect from ${source("node_modules/effect/dist/Effect.js")}
       import { readFileSync } from "node:fs"
       import { fromJson } from ${source("dsl/Pipeline.ts")}
       import { run } from ${source("src/program/run.ts")}
       const hang = (event) => event._tag === "Checkpoint" ? Effect.andThen(Effect.sync(() => console.log("there")), Effect.never) : Effect.void
       const options = { out: "slow/it", backend: "reference", onEvent: hang }
       setInterval(() => {}, 1000)
       await Effect.runPromise(run(fromJson(readFileSync("it.json", "utf8")).success, options))`
    )
    const child = spawn(process.execPath, ["--no-warnings", "it.mts"], { cwd: at, stdio: ["ignore", "pipe", "pipe"] })
    let [there, stderr] = [false, ""]
    child.stdout.on("data", () => there = true)
    child.stderr.on("data", (data) => stderr += String(data))
    const ended = new Promise((resolve) => child.on("close", resolve))
    const until = async (what: () => boolean) => {
      while (!what() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await until(() => there)
    child.kill("SIGINT")
    await until(() => stderr.includes("Stopping"))
    child.kill("SIGINT")
    assert.strictEqual(await ended, 130, stderr)
    assert.strictEqual(
      stderr.trim().split(/\n+/u).slice(1).join("\n"),
      "Stopping at the next safe point; Ctrl-C again ends at once.\n" +
        "Ended at once; the work since the last checkpoint is lost. Go on with: keel resume slow/it"
    )
    const last = await keel(["resume", "slow/it"], at)
    assert.strictEqual(last.code, 0, last.stderr)
    assert.include(last.stderr, "goes on from step 2 of 8")
    assert.deepStrictEqual(contents(join(at, "slow/store")), contents(join(at, "whole/store")))
  })
})
