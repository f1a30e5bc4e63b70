/** The one place where a concrete backend is chosen. */
import { Data, Effect } from "effect"
import { transformer } from "../engine/transformer/transformer.ts"
import type { Backend } from "../tensor/backend.ts"

export const backends = ["auto", "wasm", "reference"] as const
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

const open = (name: BackendName): Promise<Backend> => {
  switch (name) {
    case "auto":
    case "wasm":
      return import("../tensor/wasm/wasm.ts").then(({ wasm }) => wasm())
    case "reference":
      return import("../tensor/reference.ts").then(({ reference }) => reference())
  }
}

/** A transformer engine on a backend, closed with the scope. `auto` is the fastest there is: `wasm`. */
export const engine = (name: BackendName) =>
  Effect.acquireRelease(
    Effect.tryPromise({ try: () => open(name), catch: (cause) => new BackendUnavailable({ name, cause }) }),
    (backend) => Effect.sync(() => backend.dispose())
  ).pipe(Effect.map((backend) => ({ backend: backend.name, engine: transformer(backend) })))
