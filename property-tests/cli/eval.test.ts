import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { folders } from "../store/faultyFileSystem.ts"
import { keel } from "./keel.ts"

const folder = folders("eval")

/** A run with two policies, rows of a suite and its description, made once. */
const place = (async () => {
  const at = folder()
  mkdirSync(at, { recursive: true })
  const write = (name: string, text: string) => writeFileSync(join(at, name), text)
  const dsl = JSON.stringify(new URL("../../dsl/index.ts", import.meta.url).href)
  const stage = JSON.stringify(new URL("../../src/outside/index.ts", import.meta.url).href)
  write(
    "recipe.ts",
    `import { Pretrain, Sft, Source } from ${dsl}
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 24 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 64 },
  steps: 4,
  batchSize: 4,
  learningRate: 3e-3
})
export default Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, { batchSize: 4, learningRate: 1e-3 })
`
  )
  write(
    "own.ts",
    `import { Verifier } from ${dsl}
import { verifier } from ${stage}
export const rewards = [verifier("Short", (row, completion) => completion.length < Number(row["most"]), { version: "1" })]
export default { name: "own", template: "{{question}}", fields: { answer: "solution" }, verifiers: [Verifier.own("Short")], maxNewTokens: 6 }
`
  )
  const suite = {
    name: "mine",
    template: "{{question}}",
    fields: { answer: "solution" },
    verifiers: ["lastNumber", { _tag: "targetLength", shape: "max", unit: "characters", target: 20, alpha: 0.013 }],
    stop: ["the"],
    maxNewTokens: 8
  }
  write("mine.json", JSON.stringify(suite))
  write("bad.json", JSON.stringify({ ...suite, maxNewTokens: 0, verifier: [] }))
  const words = ["a story", "the girl", "a dog", "the sun", "a boy"]
  write(
    "rows.jsonl",
    words.map((question, i) => `${JSON.stringify({ question, solution: String(i), most: 20 })}\n`).join("")
  )
  const ran = await keel(["run", "recipe.ts", "--out", "r", "--backend", "wasm"], at)
  assert.strictEqual(ran.code, 0, ran.stderr)
  return at
})()

const evaluates = async (...args: ReadonlyArray<string>) => keel(["eval", "--backend", "wasm", ...args], await place)

describe("keel eval", () => {
  it("compares the policies of a run, the same way twice, and writes what lm-evaluation-harness writes", async () => {
    const at = await place
    const args = [
      "r",
      "--suite",
      "mine.json",
      "--data",
      "rows.jsonl",
      "--completions",
      "2",
      "--pass-at",
      "2",
      "--out",
      "e"
    ]
    const first = await evaluates(...args, "--json", "all.json")
    assert.strictEqual(first.code, 0, first.stderr)
    assert.match(first.stdout, /mine: 5 prompts, 2 completions each, temperature 1, at most 8 tokens, no examples/u)
    assert.match(first.stdout, /\| model +\| verifier +\| pass@1 \[95 %\] +\| pass@2 \[95 %\] +\| maj@2 \[95 %\]/u)
    assert.match(
      first.stdout,
      /LastNumber, sft − pretrain: [+-].* on the same 5 prompts \(bootstrap, 10,000 resamples\)/u
    )
    const second = await evaluates(...args)
    assert.include(second.stderr, "made before")
    assert.strictEqual(second.stdout, first.stdout)
    const { models, paired } = JSON.parse(readFileSync(join(at, "all.json"), "utf8"))
    assert.deepStrictEqual(models.map((one: any) => one.model_name), ["pretrain", "sft"])
    assert.strictEqual(paired.length, 2)
    const files = readdirSync(join(at, "e/lm-eval/sft"))
    const [results, samples] = ["results_", "samples_mine_"].map((name) =>
      readFileSync(join(at, "e/lm-eval/sft", files.find((file) => file.startsWith(name))!), "utf8")
    )
    const { configs, results: scores, versions, "n-shot": shots, "n-samples": n } = JSON.parse(results!)
    assert.hasAllKeys(scores.mine, [
      "alias",
      ...["LastNumber", "LastNumber_pass@2", "LastNumber_maj@2", "TargetLength"].flatMap((
        metric
      ) => [`${metric},none`, `${metric}_stderr,none`])
    ])
    assert.deepStrictEqual([versions.mine, shots.mine, n.mine.effective, configs.mine.repeats], [1, 0, 5, 2])
    const lines = samples!.trim().split("\n").map((line) => JSON.parse(line))
    assert.deepStrictEqual(lines.map(({ doc, target }) => [doc.prompt, target])[1], ["the girl", "1"])
    assert.strictEqual(lines[1].resps[0].length, 2)
    assert.isTrue(existsSync(join(at, "e/plots/scores.svg")))
    assert.include(readFileSync(join(at, "e/report.md"), "utf8"), "maj@2 [95 %]")
  })

  it("evaluates a folder, by a verifier of one's own, and a text's perplexity", async () => {
    const at = await place
    const [own] = readdirSync(join(at, "store")).filter((name) => name.startsWith("sft-"))
    const model = join("store", own!, "model")
    const answered = await evaluates(model, "--suite", "own.ts", "--data", "rows.jsonl", "--limit", "3")
    assert.strictEqual(answered.code, 0, answered.stderr)
    assert.match(answered.stdout, /own: 3 prompts, one completion each, temperature 0/u)
    assert.match(answered.stdout, /\| model \| Short +\| \d/u)
    writeFileSync(join(at, "text.txt"), "the girl saw a dog .\na boy had the sun .\n")
    const text = await evaluates("r", "--policy", "sft", "--suite", "perplexity", "--data", "text.txt")
    assert.strictEqual(text.code, 0, text.stderr)
    assert.match(text.stdout, /\| sft +\| [\d.]+ \[[\d.]+, [\d.]+\] +\| [\d.]+ \[[^|]*\| 2 +\| \d+ +\| 39 /u)
  })

  it("puts examples before each prompt", async () => {
    const at = await place
    const args = [
      "r",
      "--policy",
      "sft",
      "--suite",
      "mine.json",
      "--data",
      "rows.jsonl",
      "--limit",
      "1",
      "--out",
      "shots"
    ]
    const shot = await evaluates(...args, "--shots", "2", "--shots-from", "rows.jsonl")
    assert.strictEqual(shot.code, 0, shot.stderr)
    const [file] = readdirSync(join(at, "shots/lm-eval/sft")).filter((name) => name.startsWith("samples"))
    const { doc } = JSON.parse(readFileSync(join(at, "shots/lm-eval/sft", file!), "utf8"))
    assert.strictEqual(doc.prompt, "a story 0\n\nthe girl 1\n\na story")
  })

  it("says what is wrong with a suite, a file, a column, a policy and an option", async () => {
    const said = async (...args: ReadonlyArray<string>) => {
      const { code, stderr } = await evaluates(...args)
      assert.strictEqual(code, 1, args.join(" "))
      return stderr.trim().split("\n").at(-1)!
    }
    assert.include(
      await said("r", "--suite", "gsm9k"),
      "gsm9k: there is no such suite, and no such file. Give gsm8k, math500, ifeval, perplexity, or"
    )
    assert.include(
      await said("r", "--suite", "gsm8k"),
      "no data file is named, and Keel has no data of its own. Give --data FILE (from github.com/openai/grade-school-math"
    )
    assert.include(
      await said("r", "--suite", "math500", "--data", "rows.jsonl", "--max-tokens", "8"),
      'no column "problem", which the template names; the row has question, solution, most'
    )
    assert.match(
      await said("r", "--suite", "bad.json", "--data", "rows.jsonl"),
      /bad\.json: it describes no suite: .*"verifier".*"maxNewTokens"|maxNewTokens.*verifier/u
    )
    assert.include(
      await said("r", "--suite", "mine.json", "--data", "rows.jsonl", "--policy", "ppo"),
      'r: it has no policy "ppo". Give --policy one of pretrain, sft'
    )
    assert.include(
      await said("r", "--suite", "mine.json", "--data", "rows.jsonl", "--pass-at", "5"),
      "pass@5 needs 5 completions of each prompt, and it makes 1: raise --completions"
    )
    assert.include(
      await said("nowhere", "--suite", "mine.json", "--data", "rows.jsonl"),
      "nowhere: there is no such folder"
    )
    assert.include(
      await said("r", "--suite", "mine.json", "--data", "rows.jsonl", "--shots", "1"),
      "Give --shots-from FILE"
    )
    assert.include(
      await said("r", "--suite", "mine.json", "--data", "rows.jsonl", "--pass-at", "3"),
      "pass@3 needs 3 completions of each prompt, and it makes 1"
    )
  })
})
