import type { Backend } from "../../../src/tensor/backend.ts"
import { NoNative } from "../../../src/tensor/native/build.ts"
import { native } from "../../../src/tensor/native/native.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { wasm } from "../../../src/tensor/wasm/wasm.ts"

const all = {
  reference: async (): Promise<Backend> => reference(),
  wasm: () => wasm({ threads: 2 }),
  native: () => native({ threads: 2 })
}

export type Kind = keyof typeof all

/** Why there is no native backend here; kernels that a compiler refuses are a failure, not a reason. */
const missing = await native({ threads: 1 }).then(
  (backend) => {
    backend.dispose()
  },
  (error: unknown) => {
    if (error instanceof NoNative && !/does not compile the kernels/.test(error.message)) return error.message
    throw error
  }
)
if (missing !== undefined) console.warn(`skipped: the engine on native: ${missing}`)

/** The backends of this machine that the engine is tested on. */
export const kinds: ReadonlyArray<Kind> = missing === undefined
  ? ["reference", "wasm", "native"]
  : ["reference", "wasm"]

export const open = (kind: Kind): Promise<Backend> => all[kind]()
