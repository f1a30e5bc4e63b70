import type { CpuInfo } from "node:os"
import { assert, describe, it } from "vitest"
import { busyShare } from "../../src/bench/busy.ts"
import { flopsPerToken, torchCases } from "../../src/bench/cases.ts"
import { parts } from "../../src/bench/parts.ts"
import { asBatch, storiesShape, textOf, wordTokens, type Workload, workloads } from "../../src/bench/models.ts"
import { postTraining } from "../../src/bench/postTraining.ts"
import { modelConfig } from "../../src/model/config.ts"
import { codec } from "../../src/model/tokenizer.ts"

const made = new Map<string, Workload>()
const workload = (name: "tiny" | "mid"): Workload => {
  const one = made.get(name) ?? workloads[name]()
  made.set(name, one)
  return one
}
const sizeOf = (weights: Workload["weights"]): number =>
  [...weights.tensors.values()].reduce((sum, { data }) => sum + data.length, 0)

describe("what is measured", () => {
  it("has the sizes that the figures of the project are of", () => {
    // Embedding and head, then a layer: qkv, out, gate and up and down, two norms.
    assert.strictEqual(
      sizeOf(workload("tiny").weights),
      2 * 512 * 64 + 5 * (64 * 128 + 64 * 64 + 3 * 64 * 172 + 128) + 64
    )
    assert.strictEqual(
      sizeOf(workload("mid").weights),
      2 * 2048 * 256 + 6 * (256 * 512 + 256 * 256 + 3 * 256 * 688 + 512) + 256
    )
    const amounts = (name: string) => torchCases(workload).find((one) => one.name === name)!.amount
    assert.deepStrictEqual(["train-tiny", "train-mid", "generate-tiny", "generate-mid"].map(amounts), [
      16 * 128,
      8 * 256,
      16 * 64,
      16 * 64
    ])
  })

  it("is the same every time, and every part can be asked for", () => {
    assert.deepStrictEqual(workloads.tiny(), workload("tiny"))
    const names = [...torchCases(workload), ...postTraining(storiesShape())].map(({ name }) => name)
    assert.deepStrictEqual(new Set(["rates", ...names, "memory", "agreement"]), new Set(parts))
  })

  it("costs 6 operations a weight and token in training, and attention besides", () => {
    const tiny = workload("tiny")
    const matrices = sizeOf(tiny.weights) - 512 * 64 - 11 * 64
    assert.strictEqual(flopsPerToken(tiny, 0, 3), 6 * matrices)
    assert.strictEqual(flopsPerToken(tiny, 128, 1) - flopsPerToken(tiny, 0, 1), 2 * 128 * 64 * 5)
  })

  it("trains on all but the first token", () => {
    const [row] = asBatch([Int32Array.of(5, 6, 7)])
    assert.deepStrictEqual([[...row!.prompt], [...row!.completion]], [[5], [6, 7]])
  })
})

describe("rows for TRL", () => {
  const weights = wordTokens(storiesShape())
  it("are text that its tokenizer turns into the ids of ours", () => {
    const words = codec(weights.tokenizer, modelConfig(weights.config))
    const ids = Array.from({ length: 508 }, (_, i) => i + 4)
    assert.deepStrictEqual([...words.encodePrompt(textOf(ids))], [1, ...ids])
  })
  it("are of 256 tokens at most", () => {
    const dpo = postTraining(weights).find(({ name }) => name === "dpo")!
    const rows = dpo.request["rows"] as ReadonlyArray<Record<"prompt" | "chosen" | "rejected", string>>
    assert.lengthOf(rows, 32)
    const lengths = rows.flatMap(({ chosen, prompt, rejected }) =>
      // <s> before and </s> after.
      [chosen, rejected].map((answer) => `${prompt}${answer}`.split(" ").length + 2)
    )
    assert.isAtMost(Math.max(...lengths), 256)
    assert.isAtLeast(Math.min(...lengths), 96)
    assert.isAbove(Math.max(...lengths), 230)
    assert.strictEqual(dpo.tokens, lengths.reduce((sum, n) => sum + n, 0) / 4)
  })
})

describe("how busy the machine is", () => {
  const core = (user: number, idle: number): CpuInfo => ({
    model: "",
    speed: 0,
    times: { user, nice: 0, sys: 0, irq: 0, idle }
  })
  it("is what the cores did between two looks", () => {
    assert.closeTo(busyShare([core(10, 90), core(0, 0)], [core(20, 180), core(20, 80)]), 30 / 200, 1e-12)
    assert.strictEqual(busyShare([core(1, 1)], [core(1, 1)]), 0)
  })
})
