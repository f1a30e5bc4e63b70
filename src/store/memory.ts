import { Effect, Layer, Option } from "effect"
import type { Weights } from "../engine/engine.ts"
import type { Made } from "./made.ts"
import type { Snapshot } from "./store.ts"
import { Store } from "./store.ts"

/** A store that lives as long as the process: for `simulate` and tests. */
export const layer: Layer.Layer<Store> = Layer.sync(Store, () => {
  const made = new Map<string, Made>()
  const latest = new Map<string, Snapshot>()
  const kept = new Map<string, Weights>()
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
    keep: (key, label, name, weights) =>
      Effect.sync(() => {
        kept.set(`${key}/${name}`, weights)
        return `memory:${label}/${name}`
      }),
    kept: (key, _, name) => Effect.sync(() => Option.fromNullishOr(kept.get(`${key}/${name}`)))
  }
})
