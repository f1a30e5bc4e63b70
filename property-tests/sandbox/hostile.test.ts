/** No program gets out of the sandbox, takes the machine, fakes a verdict or is left over; the programs after it run. */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Verifier } from "../../dsl/index.ts"
import { codeVerdicts } from "../../src/rewards/code/verdict.ts"
import { isolated } from "../../src/sandbox/sandbox.ts"
import { javascript, type Outside, python } from "./hostile.ts"

const works = await Effect.runPromise(Effect.match(isolated, { onSuccess: () => true, onFailure: () => false }))
const hasPython = (() => {
  try {
    execFileSync("python3", ["-I", "-c", ""])
    return true
  } catch {
    return false
  }
})()

const secret = "the secret of the test"
const variable = "KEEL_TEST_SECRET"
let outside: Outside
let server: Server

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "keel-hostile-"))
  const file = join(folder, "secret")
  writeFileSync(file, secret)
  chmodSync(folder, 0o777)
  chmodSync(file, 0o666)
  process.env[variable] = secret
  server = createServer((socket) => socket.end(secret))
  await new Promise<void>((told) => server.listen(0, "127.0.0.1", told))
  outside = { file, folder, variable, pid: process.pid, port: (server.address() as { port: number }).port }
})

afterAll(() => {
  server.close()
  delete process.env[variable]
  rmSync(outside.folder, { recursive: true })
})

/** Processes in namespaces below ours. */
const left = (): ReadonlyArray<string> =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/u.test(name) && /^NSpid:\s+\d+\s+\d/mu.test(readFileSync(`/proc/${name}/status`, "utf8"))
    } catch {
      return false
    }
  })

const mounts = (): string => readFileSync("/proc/self/mountinfo", "utf8")

const all = async (
  language: "python" | "javascript",
  programs: Readonly<Record<string, string>>,
  test: string,
  honest: string
): Promise<void> => {
  const before = mounts()
  const verifier = Verifier.code({ language, seconds: 1, memory: 400 })
  const texts = Object.values(programs).flatMap((code) => [code, honest])
  const scores = await Effect.runPromise(codeVerdicts(
    "test",
    verifier,
    texts.map((completion, i) => ({
      prompt: "",
      completion,
      row: i + 1,
      columns: completion === honest ? { test_list: [test.replaceAll(secret, "2")] } : { test_list: [test] }
    }))
  ))
  const names = Object.keys(programs)
  assert.deepEqual(names.filter((_, i) => scores[2 * i] !== 0), [], "fail")
  assert.deepEqual(names.filter((_, i) => scores[2 * i + 1] !== 1), [], "honest programs after them pass")
  assert.equal(readFileSync(outside.file, "utf8"), secret)
  assert.equal(mounts(), before)
  assert.deepEqual(left(), [])
}

describe.skipIf(!works)("hostile programs", () => {
  it.skipIf(!hasPython)("of Python", { timeout: 240_000 }, async () => {
    await all("python", python(outside), `assert str(solve()) == "${secret}"`, `def solve(): return 2`)
  })

  it("of JavaScript", { timeout: 240_000 }, async () => {
    await all(
      "javascript",
      javascript(outside),
      `if (String(await solve()) !== "${secret}") throw new Error("no")`,
      `function solve() { return 2 }`
    )
  })
})
