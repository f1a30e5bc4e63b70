import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, it } from "vitest"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("resolving")
const at = (path: string): string => pathToFileURL(path).href

it("what a user's file imports is the user's, by whatever name Keel imports its own", () => {
  const own = folder()
  const effect = join(own, "node_modules/effect")
  mkdirSync(effect, { recursive: true })
  writeFileSync(join(effect, "package.json"), JSON.stringify({ name: "effect", exports: { "./Schema": "./mine.cjs" } }))
  // CommonJS, with a file that is named without its ending.
  writeFileSync(join(effect, "mine.cjs"), "module.exports = { whose: require('./whose') }")
  writeFileSync(join(effect, "whose.js"), "module.exports = 'mine'")
  const file = join(own, "file.mjs")
  writeFileSync(
    file,
    [
      `await import(${JSON.stringify(at("src/store/report.ts"))})`,
      "const { default: mine } = await import('effect/Schema')",
      `const { Estimate } = await import(${JSON.stringify(at("src/store/report.ts"))})`,
      "console.log(mine.whose, typeof Estimate)"
    ].join("\n")
  )
  const { stderr, stdout } = spawnSync("node", ["--import", at("src/cli/resolving.js"), file], { encoding: "utf8" })
  assert.strictEqual(stdout, "mine function\n", stderr)
})
