import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Pretrain, Sft, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { keel } from "./keel.ts"

const folder = folders("check")
const training = { batchSize: 2, learningRate: 1e-3 }
const words = (n: number): string => Array.from({ length: n }, () => "word").join(" ")

describe("rows that are too long", () => {
  const at = folder()
  mkdirSync(at)
  const rows = Array.from({ length: 12 }, (_, i) => JSON.stringify({ prompt: words(i), completion: "word" }))
  writeFileSync(join(at, "rows.jsonl"), rows.join("\n"))
  writeFileSync(join(at, "texts.txt"), "word\nword word\n")
  const base = Pretrain.make({ text: Source.text(Source.file("texts.txt")) }, {
    family: "words",
    model: { dim: 8, layers: 1, heads: 2, kvHeads: 1, ffn: 8, context: 8 },
    steps: 2,
    ...training
  })
  const root = Sft.make({ base, demonstrations: Source.demonstrations(Source.file("rows.jsonl")) }, training)
  writeFileSync(join(at, "sft.json"), toJson(root))
  const run = ["run", "sft.json", "--out", "it", "--backend", "reference"]

  it("are one mistake before anything is trained, which check tells where it reads everything", async () => {
    const line =
      /sft-\w+: demonstrations: 6 of 12 rows are too long, first rows.jsonl:7; the longest, rows.jsonl:12, has 14 tokens; the context is 8. Where it trains on them, set truncation/u
    const [quick, whole, trained] = await Promise.all([
      keel(["check", "sft.json"], at),
      keel(["check", "sft.json", "--data"], at),
      keel(run, at)
    ])
    assert.deepStrictEqual([quick.code, whole.code, trained.code], [0, 1, 1])
    assert.match(whole.stderr, line)
    assert.match(trained.stderr, line)
    assert.notMatch(trained.stderr, /pretrain-\w+ {2}/u)
  })

  it("that cannot be used and are left out are counted by check", async () => {
    writeFileSync(join(at, "some.jsonl"), '{"prompt":"word","completion":"word"}\n{"prompt":3}\n')
    const some = Source.demonstrations(Source.file("some.jsonl", { onBadRow: "skip" }))
    writeFileSync(
      join(at, "some.json"),
      toJson(Sft.make({ base, demonstrations: some }, { ...training, batchSize: 1 }))
    )
    const { code, stderr, stdout } = await keel(["check", "some.json", "--data"], at)
    assert.strictEqual(code, 0, stderr)
    assert.match(stdout, /^some\.jsonl: 1 bad row left out; first some\.jsonl:2: /mu)
  })

  it("are cut or dropped when the description says so, and told on the terminal and in the report", async () => {
    for (
      const [how, told] of [
        ["drop", /sft-\w+ {2}dropped 6 of 12 rows, longer than 8 tokens \(the longest has 14\)/u],
        ["keep-end", /sft-\w+ {2}truncated 6 of 12 rows, longer than 8 tokens/u]
      ] as const
    ) {
      const set = ["--set", `sft.truncation=${how}`]
      const [looked, ran] = [
        await keel(["check", "sft.json", "--data", ...set], at),
        await keel([...run.slice(0, 3), how, ...run.slice(4), ...set], at)
      ]
      assert.strictEqual(looked.code, 0, looked.stderr)
      assert.match(looked.stdout, /\.demonstrations: 12 rows of 9 tokens on average, at most 14 \(rows.jsonl:12\); 6 /u)
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.match(ran.stderr + ran.stdout, told)
      assert.match(readFileSync(join(at, how, "report.md"), "utf8"), / 6 of 12 rows, longer than 8 tokens/u)
    }
  })
})
