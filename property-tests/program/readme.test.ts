/** The program in README.md, exactly as printed, in a folder as a user has it: `keel` and `effect` in `node_modules`, a model and rows. */
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "vitest"
import { folders } from "../store/faultyFileSystem.ts"
import { folderIn, runs, succeeded, tiny } from "../interpreters/tiny.ts"

const repository = fileURLToPath(new URL("../../", import.meta.url))
const folder = folders("readme")

it("the program in README tunes a model of the reader's own, and finds it again", async () => {
  const [program] = readFileSync(join(repository, "README.md"), "utf8").split("```ts\n").slice(1)
    .map((part) => part.split("```")[0]!).filter((code) => code.includes("keel/interpreters"))
  assert.lengthOf(program!.trim().split("\n"), 8)
  const [at, store] = [folder(), folder()]
  const { base } = tiny({ context: 200 })
  succeeded(await runs(base, store))
  mkdirSync(join(at, "node_modules"), { recursive: true })
  symlinkSync(repository, join(at, "node_modules/keel"))
  symlinkSync(join(repository, "node_modules/effect"), join(at, "node_modules/effect"))
  cpSync(join(await folderIn(store, base), "model"), join(at, "model"), { recursive: true })
  const rows = ["a dog", "a girl", "a boy", "a cat", "a red ball"]
    .map((subject) =>
      `${JSON.stringify({ prompt: `write about ${subject} .`, completion: `once there was ${subject} .` })}\n`
    )
  writeFileSync(join(at, "demos.jsonl"), rows.join(""))
  writeFileSync(join(at, "program.mts"), program!)
  const once = () => execFileSync(process.execPath, ["--no-warnings", "program.mts"], { cwd: at, encoding: "utf8" })
  const printed = once()
  assert.match(printed, /completion: '/u)
  for (const file of ["report.md", "run.json", "events.jsonl", "spending.json"]) {
    assert.isTrue(existsSync(join(at, "runs/sft", file)), file)
  }
  assert.strictEqual(once(), printed)
  assert.match(readFileSync(join(at, "runs/sft/events.jsonl"), "utf8").trim().split("\n").at(-1)!, /"Cached"/u)
}, 120_000)
