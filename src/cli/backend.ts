/** The one place where a concrete backend is chosen. */
import { Console, Data, Effect } from "effect"
import { transformer } from "../engine/transformer/transformer.ts"
import type { Backend } from "../tensor/backend.ts"

export const backends = ["auto", "native", "wasm", "tfjs", "reference"] as const
export type BackendName = typeof backends[number]

/** A backend that does not work here. */
export class BackendUnavailable
  extends Data.TaggedError("BackendUnavailable")<{ readonly name: string; readonly cause: unknown }>
{
  override get message() {
    const why = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `backend ${this.name} does not work here: ${why}. --backend reference always works, slowly.`
  }
}

export interface BackendOptions {
  /** Threads; the cores of the machine unless given. `reference` has one. */
  readonly threads?: number
}

const open = {
  native: (options: BackendOptions): Promise<Backend> =>
    import("../tensor/native/native.ts").then(({ native }) => native(options)),
  wasm: (options: BackendOptions): Promise<Backend> =>
    import("../tensor/wasm/wasm.ts").then(({ wasm }) => wasm(options)),
  tfjs: (options: BackendOptions): Promise<Backend> =>
    import("../tensor/tfjs/tfjs.ts").then(({ tfjs }) => tfjs(options)),
  reference: (): Promise<Backend> => import("../tensor/reference.ts").then(({ reference }) => reference())
}

/** Opens a backend and checks that it computes what `reference` does. */
const opened = (name: Exclude<BackendName, "auto">, options: BackendOptions) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
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

/** The backend asked for, closed with the scope. `auto` is the fastest that passes its self-test: native, then wasm. */
export const backend = Effect.fnUntraced(function*(name: BackendName, options: BackendOptions = {}) {
  if (name !== "auto") return yield* opened(name, options)
  return yield* opened("native", options).pipe(
    Effect.catchTag(
      "BackendUnavailable",
      ({ cause }) =>
        Console.error(`No native backend (${cause instanceof Error ? cause.message : String(cause)}); using wasm.`)
          .pipe(
            Effect.andThen(opened("wasm", options))
          )
    )
  )
})

/** A transformer engine on a backend. */
export const engine = (name: BackendName, options: BackendOptions = {}) =>
  backend(name, options).pipe(Effect.map((backend) => ({ backend: backend.name, engine: transformer(backend) })))

/** What `keel backend install` installs. */
export const installable = ["tfjs-node-gpu", "tfjs-node"] as const

/** An installation that failed; `problem` ends with the remedy. */
export class BackendNotInstalled
  extends Data.TaggedError("BackendNotInstalled")<{ readonly name: string; readonly problem: string }>
{
  override get message() {
    return `${this.name}: ${this.problem}`
  }
}

/** Installs what a backend is made of, and says what it does meanwhile. */
export const install = (
  name: typeof installable[number],
  tensorflow: string | null,
  say: (text: string) => void
) =>
  Effect.tryPromise({
    try: () => import("../tensor/tfjs/install.ts").then(({ install }) => install(name, tensorflow, say)),
    catch: (cause) => new BackendNotInstalled({ name, problem: cause instanceof Error ? cause.message : String(cause) })
  })
