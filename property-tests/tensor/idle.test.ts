import { assert, describe, it } from "vitest"
import type { Backend } from "../../src/tensor/backend.ts"
import { native } from "../../src/tensor/native/native.ts"
import { wasm } from "../../src/tensor/wasm/wasm.ts"

/** Processor time of the process in 300 ms of doing nothing, milliseconds. */
const idle = async (): Promise<number> => {
  const before = process.cpuUsage()
  await new Promise((resolve) => setTimeout(resolve, 300))
  const { system, user } = process.cpuUsage(before)
  return (system + user) / 1000
}

const backends: Readonly<Record<string, () => Promise<Backend>>> = {
  wasm: () => wasm({ threads: 2 }),
  native: () => native({ threads: 2 })
}

describe.each(Object.entries(backends))("the threads of %s", (name, open) => {
  it("sleep when there is nothing to do", async ({ skip }) => {
    const backend = await open().catch((error: unknown) => {
      // Where there is no compiler there is no native backend.
      if (name !== "native") throw error
      return skip(String(error))
    })
    const n = 256
    const [x, w, out] = [backend.reals(n * n), backend.reals(n * n), backend.reals(n * n)]
    backend.write(x, new Float32Array(n * n).fill(1))
    backend.write(w, new Float32Array(n * n).fill(1))
    for (let i = 0; i < 20; i++) backend.linear(out, x, w, null, n, n, n)
    assert.strictEqual(backend.read(out)[0], n)
    // A thread that waits busily uses all of any 300 ms; the collector of garbage does not.
    const used = [await idle(), await idle(), await idle()]
    backend.dispose()
    assert.isBelow(Math.min(...used), 30, used.join(" "))
  })
})
