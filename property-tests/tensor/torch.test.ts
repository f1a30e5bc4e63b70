import { assert, describe, it } from "vitest"
import { NoRoom } from "../../src/tensor/compiled/machine.ts"
import { selfTest } from "../../src/tensor/selfTest.ts"
import { TorchFailed } from "../../src/tensor/torch/abi.ts"
import { explained, outOfMemory } from "../../src/tensor/torch/errors.ts"
import { libraryFolder, NoTorch } from "../../src/tensor/torch/locate.ts"
import { torch } from "../../src/tensor/torch/torch.ts"
import { conformance } from "./conformance.ts"
import { noTorch, openTorch } from "./libtorch.ts"
import { float32 } from "./tolerance.ts"

const refused = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => assert.fail("it did not throw"),
    (error: unknown) => error as Error
  )

describe("what libtorch says is told with the kernel, its shapes and what to do", () => {
  it("memory that ran out, on a GPU and on the host", () => {
    const gpu =
      "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.50 GiB "
      + "is free. Including non-PyTorch memory, this process has 77.60 GiB memory in use."
    assert.deepStrictEqual(outOfMemory(gpu), { needed: 2 ** 31, available: 1.5 * 2 ** 30 })
    const host = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes. Error code 12"
    assert.deepStrictEqual(outOfMemory(host), { needed: 64, available: null })
    assert.isNull(outOfMemory("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"))
    const error = explained(new TorchFailed("mm", gpu), "linear", "8, 16", () => 0)
    assert.instanceOf(error, NoRoom)
    assert.deepStrictEqual((error as NoRoom).shortage, {
      phase: "torch.linear",
      needed: 2 ** 31,
      available: 1.5 * 2 ** 30
    })
    assert.match((error as NoRoom).message, /torch\.linear \[8, 16\].*recompute: true or smaller batches/)
  })

  it("anything else", () => {
    const error = explained(new TorchFailed("mm", "it will not"), "linear", "8, 16", () => 0)
    assert.instanceOf(error, TorchFailed)
    assert.strictEqual((error as TorchFailed).message, "torch.linear [8, 16]: mm: it will not")
    const own = new Error("mine")
    assert.strictEqual(explained(own, "linear", "", () => 0), own)
  })

  it("a folder without it", async () => {
    const before = process.env["KEEL_LIBTORCH"]
    try {
      process.env["KEEL_LIBTORCH"] = import.meta.dirname
      const error = await refused(libraryFolder())
      assert.instanceOf(error, NoTorch)
      assert.match(error.message, /^KEEL_LIBTORCH is .*property-tests\/tensor, where there is no libtorch_cpu\./)
    } finally {
      if (before === undefined) delete process.env["KEEL_LIBTORCH"]
      else process.env["KEEL_LIBTORCH"] = before
    }
  })
})

if (noTorch !== undefined) it.skip(`torch: ${noTorch}`, () => {})
else {
  conformance("torch", openTorch, float32)

  describe("torch", () => {
    it("passes its self-test with two threads", async () => {
      const backend = await openTorch(2)
      selfTest(backend)
      backend.dispose()
    })

    it("has no device but those that exist", async () => {
      const unknown = await refused(torch({ device: "tpu" }))
      assert.instanceOf(unknown, NoTorch)
      assert.strictEqual(unknown.message, "there is no device tpu: it is cpu, cuda or cuda:N")
      const far = await refused(torch({ device: "cuda:63" }))
      assert.instanceOf(far, NoTorch)
      assert.match(far.message, /^no device cuda:63: /)
    })

    it("throws NoRoom with the bytes when there are no more, and goes on", async () => {
      const backend = await openTorch()
      const before = backend.memory()
      try {
        backend.reals(2 ** 46)
        assert.fail("it did not throw")
      } catch (error) {
        assert.instanceOf(error, NoRoom)
        assert.strictEqual((error as NoRoom).shortage?.needed, 2 ** 48)
      }
      assert.deepStrictEqual(backend.memory(), before)
      selfTest(backend)
      backend.dispose()
    })
  })
}
