/** What `keel run` takes as a process is what its plan says: the backend, the runtime, the models and copies beside it. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Pipeline, Pretrain, Sft, Source } from "../../dsl/index.ts"
import { keel } from "../cli/keel.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("process")

/** A model with checkpoints, and one made from it. */
const described = (dim: number): string => {
  const base = Pretrain.make({ text: Source.text(Source.tales({ count: 60 })) }, {
    family: "tales",
    model: { dim, layers: 4, heads: 4, kvHeads: 4, ffn: 4 * dim, context: 96 },
    steps: 2,
    batchSize: 4,
    learningRate: 1e-3,
    checkpointEvery: 1
  })
  return Pipeline.toJson(Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, {
    batchSize: 8,
    learningRate: 1e-3
  }))
}

describe.each(["wasm", "native"])("on %s", (backend) => {
  // The first is mostly the runtime, the second mostly copies of its models.
  it.each([16, 256])("a model of width %i takes what is planned, within 15 %", async (dim) => {
    const cwd = folder()
    mkdirSync(cwd)
    writeFileSync(join(cwd, "pipeline.json"), described(dim))
    const ran = await keel(["run", "pipeline.json", "--backend", backend, "--out", "run"], cwd)
    assert.strictEqual(ran.code, 0, ran.stderr)
    const { process: { expected, spent } } = JSON.parse(readFileSync(join(cwd, "run", "spending.json"), "utf8")) as {
      readonly process: { readonly expected: number; readonly spent: number }
    }
    assert.closeTo(expected / spent, 1, 0.15, `${expected} planned, ${spent} taken`)
    assert.match(ran.stdout + ran.stderr, /This process held [\d.]+ MiB at its peak, planned [\d.]+ MiB/u)
    const plan = JSON.parse((await keel(["plan", "pipeline.json", "--backend", backend, "--json"], cwd)).stdout) as {
      readonly total: { readonly bytes: number; readonly process: number }
    }
    assert.strictEqual(plan.total.process, expected)
    assert.isAbove(plan.total.process, plan.total.bytes)
  }, 60_000)
})
