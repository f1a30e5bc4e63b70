import { Effect, Layer, Option } from "effect"
import type { Made } from "./made.ts"
import type { Snapshot } from "./store.ts"
import { Store } from "./store.ts"

/** A store that lives as long as the process: for `simulate` and tests. */
export const layer: Layer.Layer<Store> = Layer.sync(Store, () => {
  const made = new Map<string, Made>()
  const latest = new Map<string, Snapshot>()
  return {
    find: (key) => Effect.sync(() => Option.fromNullishOr(made.get(key))),
    has: (key) => Effect.sync(() => made.has(key)),
    finish: (key, _, value) =>
      Effect.sync(() => {
        made.set(key, value)
        latest.delete(key)
      }),
    latest: (key) => Effect.sync(() => Option.fromNullishOr(latest.get(key))),
    save: (key, label, snapshot) =>
      Effect.sync(() => {
        latest.set(key, snapshot)
        return `memory:${label}/step-${snapshot.step}`
      }),
    keep: (_, label, name) => Effect.succeed(`memory:${label}/${name}`)
  }
})
