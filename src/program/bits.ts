/** What decides the last bits of a run's numbers: the backend, the processor, and the compiler of the kernels. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { arch } from "node:os"
import { features } from "../doctor/machine.ts"
import type { Bits } from "../store/runDirectory.ts"

/** The first line of the compiler's version. */
const compiler: Effect.Effect<string> = Effect.callback((resume) => {
  execFile(process.env["CC"] ?? "cc", ["--version"], { timeout: 20_000 }, (error, stdout) => {
    resume(Effect.succeed(error === null ? stdout.split("\n")[0]!.trim() : "unknown"))
  })
})

/** Of the backend `name`. WebAssembly and the reference give the same bits on every processor. */
export const bitsOf = Effect.fnUntraced(function*(name: string, device: string | undefined) {
  const anywhere = name === "wasm" || name === "reference"
  return {
    backend: device === undefined || device === "cpu" ? name : `${name} on ${device}`,
    ...(anywhere ? {} : { processor: [arch(), ...features()].join(" ") }),
    ...(name === "native" ? { compiler: yield* compiler } : {})
  } satisfies Bits as Bits
})

/** As text: `native (x64 avx2 fma; gcc 12.2.0)`. */
export const bitsText = ({ backend, compiler, processor }: Bits): string => {
  const by = [processor, compiler].filter((part) => part !== undefined)
  return by.length === 0 ? backend : `${backend} (${by.join("; ")})`
}
