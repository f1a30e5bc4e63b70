import { it } from "vitest"
import { NoNative } from "../../src/tensor/native/build.ts"
import { native } from "../../src/tensor/native/native.ts"
import { conformance } from "./conformance.ts"
import { sameForAnyThreads } from "./threads.ts"
import { float32 } from "./tolerance.ts"

/** Why there is no native backend on this machine; kernels that a compiler refuses are a failure, not a reason. */
const missing = await native({ threads: 1 }).then(
  (backend) => backend.dispose(),
  (error: unknown) => {
    if (error instanceof NoNative && !/does not compile the kernels/.test(error.message)) return error.message
    throw error
  }
)

if (missing !== undefined) it.skip(`native: ${missing}`, () => {})
else {
  conformance("native, 1 thread", () => native({ threads: 1 }), float32)
  conformance("native, 2 threads", () => native({ threads: 2 }), float32)
  sameForAnyThreads("native", (threads) => native({ threads }))
}
