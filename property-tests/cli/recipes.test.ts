/** Recipes on the command line: listed, shown, compared, refused while something is open, and run in small. */
import * as Result from "effect/Result"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Pipeline, Recipe, recipes, Render, Shrink, Source } from "../../dsl/index.ts"
import { outputsOf } from "../../dsl/Stage.ts"
import { lineageText } from "../../src/cli/lineage.ts"
import { check } from "../../src/interpreters/check.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { golden, keel } from "./keel.ts"

const folder = folders("recipes")

describe.each(recipes.map((recipe) => ({ recipe, name: recipe.name })))("$name", ({ name, recipe }) => {
  const root = Pipeline.outputs(Recipe.planned(recipe))

  it("is drawn, and its models descend as they should", () => {
    golden(`recipe-${name}.txt`, `${Render.text(root)}\n`)
    golden(`recipe-${name}.mmd`, `${Render.mermaid(root)}\n`)
    golden(`recipe-${name}-lineage.txt`, `${lineageText(root)}\n`)
  })

  it("passes check, as published and shrunk, with the same outputs", () => {
    for (const one of [root, Shrink.shrink(root).root]) {
      const found = check(one)
      assert.isTrue(Result.isSuccess(found), Result.isFailure(found) ? found.failure.message : "")
      assert.deepEqual(Object.keys(outputsOf(one)), Object.keys(outputsOf(root)))
    }
  })
})

it("have names of their own", () => {
  assert.strictEqual(new Set(recipes.map(({ name }) => name)).size, recipes.length)
})

describe("keel", () => {
  const at = folder()

  it("lists recipes, and takes their names for files, with outputs and choices", async () => {
    const [listed, shown, choice, field, part, other, near] = await Promise.all([
      keel(["recipes"], at),
      keel(["show", "instruct-gpt:reward", "--lineage"], at),
      keel(["show", "instruct-gpt", "--choose", "lam=1"], at),
      keel(["show", "tulu-3-8b", "--choose", "judge.model=another"], at),
      keel(["show", "zephyr:polcy"], at),
      keel(["show", "instruct-gtp"], at),
      keel(["show", "instruct-gpt", "--choose", "lan=1"], at)
    ])
    for (const { name, title } of recipes) assert.include(listed.stdout, `${name} `.padEnd(13) && title)
    assert.match(shown.stdout, /^\| reward +\| RewardModeling \(RewardModel\) +\| GPT-3 6\.7B/mu)
    assert.notInclude(shown.stdout, "| policy")
    assert.include(choice.stdout, "lam 1")
    assert.include(field.stdout, "model another")
    assert.notMatch(choice.stdout, /Not reported.*lam/u)
    assert.include(part.stderr, "it has no output polcy. Its outputs are policy, sft: policy was meant?")
    assert.include(other.stderr, "no recipe of this name. The recipes are")
    assert.include(other.stderr, "instruct-gpt was meant?")
    assert.include(near.stderr, "instruct-gpt has no open choice lan")
  })

  it("takes exports of a file that are recipes, and its outputs", async () => {
    const dsl = new URL("../../dsl/index.ts", import.meta.url).href
    writeFileSync(
      join(at, "own.mts"),
      `import { Pipeline, Recipe, Zephyr } from "${dsl}"
export const own = Zephyr.zephyr
export const sft = 3
export default Pipeline.outputs(Recipe.planned(own))`
    )
    const [recipe, output, none] = await Promise.all([
      keel(["show", "own.mts:own:sft", "--lineage"], at),
      keel(["show", "own.mts:sft", "--lineage"], at),
      keel(["show", "own.mts:nothing"], at)
    ])
    assert.strictEqual(recipe.stdout, output.stdout)
    assert.match(recipe.stdout, /^\| sft +\| Sft/mu)
    assert.include(none.stderr, "own.mts:nothing: it has no output nothing")
  })

  it("runs nothing with open choices, and nothing from a shape alone", async () => {
    const [open, shape] = await Promise.all([keel(["run", "instruct-gpt"], at), keel(["run", "zephyr"], at)])
    assert.deepEqual([open.code, shape.code], [1, 1])
    for (const { hint, name } of Recipe.openOf(recipes.find(({ name }) => name === "instruct-gpt")!)) {
      assert.include(open.stderr, `  ${name}: ${hint}`)
    }
    assert.include(shape.stderr, "base: BaseModel, in the publication Mistral 7B, a shape alone (32 layers of 4096)")
    assert.include(shape.stderr, "hf://mistralai/Mistral-7B-v0.1")
    assert.include(shape.stderr, "feedback: ScoredCompletions, in the publication UltraFeedback, 256,000 rows")
  })

  it("takes inputs of one's own, from folders, files and the hub", async () => {
    const rows = "hf://datasets/me/rows?config=small&split=test"
    const [given, rest, near, kind, small, both] = await Promise.all([
      keel(["show", "zephyr", "--take", "base=hf://me/model@v1", "--take", `held=${rows}`, "--json"], at),
      keel(["run", "zephyr:sft", "--take", "base=model"], at),
      keel(["show", "zephyr", "--take", "bse=model"], at),
      keel(["show", "zephyr", "--take", "held=hf://me/model"], at),
      keel(["run", "zephyr", "--shrink", "--take", "base=model"], at),
      keel(["run", "warp", "--take", "sft=model"], at)
    ])
    const { nodes } = JSON.parse(given.stdout) as { nodes: ReadonlyArray<{ op: string; params: object }> }
    const params = (op: string) => nodes.filter((node) => node.op === op).map(({ params }) => params)
    assert.deepInclude(params("Checkpoint"), { family: "mistral", path: "hf://me/model@v1" })
    const origin = Source.hub("me/rows", { config: "small", split: "test" })
    assert.deepInclude(params("Source"), { role: "Prompts", origin: { ...origin } })
    assert.match(rest.stderr, /needs inputs of yours:\n {2}dialogues: .*\nGive each/u)
    assert.include(
      near.stderr,
      "zephyr takes no input bse. zephyr takes base, dialogues, feedback, held: base was meant?"
    )
    assert.include(kind.stderr, "that is no name of rows on the hub")
    assert.include(small.stderr, "Leave out --shrink or --take.")
    assert.match(both.stderr, /prompts: Prompts[^]*rewardBatchSize: /u)
  })

  it("runs a small copy end to end, and calls its results by their names", { timeout: 300_000 }, async () => {
    const { code, stderr, stdout } = await keel(["run", "zephyr", "--shrink", "--seed", "1", "--out", "it"], at)
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr, /✓ sft .*\n[^]*✓ policy /u)
    assert.match(stderr, /UltraFeedback: answers of a tiny model, scored by the checker of stories/u)
    const made = /^\| policy \| Dpo \| \d\.\d{3} ± \d\.\d{3} +\| sft +\|$/mu
    assert.match(stdout, made)
    const report = readFileSync(join(at, "it/report.md"), "utf8")
    assert.match(report, made)
    assert.notInclude(report, "Not finished")
    const ledger = await keel(["ledger", "it"], at)
    assert.match(ledger.stdout, /^\| policy {2,}\|/mu)
    const again = await keel(["resume", "it"], at)
    assert.match(again.stderr, /✓ policy {2}made before/u)
  })

  it("says in words how two pipelines differ", async () => {
    const [different, same, unknown] = await Promise.all([
      keel(["diff", "zephyr", "zephyr:sft"], at),
      keel(["diff", "zephyr", "zephyr"], at),
      keel(["diff", "zephyr", "zepfyr"], at)
    ])
    assert.include(different.stdout, "only in the first: policy (Dpo)")
    assert.strictEqual(same.stdout, "They are the same.\n")
    assert.strictEqual(unknown.code, 1)
  })
})
