import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Tensors, Weights } from "../engine/engine.ts"
import type { Made } from "./made.ts"
import type { Event } from "./runLog.ts"
import { fromJson, type Spent, together } from "./spent.ts"
import { type Answer, type Chunk, type Snapshot, Store } from "./store.ts"

/** As safetensors holds them. A plan has tensors without numbers: their lengths are all that is known. */
export const bytesOf = (tensors: Tensors): number =>
  [...tensors.values()].reduce((sum, { data }) => sum + 4 * data.length, 0)
const sizeOf = (made: Made): number => made._tag === "Model" ? bytesOf(made.weights.tensors) : 0
export const ofSnapshot = ({ models }: Snapshot): number =>
  Object.values(models).reduce(
    (sum, { optimizer, weights }) => sum + bytesOf(weights.tensors) + bytesOf(optimizer.tensors),
    0
  )

/** A store that lives as long as the process: for `simulate` and tests. */
export const layer: Layer.Layer<Store> = Layer.sync(Store, () => {
  const made = new Map<string, Made>()
  const latest = new Map<string, Snapshot>()
  const kept = new Map<string, Map<string, Weights>>()
  const chunks = new Map<string, Array<Chunk>>()
  const spent = new Map<string, Spent>()
  const answers = new Map<string, Answer>()
  const told = new Map<string, ReadonlyArray<Event>>()
  const size = (key: string): number => {
    const [done, last] = [made.get(key), latest.get(key)]
    return (done === undefined ? 0 : sizeOf(done)) + (last === undefined ? 0 : ofSnapshot(last)) +
      [...kept.get(key)?.values() ?? []].reduce((sum, { tensors }) => sum + bytesOf(tensors), 0)
  }
  return {
    // One process alone has it.
    claim: () => Effect.void,
    find: (key) => Effect.sync(() => Option.fromNullishOr(made.get(key))),
    has: (key) => Effect.sync(() => made.has(key)),
    told: (key) => Effect.sync(() => told.get(key) ?? []),
    finish: (key, _, value, took, events = [], partial = key, stays = false) =>
      Effect.sync(() => {
        if (!stays) {
          latest.delete(partial)
          kept.delete(partial)
          chunks.delete(partial)
        }
        if (made.has(key)) return
        told.set(key, events)
        made.set(key, value)
        if (took !== undefined) spent.set(key, { ...took, disk: sizeOf(value) })
      }),
    spent: (key) =>
      Effect.sync(() => {
        const state = latest.get(key)?.state as { readonly spent?: unknown } | undefined
        if (spent.has(key)) return Option.some(spent.get(key)!)
        const parts = chunks.get(key)
        return state === undefined && parts !== undefined
          ? Option.some(together(parts.map(({ spent }) => spent)))
          : fromJson(state?.spent)
      }),
    size: (key) => Effect.sync(() => size(key)),
    latest: (key) => Effect.sync(() => Option.fromNullishOr(latest.get(key))),
    save: (key, label, snapshot) =>
      Effect.sync(() => {
        latest.set(key, snapshot)
        return `memory:${label}/step-${snapshot.step}`
      }),
    append: (key, label, chunk) =>
      Effect.sync(() => {
        const all = chunks.get(key)
        if (all === undefined) chunks.set(key, [chunk])
        else all.push(chunk)
        return `memory:${label}/chunks`
      }),
    chunks: (key) => Effect.sync(() => [...chunks.get(key) ?? []]),
    keep: (key, label, name, weights) =>
      Effect.sync(() => {
        kept.set(key, (kept.get(key) ?? new Map()).set(name, weights))
        return `memory:${label}/${name}`
      }),
    answer: (question) => Effect.sync(() => Option.fromNullishOr(answers.get(question))),
    keepAnswer: (question, answer) => Effect.sync(() => void (answers.has(question) || answers.set(question, answer))),
    kept: (key, _, name) => Effect.sync(() => Option.fromNullishOr(kept.get(key)?.get(name)))
  }
})
