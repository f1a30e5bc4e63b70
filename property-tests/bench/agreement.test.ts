import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem } from "effect"
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "vitest"
import { compare, computedBy, computedByPeer } from "../../src/bench/agreement.ts"
import { trainStep } from "../../src/bench/cases.ts"
import { workloads } from "../../src/bench/models.ts"
import { giveWorkload, openTorch } from "../../src/bench/peers.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { wasm } from "../../src/tensor/wasm/wasm.ts"

const oracle = spawnSync("python3", ["-c", "import torch"], { stdio: "ignore" }).status === 0
if (!oracle) {
  console.warn("skipped: torch is not importable by python3, so the benchmark's losses are not compared with it")
}

describe("agreement", () => {
  const theirs = { losses: [2, 1], ids: [[1, 2], [3, 4]] }
  it("is of losses to 1e-4 and of every token", () => {
    const same = compare("tiny", "x", { losses: [2.00009, 1], ids: [[1, 2], [3, 4]] }, theirs)
    assert.deepStrictEqual([same.agrees, same.different, same.tokens], [true, 0, 4])
    const wrong: ReadonlyArray<typeof theirs> = [
      { ...theirs, losses: [2.00011, 1] },
      { ...theirs, losses: [2, NaN] },
      { ...theirs, losses: [2] },
      { ...theirs, ids: [[1, 2], [3, 5]] },
      { ...theirs, ids: [[1, 2], [3]] },
      { ...theirs, ids: [[1, 2], [3, 4, 5]] },
      { ...theirs, ids: [[1, 2]] }
    ]
    for (const one of wrong) assert.strictEqual(compare("tiny", "x", one, theirs).agrees, false, JSON.stringify(one))
  })
})

describe.skipIf(!oracle)("the benchmark's own PyTorch", () => {
  it("computes the same losses and the same tokens, with either attention and either AdamW", async () => {
    const tiny = workloads.tiny()
    const backend = await wasm({ threads: 2 })
    const engine = transformer(backend)
    const ours = computedBy(engine, tiny)
    assert.isBelow(ours.losses.at(-1)!, ours.losses[0]! - 0.1, "the model must have learnt something")
    // The losses are of training steps: without one the second would be another.
    const policy = engine.policy(tiny.weights)
    const untrained = [0, 1].map((step) =>
      trainStep(policy, { ...tiny, update: { ...tiny.update, learningRate: 0 } }, step)
    )
    assert.isAbove(Math.abs(untrained[1]! - ours.losses[1]!), 0.01)
    backend.dispose()
    await Effect.runPromise(Effect.provide(
      Effect.scoped(Effect.gen(function*() {
        const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        const { peer } = yield* openTorch(1)
        for (const [sdpa, fused] of [[false, false], [true, true]] as const) {
          yield* giveWorkload(peer, folder, tiny, { sdpa: { train: sdpa, logprobs: sdpa, generate: sdpa }, fused })
          const agreement = compare("tiny", "wasm", ours, yield* computedByPeer(peer, "tiny"))
          assert.strictEqual(agreement.agrees, true, JSON.stringify(agreement))
          assert.strictEqual(agreement.tokens, 16 * 64)
        }
      })),
      NodeServices.layer
    ))
  })
})
