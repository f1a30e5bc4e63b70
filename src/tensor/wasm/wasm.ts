import { availableParallelism } from "node:os"
import type { Backend } from "../backend.ts"
import { makeBackend } from "../compiled/backend.ts"
import { load, type Variant } from "./build.ts"
import { startThreads } from "./threads.ts"

/** A module with a relaxed multiply-add: whether the engine compiles it decides which kernels it can run. */
const relaxedProbe = Uint8Array.from(
  // (func (param v128) (result v128) local.get 0 ×3, f32x4.relaxed_madd)
  "0061736d01000000 01060160017b017b 03020100 0a0d010b00 200020002000 fd8502 0b".replaceAll(" ", "").match(/../g)!,
  (byte) => parseInt(byte, 16)
)

/**
 * The embedded CPU backend: C kernels (`../kernels`) as WebAssembly with 128-bit vectors, fused multiply-add where the engine
 * has it (`variant` lets tests choose the other), and `threads` threads (the cores of the machine, at most 4, unless
 * given). Results do not depend on the number of threads. Memory is limited to 4 GiB.
 */
export const wasm = async (
  options?: { readonly threads?: number; readonly variant?: Variant }
): Promise<Backend> => {
  const threads = options?.threads ?? Math.min(availableParallelism(), 4)
  if (!Number.isInteger(threads) || threads < 1) throw new Error(`wasm: ${threads} threads`)
  const bytes = await load(options?.variant ?? (WebAssembly.validate(relaxedProbe) ? "relaxed" : "plain"))
  return makeBackend(await startThreads(new WebAssembly.Module(bytes), threads))
}
