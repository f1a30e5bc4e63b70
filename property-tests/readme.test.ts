/** README's first pipeline compiles and runs as printed, and does not compile without its cap. */
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { assert, describe, it } from "vitest"
import * as Artifact from "../dsl/Artifact.ts"
import example from "../examples/01-instruct-gpt.ts"
import { problems } from "../src/interpreters/check.ts"
import { simulate } from "../src/interpreters/simulate.ts"

const repository = fileURLToPath(new URL("../", import.meta.url))
const [, printed] = /^```ts\n([\s\S]*?export default[\s\S]*?)^```/mu.exec(
  readFileSync(join(repository, "README.md"), "utf8")
)!

/** `code` in a file of the repository's root, where "keel" is this package. */
const withFile = async <A>(name: string, code: string, use: (file: string) => A | Promise<A>): Promise<A> => {
  const file = join(repository, `.docs-readme-${process.pid}-${name}.ts`)
  try {
    writeFileSync(file, code)
    return await use(file)
  } finally {
    rmSync(file, { force: true })
  }
}

const options =
  "--noEmit --ignoreConfig --strict --skipLibCheck --allowImportingTsExtensions --module nodenext --target es2023"

const compiled = (name: string, code: string) =>
  withFile(name, code, (file) => {
    const tsc = join(repository, "node_modules/typescript/bin/tsc")
    const { status, stdout } = spawnSync(process.execPath, [tsc, ...options.split(" "), "--types", "node", file], {
      cwd: repository,
      encoding: "utf8"
    })
    return { status, stdout }
  })

describe("README's first pipeline", () => {
  it("compiles, and does not without its cap", async () => {
    assert.deepStrictEqual(await compiled("whole", printed!), { status: 0, stdout: "" })
    const { status, stdout } = await compiled("uncapped", printed!.replace(/Pipeline\.cap\(rl, .*\)$/mu, "rl"))
    assert.notStrictEqual(status, 0)
    assert.include(stdout, "This pipeline spends KL and nobody capped it")
  })

  it("is example 01, has no mistakes, and simulates to its end", async () => {
    const { default: root } = await withFile("run", printed!, (file) => import(pathToFileURL(file).href))
    assert.isTrue(Artifact.isArtifact(root))
    assert.strictEqual(root.id, example.id)
    assert.deepStrictEqual(problems(root), [])
    const { policies } = await Effect.runPromise(simulate(root))
    assert.lengthOf(policies, 3)
  })
})
