/** README's first pipeline compiles and runs as printed, and does not compile without its cap. */
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { assert, describe, it } from "vitest"
import * as Artifact from "../dsl/Artifact.ts"
import example from "../examples/01-instruct-gpt.ts"
import penalty from "../examples/16-penalty.ts"
import { text } from "../src/cli/simulate.ts"
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

describe("README's simulation", () => {
  it("is what the command prints, and shows what its words say", { timeout: 120_000 }, async () => {
    const simulated = await Effect.runPromise(simulate(penalty))
    const path = join(repository, "README.md")
    const readme = readFileSync(path, "utf8")
    const block = /(?<=`npx keel simulate examples\/16-penalty\.ts` [\s\S]*?^```text\n)[\s\S]*?(?=^```)/mu
    assert.match(readme, block)
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, readme.replace(block, () => `${text(simulated)}\n`))
    else assert.strictEqual(block.exec(readme)![0], `${text(simulated)}\n`, "if it is meant, run with UPDATE_GOLDEN=1")
    // From the strongest penalty to the weakest.
    const swept = simulated.policies.filter(({ beta }) => beta !== null).toSorted((a, b) => b.beta! - a.beta!)
    const [strong, , middle] = swept
    const weak = swept.at(-1)!
    const gold = swept.map(({ gold }) => gold)
    const start = simulated.policies.find(({ stage }) => stage.startsWith("sft-"))!.gold
    assert.isAbove(gold[0]!, start)
    assert.isAbove(Math.max(...gold), start + 0.05)
    assert.isBelow(weak.gold, Math.max(...gold) - 0.05)
    assert.isAbove(middle!.attainable!.reward, strong!.attainable!.reward)
    assert.isAbove(weak.attainable!.reward, strong!.attainable!.reward)
    // At a strong penalty the optimum is reached, at the weakest it is far.
    assert.isBelow(strong!.optimum!.distance, 0.01)
    assert.isAbove(weak.optimum!.distance, 1)
  })
})
