/** The only place that chooses a concrete backend. */
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { transformer } from "../engine/transformer/transformer.ts"
import type { Backend } from "../tensor/backend.ts"

export const backends = ["auto", "native", "wasm", "torch", "tfjs", "reference"] as const
export type BackendName = typeof backends[number]
type Concrete = Exclude<BackendName, "auto">

const why = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** A backend that does not work on this machine. */
export class BackendUnavailable
  extends Data.TaggedError("BackendUnavailable")<{ readonly name: string; readonly cause: unknown }>
{
  override get message() {
    return `backend ${this.name} does not work here: ${why(this.cause)}. --backend reference always works, slowly.`
  }
}

export interface BackendOptions {
  /** Number of threads; default: the machine's cores. `reference` always has one. */
  readonly threads?: number
  /** `cpu`, or with `torch` also `cuda:N`; default: `cpu`, except that `auto` may choose a GPU. */
  readonly device?: string
}

const open: Readonly<Record<Concrete, (options: BackendOptions) => Promise<Backend>>> = {
  native: (options) => import("../tensor/native/native.ts").then(({ native }) => native(options)),
  wasm: (options) => import("../tensor/wasm/wasm.ts").then(({ wasm }) => wasm(options)),
  tfjs: (options) => import("../tensor/tfjs/tfjs.ts").then(({ tfjs }) => tfjs(options)),
  torch: (options) => import("../tensor/torch/torch.ts").then(({ torch }) => torch(options)),
  reference: () => import("../tensor/reference.ts").then(({ reference }) => reference())
}

/** Opens a backend and compares its results with `reference`. */
const opened = (name: Concrete, options: BackendOptions) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const { device = "cpu" } = options
        if (device !== "cpu" && name !== "torch") {
          throw new Error(`it computes on the processor; --device ${device} needs --backend torch`)
        }
        if (!backends.includes(name)) throw new Error(`there is no such backend, only ${backends.join(", ")}`)
        const backend = await open[name](options)
        if (name !== "reference") {
          const { selfTest } = await import("../tensor/selfTest.ts")
          selfTest(backend)
        }
        return backend
      },
      catch: (cause) => new BackendUnavailable({ name, cause })
    }),
    (backend) => Effect.sync(() => backend.dispose())
  )

/** Whether the system has a driver for NVIDIA GPUs: without it, libtorch is not tried. */
const nvidia = (): boolean => ["/dev/nvidiactl", "/dev/dxg"].some((path) => existsSync(path))

/** The first backend that works; prints a line for each that does not. */
const firstOf = (
  [first, ...others]: ReadonlyArray<readonly [name: Concrete, options: BackendOptions]>
): ReturnType<typeof opened> => {
  const [name, options] = first!
  const [next] = others
  if (next === undefined) return opened(name, options)
  return Effect.catchTag(
    opened(name, options),
    "BackendUnavailable",
    (error) =>
      Effect.andThen(Console.error(`No ${name} backend (${why(error.cause)}); using ${next[0]}.`), firstOf(others))
  )
}

/**
 * The backend `name`, closed with the scope. `auto` is the fastest backend that passes its self-test: libtorch on an
 * NVIDIA GPU, native, then wasm. With a `device` other than `cpu`, `auto` is libtorch on that device.
 */
export const backend = (name: BackendName, options: BackendOptions = {}) => {
  if (name !== "auto") return opened(name, options)
  const { device } = options
  if (device !== undefined && device !== "cpu") return opened("torch", options)
  const gpu = device === undefined && nvidia() ? [["torch", { ...options, device: "cuda:0" }] as const] : []
  return firstOf([...gpu, ["native", options], ["wasm", options]])
}

/** A transformer engine on a backend. */
export const engine = (name: BackendName, options: BackendOptions = {}) =>
  backend(name, options).pipe(Effect.map((backend) => ({ backend: backend.name, engine: transformer(backend) })))

/** Packages that `keel backend install` installs. */
export const installable = ["tfjs-node-gpu", "tfjs-node"] as const

/** An installation that failed; `problem` ends with the remedy. */
export class BackendNotInstalled
  extends Data.TaggedError("BackendNotInstalled")<{ readonly name: string; readonly problem: string }>
{
  override get message() {
    return `${this.name}: ${this.problem}`
  }
}

/** Installs a backend's native library and prints its progress. */
export const install = (
  name: typeof installable[number],
  tensorflow: string | null,
  say: (text: string) => void
) =>
  Effect.tryPromise({
    try: () => import("../tensor/tfjs/install.ts").then(({ install }) => install(name, tensorflow, say)),
    catch: (cause) => new BackendNotInstalled({ name, problem: why(cause) })
  })
