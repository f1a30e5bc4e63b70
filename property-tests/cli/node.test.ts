import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

/** As a Node of that version would start it; what older ones lack is named by the version alone. */
const startedBy = (version: string) => {
  const versions = `{ ...process.versions, node: ${JSON.stringify(version)} }`
  const before = `data:text/javascript,Object.defineProperty(process, "versions", { value: ${versions} })`
  return spawnSync(process.execPath, ["--import", before, main, "--version"], { encoding: "utf8" })
}

describe("keel on a Node that is too old", () => {
  it.each(["20.20.2", "22.18.9"])("says so in a line: %s", (version) => {
    const { status, stderr, stdout } = startedBy(version)
    assert.strictEqual(status, 1)
    assert.strictEqual(stdout, "")
    assert.strictEqual(
      stderr,
      `This is Node ${version}, and keel needs ≥ 22.19: install it from nodejs.org, ` +
        "or for this project alone with `npm install --save-dev node@24`, which npx keel then takes.\n"
    )
  })

  it.each(["22.19.0", "24.1.0"])("and starts on one that is not: %s", (version) => {
    assert.match(startedBy(version).stdout, /^keel v/u)
  })
})
