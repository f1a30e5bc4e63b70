import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import type { Backend } from "../../src/tensor/backend.ts"
import { NoRoom } from "../../src/tensor/compiled/machine.ts"
import { wasm } from "../../src/tensor/wasm/wasm.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { noTorch, openTorch } from "../tensor/libtorch.ts"
import { engine, failed, type Ran, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("torch")

/** Every number of every step, under its stage and name. */
const curves = ({ events }: Ran): ReadonlyMap<string, number> =>
  new Map(
    events.flatMap((event) =>
      event._tag === "Step"
        ? Object.entries(event.metrics).map(([name, value]) => [`${event.stage} ${event.step} ${name}`, value] as const)
        : []
    )
  )

describe.skipIf(noTorch !== undefined)("InstructGPT on torch", () => {
  const open: Array<Backend> = []
  beforeAll(async () => {
    open.push(await openTorch(), await wasm({ threads: 1 }))
  })
  afterAll(() => {
    for (const one of open) one.dispose()
  })

  it("has the curves that it has on wasm", async () => {
    const { root } = tiny()
    const [ours, theirs] = [curves, curves].map(() => new Map<string, number>())
    for (const [i, backend] of open.entries()) {
      const ran = succeeded(await runs(root, folder(), { engine: transformer(backend) }))
      for (const [name, value] of curves(ran)) (i === 0 ? ours : theirs)!.set(name, value)
    }
    assert.sameMembers([...ours!.keys()], [...theirs!.keys()])
    assert.isAbove(ours!.size, 100)
    // Rounding alone, 1e-6 of a number, over some twenty steps; the same tokens are sampled, or far more would differ.
    for (const [name, value] of ours!) {
      assert.isAtMost(Math.abs(value - theirs!.get(name)!), 2e-3 * Math.max(1, Math.abs(value)), name)
    }
  })
})
if (noTorch !== undefined) it.skip(`torch: ${noTorch}`, () => {})

describe("a device that is full", () => {
  it("ends the stage with OutOfMemory, its kernel and its bytes", async () => {
    const shortage = { phase: "torch.linear", needed: 2 ** 31, available: 2 ** 29 }
    const full = {
      ...engine(),
      policy: () => {
        throw new NoRoom("torch.linear [8, 16]: the device has no room.", { shortage })
      }
    }
    const error = failed(await runs(tiny().base, folder(), { engine: full }))
    if (error._tag !== "OutOfMemory") throw new Error(error._tag)
    assert.deepInclude(error, shortage)
    assert.match(
      error.message,
      /^pretrain-[0-9a-f]{8}: torch\.linear asked for 2\.0 GiB more and the device had 512\.0 MiB left\. The last checkpoint is kept\./
    )
  })
})
