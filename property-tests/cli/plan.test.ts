import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Sft, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { golden, keel } from "./keel.ts"

const folder = folders("plan")
const { root } = tiny()

const workplace = (): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "tiny.json"), toJson(root))
  return at
}

describe("keel plan", () => {
  it("prints what each stage takes, or the same as JSON", async () => {
    const at = workplace()
    const [text, json] = await Promise.all([
      keel(["plan", "tiny.json", "--device", "h100"], at),
      keel(["plan", "tiny.json", "--device", "h100", "--json"], at)
    ])
    assert.strictEqual(text.code, 0, text.stderr)
    golden("keel-plan.txt", text.stdout)
    const { over, stages, total, unplanned } = JSON.parse(json.stdout)
    assert.deepStrictEqual([over, unplanned], [[], []])
    assert.strictEqual(
      total.generated,
      stages.reduce((sum: number, one: { generated: number }) => sum + one.generated, 0)
    )
  }, 30_000)

  it("of which some stages have none says which and why, and exits with 1", async () => {
    const at = workplace()
    const rows = Source.demonstrations(Source.file("nowhere.jsonl"))
    const none = Sft.make({ base: tiny().base, demonstrations: rows }, { batchSize: 2, learningRate: 1e-3 })
    writeFileSync(join(at, "none.json"), toJson(none))
    const [text, json] = await Promise.all([
      keel(["plan", "none.json"], at),
      keel(["plan", "none.json", "--json"], at)
    ])
    assert.deepStrictEqual([text.code, json.code], [1, 1])
    assert.match(text.stdout, /^The planned stages fit\.$/mu)
    for (const { stderr } of [text, json]) {
      assert.match(stderr, /^NotPlanned: 1 of 2 stages cannot be planned\. sft-\w+: nowhere\.jsonl: .*$/mu)
    }
    assert.lengthOf(JSON.parse(json.stdout).unplanned, 1)
  }, 30_000)

  it("answers nonsense in one line, and says which stage is over its memory cap", async () => {
    const at = workplace()
    const capped = tiny({ limits: { memory: 120_000 } }).root
    writeFileSync(join(at, "capped.json"), toJson(capped))
    writeFileSync(join(at, "other.ts"), "export default 1")
    const [absent, profile, other, over] = await Promise.all([
      keel(["plan", "absent.ts"], at),
      keel(["plan", "tiny.json", "--profile", "other.ts"], at),
      keel(["plan", "other.ts"], at),
      keel(["plan", "capped.json", "--device", "4090"], at)
    ])
    for (const { code, stderr, stdout } of [absent, profile, other]) {
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.lengthOf(stderr.trim().split("\n"), 1, stderr)
    }
    assert.strictEqual(over.code, 0, over.stderr)
    assert.match(over.stdout, /ppo-\S+ does not fit its memory cap: .* too much, in its phase \w+; most of it is/u)
    assert.match(over.stdout, /^No tried change fits: the smallest needs /mu)
  }, 60_000)

  it("says one thing of a stage that fits its memory cap in micro-batches", async () => {
    const at = workplace()
    writeFileSync(join(at, "parts.json"), toJson(tiny({ limits: { memory: 600 * 2 ** 10 } }).root))
    const [text, plain] = await Promise.all([
      keel(["plan", "parts.json"], at),
      keel(["plan", "parts.json", "--no-advice"], at)
    ])
    assert.match(text.stdout, /^It fits in these micro-batches\.$/mu)
    for (const { stdout } of [text, plain]) {
      assert.match(stdout, /^ppo-\S+ does not fit its memory cap without micro-batches: it takes /mu)
    }
    assert.notMatch(text.stdout, /does not fit its memory cap:/u)
    assert.notMatch(plain.stdout, /fits/u)
  }, 60_000)
})
