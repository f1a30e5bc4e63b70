import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const child = fileURLToPath(new URL("./interruptibleChild.ts", import.meta.url))
const run = (mode: "long" | "short" | "compare") => {
  const { signal, status, stderr, stdout } = spawnSync(process.execPath, ["--no-warnings", child, mode], {
    encoding: "utf8",
    timeout: 30_000
  })
  assert.deepStrictEqual([status, signal], [0, null], stderr)
  return JSON.parse(stdout)
}

describe("an interruptible engine", () => {
  it("ends a verb that would go on for ever, and is dead from then on", () => {
    const { results, seen } = run("long")
    assert.deepStrictEqual(results, [
      // Errors of the verb's own come through as they are.
      "TypeError: an error of the verb's own",
      // Nobody listens for SIGTERM meanwhile: the system ends the process at once.
      "[0]",
      "Abandoned",
      // Weights that may be half updated cannot be had, nor anything else.
      "Abandoned",
      "Abandoned",
      // Listeners are there again, and hear the next signal, once.
      "true",
      "1"
    ])
    assert.deepStrictEqual(seen, { handled: 1, disposed: 0, updates: 0, finallyRan: false })
  })

  it("ends a comparison with a teacher too, as word-level distillation makes one", () => {
    const { results, seen } = run("compare")
    assert.deepStrictEqual(results, ["Abandoned", "Abandoned"])
    assert.isFalse(seen.finallyRan)
  })

  it("lets a verb end by itself while its patience lasts, and no longer", () => {
    const { results, seen } = run("short")
    assert.deepStrictEqual(results, ["1", "1", "2", "3", "Abandoned", "Abandoned"])
    assert.strictEqual(seen.updates, 2)
  })
})
