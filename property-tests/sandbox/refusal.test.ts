import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

describe("without isolation", () => {
  // Root without capabilities cannot make namespaces, as in most containers.
  it.skipIf(process.platform !== "linux" || process.getuid?.() !== 0)(
    "code is not run, and the reason and a remedy are said",
    () => {
      const folder = mkdtempSync(join(tmpdir(), "keel-refusal-"))
      const file = join(folder, "rows.jsonl")
      writeFileSync(
        file,
        `${JSON.stringify({ prompt: "", completion: "def f(): return 1", test_list: ["assert f() == 1"] })}\n`
      )
      const said = (() => {
        try {
          const bare = ["--bounding-set=-all", "--inh-caps=-all", process.execPath, main]
          return execFileSync("setpriv", [...bare, "verify", file, "--as", "code"], { stdio: "pipe" }).toString()
        } catch (error) {
          return String((error as { readonly stderr: Buffer }).stderr)
        }
      })()
      rmSync(folder, { recursive: true })
      assert.include(said, "NoSandbox")
      assert.match(said, /is not run, because .*Operation not permitted.* Install util-linux/u)
    }
  )
})
