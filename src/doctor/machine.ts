/** The parts of this machine that Keel can use. A missing part is no error. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { availableParallelism, cpus, totalmem } from "node:os"
import { isolated } from "../sandbox/sandbox.ts"

export interface Gpu {
  readonly name: string
  /** Bytes. */
  readonly memory: number
  readonly driver: string
}

export interface MachineFacts {
  readonly platform: string
  readonly node: { readonly version: string; readonly needed: string; readonly enough: boolean }
  readonly cpu: string
  /** Instruction sets that the kernels or TensorFlow and PyTorch make use of. */
  readonly features: ReadonlyArray<string>
  readonly cores: number
  /** Bytes. */
  readonly memory: number
  readonly gpus: ReadonlyArray<Gpu>
  /** First line of `--version`; null where there is none. */
  readonly compilers: { readonly cc: string | null; readonly "c++": string | null }
  /** The folder of libtorch: `KEEL_LIBTORCH`, or that of the Python package torch. */
  readonly libtorch: string | null
  readonly python: string | null
  /** Why the code of completions cannot be run in isolation; null where it can. */
  readonly sandbox: { readonly problem: string; readonly remedy: string } | null
  /** Version of each Python package; null where there is none. */
  readonly packages: Readonly<Record<typeof pythonPackages[number], string | null>>
}

export const pythonPackages = ["torch", "transformers", "trl", "tensorflow"] as const

/** The output of a program; null when it cannot run or fails. */
const output = (command: string, args: ReadonlyArray<string>): Effect.Effect<string | null> =>
  Effect.callback((resume) => {
    execFile(command, args, { timeout: 20_000 }, (error, stdout) => {
      resume(Effect.succeed(error === null ? stdout.trim() : null))
    })
  })

const firstLine = (text: string | null): string | null => text?.split("\n")[0] ?? null

/** Names of /proc/cpuinfo, x86 and ARM. */
const notable: ReadonlyArray<string> = [
  "avx2",
  "fma",
  "avx512f",
  "avx512_bf16",
  "amx_bf16",
  "asimd",
  "bf16",
  "sve"
]

/** The instruction sets of this processor on which kernels depend; none where the system does not say. */
export const features = (): ReadonlyArray<string> => {
  try {
    const has = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" "))
    return notable.filter((name) => has.has(name))
  } catch {
    return []
  }
}

/** `>=22.19` of package.json against v24.1.0. */
export const enoughMemory = (version: string, needed: string): boolean => {
  const [have, want] = [version, needed].map((text) => text.replace(/^[^\d]*/, "").split(".").map(Number))
  for (let i = 0; i < want!.length; i++) {
    if ((have![i] ?? 0) !== want![i]) return (have![i] ?? 0) > want![i]!
  }
  return true
}

/** A GPU a line, as `nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits` prints them. */
export const gpusOf = (text: string | null): ReadonlyArray<Gpu> =>
  (text ?? "").split("\n").map((line) => line.split(",").map((field) => field.trim())).filter(({ length }) =>
    length === 3
  )
    .map(([name, mebibytes, driver]) => ({ name: name!, memory: Number(mebibytes) * 2 ** 20, driver: driver! }))

const versions = `
import sys, importlib.metadata as m
def version(*names):
    for name in names:
        try: return m.version(name)
        except m.PackageNotFoundError: pass
    return ""
for name in sys.argv[1:]: print(version(name, name + "_cpu"))
import importlib.util as u
torch = u.find_spec("torch")
print(torch.submodule_search_locations[0] + "/lib" if torch else "")
`

/** Looks around; `needed` is the version of Node that package.json asks for. */
export const lookAround = (needed: string): Effect.Effect<MachineFacts> =>
  Effect.gen(function*() {
    const [smi, cc, cxx, python, found] = yield* Effect.all([
      output("nvidia-smi", ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]),
      output(process.env["CC"] ?? "cc", ["--version"]),
      output(process.env["CXX"] ?? "c++", ["--version"]),
      output("python3", ["-I", "--version"]),
      output("python3", ["-I", "-c", versions, ...pythonPackages])
    ], { concurrency: "unbounded" })
    const lines = (found ?? "").split("\n")
    const packages = Object.fromEntries(pythonPackages.map((name, i) => [name, lines[i]?.trim() || null]))
    return {
      platform: `${process.platform} ${process.arch}`,
      node: { version: process.version, needed, enough: enoughMemory(process.version, needed) },
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      features: features(),
      cores: availableParallelism(),
      memory: totalmem(),
      gpus: gpusOf(smi),
      compilers: { cc: firstLine(cc), "c++": firstLine(cxx) },
      libtorch: process.env["KEEL_LIBTORCH"] ?? (lines[pythonPackages.length]?.trim() || null),
      python,
      sandbox: yield* Effect.match(isolated, {
        onSuccess: () => null,
        onFailure: ({ problem, remedy }) => ({ problem, remedy })
      }),
      packages: packages as MachineFacts["packages"]
    }
  })
