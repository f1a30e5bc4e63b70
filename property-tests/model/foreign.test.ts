import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Cause, Effect, Exit, Result } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { afterAll, assert, describe, it } from "vitest"
import { read as rowsOf, readers } from "../../src/data/read.ts"
import { chatTemplate } from "../../src/model/chatTemplate.ts"
import { eachLimited, limited, Overran, windows } from "../../src/model/foreign.ts"
import { bytesOf, Unreadable } from "../../src/model/regularFile.ts"

const folder = mkdtempSync(join(tmpdir(), "keel-foreign-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const forever = (): never => {
  for (;;);
}
const backtracking = (): boolean => /^(a+)+$/u.test(`${"a".repeat(60)}b`)

describe("work of strangers", () => {
  it.each([["a loop", forever], ["a regular expression", backtracking]])("ends at its limit: %s", (_, work) => {
    assert.throws(() => limited(work, 0.2), Overran)
  })

  it("inside other such work has the limit of that", () => {
    assert.throws(() => limited(() => limited(forever, 1000), 0.2), Overran)
    assert.strictEqual(limited(() => limited(() => 3)), 3)
  })

  it("is done piece by piece, once each, in order, whatever the pieces take", async () => {
    const took = [0, 0, 150, 0, 150, 0]
    const done: Array<number> = []
    const piece = (): Result.Result<"more" | "done"> => {
      const until = performance.now() + took[done.length]!
      while (performance.now() < until);
      done.push(done.length)
      return Result.succeed(done.length < took.length ? "more" : "done")
    }
    let heard = 0
    const timer = setInterval(() => heard++, 1)
    await Effect.runPromise(windows(piece, (error) => error))
    clearInterval(timer)
    assert.deepStrictEqual(done, [0, 1, 2, 3, 4, 5])
    // The event loop turned between windows, so that a signal would have been heard.
    assert.isAbove(heard, 0)
    assert.deepStrictEqual(eachLimited([3, 4], (x, i) => x * 10 + i), [30, 41])
  })

  it.each(["SIGINT", "SIGTERM"] as const)("ends at %s", async (signal) => {
    const module = fileURLToPath(new URL("../../src/model/foreign.ts", import.meta.url))
    // Not console.log: the signal would interrupt it.
    const code = `import { writeSync } from "node:fs"
      import { limited } from ${JSON.stringify(module)}
      process.on("SIGINT", () => {})
      process.on("SIGTERM", () => {})
      try { limited(() => { writeSync(1, "begun\\n"); for (;;); }, 1000) } catch (error) { console.log(error.name) }`
    const file = join(folder, `${signal}.mjs`)
    writeFileSync(file, code)
    const child = spawn(process.execPath, ["--no-warnings", file])
    let said = ""
    child.stdout.on("data", (data) => {
      said += String(data)
      if (said === "begun\n") child.kill(signal)
    })
    const ended = await new Promise((resolve) => child.on("close", (...how) => resolve(how)))
    assert.deepStrictEqual(
      [ended, said],
      signal === "SIGINT" ? [[0, null], "begun\nAbandoned\n"] : [[null, "SIGTERM"], "begun\n"]
    )
  })
})

describe("chat templates", () => {
  const render = (template: string) =>
    chatTemplate(new Map([["chat_template.jinja", template]]), {}, {})!([{ role: "user", content: "hi" }])

  it.each([
    [
      "steps",
      "{% for i in range(90000) %}{% for j in range(100) %}{{ i }}{% endfor %}{% endfor %}",
      /more than \d+ steps/
    ],
    ["items", "{{ range(1000000000) | length }}", /range.* more than \d+ items/],
    [
      "texts",
      "{% set n = namespace(x='ab') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      /characters/
    ],
    ["lists", "{% set n = namespace(x=[1]) %}{% for i in range(40) %}{% set n.x = n.x + n.x %}{% endfor %}", /items/],
    ["calls", "{% macro f(x) %}{{ x(x) }}{% endmacro %}{{ f(f) }}", /call stack/],
    ["padding", "{{ 'a\\nb' | indent(99999999, true) }}", /characters/]
  ])("are refused when they make too many %s", (_, template, message) => {
    assert.throws(() => render(template), message)
  })

  it("count up and down as Python does", () => {
    assert.strictEqual(render("{% for i in range(3) %}{{ i }}{% endfor %}"), "012")
    assert.strictEqual(render("{% for i in range(1, 6, 2) %}{{ i }}{% endfor %}"), "135")
    assert.strictEqual(render("{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}"), "321")
    assert.strictEqual(render("{% for i in range(3, 1) %}{{ i }}{% endfor %}"), "")
  })
})

describe("files", () => {
  const read = (path: string, most?: number) =>
    Effect.runPromiseExit(Effect.provide(bytesOf(path, most), NodeFileSystem.layer))

  const refused = async (path: string, most?: number): Promise<string> => {
    const exit = await read(path, most)
    const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : null
    assert.instanceOf(error, Unreadable)
    return error.message
  }

  it("that are none are not waited for", async () => {
    const [pipe, zero, at] = ["pipe", "zero", "folder"].map((name) => join(folder, name)) as [string, string, string]
    execFileSync("mkfifo", [pipe])
    symlinkSync("/dev/zero", zero)
    mkdirSync(at)
    assert.match(await refused(pipe), /pipe: it is a named pipe, and only regular files are read\. Write its content/)
    assert.match(await refused(zero), /zero: it is a device/)
    assert.match(await refused(at), /folder: it is a folder.* Give the path of a file in it\.$/)
  })

  it("have a largest size", async () => {
    const path = join(folder, "large")
    writeFileSync(path, "abc")
    assert.deepStrictEqual(await read(path, 3), Exit.succeed(new TextEncoder().encode("abc")))
    truncateSync(path, 4)
    assert.match(await refused(path, 3), /it has 4 bytes, and at most 3 are read/)
  })

  it("that Git LFS did not fetch are named for it", async () => {
    const path = join(folder, "model.safetensors")
    writeFileSync(path, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 134\n")
    assert.match(await refused(path), /it is a pointer of Git LFS.* git lfs pull/)
  })

  it("that unpack to far more than their size are not unpacked", async () => {
    const path = join(folder, "bomb.jsonl.gz")
    writeFileSync(path, gzipSync(Buffer.alloc(80 << 20)))
    const exit = await Effect.runPromiseExit(Effect.provide(rowsOf(readers.Text)(path), NodeFileSystem.layer))
    assert.match(String(exit), /BadData: .*it unpacks to more than \d+ bytes\. Unpack it if you trust it/)
  })

  it("of blank lines take no memory for each", async () => {
    const path = join(folder, "blank.jsonl.gz")
    writeFileSync(path, gzipSync(Buffer.alloc(20 << 20, "\n")))
    const before = process.memoryUsage().heapUsed
    const exit = await Effect.runPromiseExit(Effect.provide(rowsOf(readers.Text)(path), NodeFileSystem.layer))
    assert.match(String(exit), /no rows in it/)
    assert.isBelow(process.memoryUsage().heapUsed - before, 200 << 20)
  })
})
