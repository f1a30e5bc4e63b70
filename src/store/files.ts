/**
 * The store on disk. A finished node is the folder `<label>-<key>`: `node.json` and its result: `model/` in Hugging Face layout (with
 * `adapter/` in PEFT's layout after LoRA), `rows.jsonl`, `logps.json`, or `report.json`; `told.json` if its stage passed a cap or a peak.
 * An unfinished node is `<label>-<key>.partial`, with its last checkpoint in `step-N/` (`next/` while it is written).
 * `spent.json` has the resources that it took. `node.json` is written last, so a folder that has it is
 * whole.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { rowKinds } from "../../dsl/Artifact.ts"
import type { Dataset } from "../data/dataset.ts"
import type { Optimizer, Weights } from "../engine/engine.ts"
import { isWhole as isAdapter, load as loadAdapter, save as saveAdapter } from "../model/adapter.ts"
import { load, save as saveModel } from "../model/checkpoint.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { decode, encode } from "../model/safetensors.ts"
import type { Made } from "./made.ts"
import { ReportJson } from "./report.ts"
import { Event } from "./runLog.ts"
import { fromJson, type Spent, toJson } from "./spent.ts"
import { type Snapshot, Store, StoreDamaged, type StoreError } from "./store.ts"

const NodeFile = Schema.Struct({
  keel: Schema.Literal(1),
  key: Schema.String,
  made: Schema.Literals(["Model", "Report", "Logps", ...rowKinds])
})

const StateFile = Schema.Struct({
  step: Schema.Natural,
  models: Schema.Record(Schema.String, Schema.Struct({ optimizerStep: Schema.Natural })),
  state: Schema.Json
})

const ToldFile = Schema.Array(Event)

const LogpsFile = Schema.Record(Schema.String, Schema.Finite)

/** Writes a file atomically: a temporary sibling, synced, renamed. */
export const writeFileAtomic = Effect.fnUntraced(function*(path: string, contents: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const partial = `${path}.partial`
  const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents
  yield* Effect.scoped(Effect.gen(function*() {
    const file = yield* fs.open(partial, { flag: "w" })
    yield* file.writeAll(bytes)
    yield* file.sync
  })).pipe(
    Effect.andThen(fs.rename(partial, path)),
    Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true })))
  )
})

const writeJson = (path: string, json: unknown, indent?: number) =>
  writeFileAtomic(path, `${JSON.stringify(json, null, indent)}\n`)

/** Reads a file that a finished folder must hold: a missing file is damage. */
const whole = <A, R>(path: string, read: Effect.Effect<A, PlatformError.PlatformError, R>) =>
  Effect.mapError(
    read,
    (error) => error.reason._tag === "NotFound" ? new StoreDamaged({ path, problem: "it is gone" }) : error
  )

/** A model of the store that cannot be read is damage to the store, not a bad model of the user's. */
const damaged = <A, R>(path: string, read: Effect.Effect<A, BadCheckpoint | PlatformError.PlatformError, R>) =>
  Effect.catchTag(read, "BadCheckpoint", ({ problem }) => Effect.fail(new StoreDamaged({ path, problem })))

/** Damage within `folder`, which has to be removed as a whole. */
const partOf = <A, E, R>(folder: string, read: Effect.Effect<A, E | StoreDamaged, R>) =>
  Effect.mapError(
    read,
    (error) => error instanceof StoreDamaged ? new StoreDamaged({ ...error, folder }) : error
  )

const loadModel = (path: string) => damaged(path, load(path))

/** Of a model that is kept in the folder `at`, beside it. */
const adapterOf = (at: string) => `${at}-adapter`

const folderOf = (root: string, key: string, label: string) => join(root, `${label}-${key.slice(0, 8)}`)

/** Where the model of a finished node is, in the store `root`. */
export const modelIn = (root: string, key: string, label: string) => join(folderOf(root, key, label), "model")

export const layer = (root: string): Layer.Layer<Store, never, FileSystem.FileSystem> =>
  Layer.effect(
    Store,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const within = <Args extends ReadonlyArray<unknown>, A, E>(
        method: (...args: Args) => Effect.Effect<A, E, FileSystem.FileSystem>
      ) =>
      (...args: Args): Effect.Effect<A, E> => Effect.provideService(method(...args), FileSystem.FileSystem, fs)
      const done = (key: string, label: string) => folderOf(root, key, label)
      const partial = (key: string, label: string) => `${done(key, label)}.partial`

      const readJson = <A, I>(schema: Schema.Codec<A, I>, path: string) =>
        Effect.flatMap(whole(path, fs.readFileString(path)), (text) =>
          Effect.mapError(
            Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text),
            (error) => new StoreDamaged({ path, problem: `not what Keel wrote there: ${error.message}` })
          ))

      const has = (key: string, label: string) => fs.exists(join(done(key, label), "node.json"))

      const read = Effect.fnUntraced(
        function*(folder: string, key: string): Effect.fn.Return<Made, StoreError, FileSystem.FileSystem> {
          const path = join(folder, "node.json")
          const node = yield* readJson(NodeFile, path)
          if (node.key !== key) return yield* new StoreDamaged({ path, problem: `it is of another node, ${node.key}` })
          switch (node.made) {
            case "Model":
              return { _tag: "Model", weights: yield* loadModel(join(folder, "model")) }
            case "Report":
              return { _tag: "Report", report: yield* readJson(ReportJson, join(folder, "report.json")) }
            case "Logps":
              return {
                _tag: "Logps",
                logps: new Map(Object.entries(yield* readJson(LogpsFile, join(folder, "logps.json"))))
              }
            default: {
              const path = join(folder, "rows.jsonl")
              const text = yield* whole(path, fs.readFileString(path))
              const rows = yield* Effect.try({
                try: () => text.split("\n").filter((line) => line !== "").map((line): unknown => JSON.parse(line)),
                catch: (error) => new StoreDamaged({ path, problem: String(error) })
              })
              return { _tag: "Data", dataset: { role: node.made, rows } as unknown as Dataset }
            }
          }
        }
      )

      const find = within(Effect.fnUntraced(function*(key: string, label: string) {
        if (!(yield* has(key, label))) return Option.none()
        // Left by a crash at the end of `finish`.
        yield* fs.remove(partial(key, label), { recursive: true, force: true })
        return Option.some(yield* partOf(done(key, label), read(done(key, label), key)))
      }))

      const write = Effect.fnUntraced(function*(folder: string, made: Made) {
        switch (made._tag) {
          case "Model":
            yield* saveModel(join(folder, "model"), made.weights)
            if (made.weights.adapter !== undefined) yield* saveAdapter(join(folder, "adapter"), made.weights.adapter)
            return "Model"
          case "Report":
            yield* writeJson(join(folder, "report.json"), Schema.encodeSync(ReportJson)(made.report), 2)
            return "Report"
          case "Logps":
            yield* writeJson(join(folder, "logps.json"), Object.fromEntries(made.logps))
            return "Logps"
          case "Data":
            yield* writeFileAtomic(
              join(folder, "rows.jsonl"),
              made.dataset.rows.map((row) => `${JSON.stringify(row)}\n`).join("")
            )
            return made.dataset.role
        }
      })

      const bytesIn = Effect.fnUntraced(function*(folder: string) {
        if (!(yield* fs.exists(folder))) return 0
        let bytes = 0
        for (const name of yield* fs.readDirectory(folder, { recursive: true })) {
          const { size, type } = yield* fs.stat(join(folder, name))
          if (type === "File") bytes += Number(size)
        }
        return bytes
      })

      const size = (key: string, label: string) =>
        Effect.zipWith(bytesIn(done(key, label)), bytesIn(partial(key, label)), (kept, running) => kept + running)

      const spent = Effect.fnUntraced(function*(key: string, label: string) {
        const folder = done(key, label)
        if (yield* fs.exists(join(folder, "node.json"))) {
          const path = join(folder, "spent.json")
          // Nodes of an earlier version have none.
          if (!(yield* fs.exists(path))) return Option.none<Spent>()
          return fromJson(yield* readJson(Schema.Json, path))
        }
        const at = yield* newest(partial(key, label))
        if (at === undefined) return Option.none<Spent>()
        const { state } = yield* partOf(at, readJson(StateFile, join(at, "state.json")))
        return fromJson((state as { readonly spent?: unknown } | null)?.spent)
      })

      const told = Effect.fnUntraced(function*(key: string, label: string) {
        const path = join(done(key, label), "told.json")
        return (yield* has(key, label)) && (yield* fs.exists(path)) ? yield* readJson(ToldFile, path) : []
      })

      const finish = within(Effect.fnUntraced(function*(
        key: string,
        label: string,
        made: Made,
        took?: Spent,
        events: ReadonlyArray<Event> = []
      ) {
        const folder = done(key, label)
        // Without node.json the folder was left by a crash between these lines.
        yield* fs.makeDirectory(folder, { recursive: true })
        const kind = yield* write(folder, made)
        if (events.length > 0) yield* writeJson(join(folder, "told.json"), Schema.encodeSync(ToldFile)(events))
        if (took !== undefined) {
          yield* writeJson(join(folder, "spent.json"), toJson({ ...took, disk: yield* bytesIn(folder) }))
        }
        yield* writeJson(join(folder, "node.json"), { keel: 1, key, made: kind })
        yield* fs.remove(partial(key, label), { recursive: true, force: true })
      }))

      const steps = Effect.fnUntraced(function*(folder: string) {
        if (!(yield* fs.exists(folder))) return []
        return (yield* fs.readDirectory(folder)).flatMap((name) => {
          const match = /^step-(\d+)$/u.exec(name)
          return match === null ? [] : [Number(match[1])]
        }).sort((a, b) => b - a)
      })

      /** The folder of the last whole checkpoint: `next` as soon as it has its last file. */
      const newest = Effect.fnUntraced(function*(folder: string) {
        if (yield* fs.exists(join(folder, "next", "state.json"))) return join(folder, "next")
        const [step] = yield* steps(folder)
        return step === undefined ? undefined : join(folder, `step-${step}`)
      })

      /**
       * A checkpoint is written to `next` and takes the place of the one before it when it is whole; a `next` without
       * `state.json` is left by a crash in the middle of `save`. The one before is renamed before it is removed: a crash leaves no half of
       * it under its name.
       */
      const settle = Effect.fnUntraced(function*(folder: string) {
        const next = join(folder, "next")
        const path = join(next, "state.json")
        if (!(yield* fs.exists(path))) return
        const { step } = yield* readJson(StateFile, path)
        const gone = join(folder, "removed")
        for (const old of yield* steps(folder)) {
          yield* fs.remove(gone, { recursive: true, force: true })
          yield* fs.rename(join(folder, `step-${old}`), gone)
        }
        yield* fs.rename(next, join(folder, `step-${step}`))
        yield* fs.remove(gone, { recursive: true, force: true })
      })

      const latest = within(Effect.fnUntraced(function*(key: string, label: string) {
        const folder = partial(key, label)
        yield* settle(folder)
        const [step] = yield* steps(folder)
        if (step === undefined) return Option.none<Snapshot>()
        return Option.some(yield* partOf(join(folder, `step-${step}`), snapshotIn(join(folder, `step-${step}`), step)))
      }))

      const snapshotIn = Effect.fnUntraced(function*(at: string, step: number) {
        const { models, state } = yield* readJson(StateFile, join(at, "state.json"))
        const opened: Record<string, { weights: Weights; optimizer: Optimizer }> = {}
        for (const [name, { optimizerStep }] of Object.entries(models)) {
          const optimizer = join(at, `${name}.optimizer.safetensors`)
          const bytes = yield* whole(optimizer, fs.readFile(optimizer))
          opened[name] = {
            weights: yield* loadModel(join(at, name)),
            optimizer: {
              step: optimizerStep,
              tensors: yield* Effect.try({
                try: () => decode(bytes, optimizer),
                catch: (error) => new StoreDamaged({ path: optimizer, problem: String(error) })
              })
            }
          }
        }
        return { step, models: opened, state } satisfies Snapshot
      })

      const save = within(Effect.fnUntraced(function*(key: string, label: string, snapshot: Snapshot) {
        const folder = partial(key, label)
        const next = join(folder, "next")
        yield* settle(folder)
        yield* fs.remove(next, { recursive: true, force: true })
        yield* fs.makeDirectory(next, { recursive: true })
        const models: Record<string, { optimizerStep: number }> = {}
        for (const [name, { optimizer, weights }] of Object.entries(snapshot.models)) {
          yield* saveModel(join(next, name), weights)
          yield* writeFileAtomic(join(next, `${name}.optimizer.safetensors`), encode(optimizer.tensors))
          models[name] = { optimizerStep: optimizer.step }
        }
        yield* writeJson(join(next, "state.json"), { step: snapshot.step, models, state: snapshot.state })
        yield* settle(folder)
        return join(folder, `step-${snapshot.step}`)
      }))

      const keep = within(Effect.fnUntraced(function*(key: string, label: string, name: string, weights: Weights) {
        const at = join(partial(key, label), name)
        yield* fs.makeDirectory(partial(key, label), { recursive: true })
        if (weights.adapter !== undefined) yield* saveAdapter(adapterOf(at), weights.adapter)
        yield* saveModel(at, weights)
        return at
      }))

      const kept = within(Effect.fnUntraced(function*(key: string, label: string, name: string) {
        const at = join(partial(key, label), name)
        // The last of its files that is written.
        if (!(yield* fs.exists(join(at, "model.safetensors")))) return Option.none()
        const weights = yield* loadModel(at)
        if (!(yield* isAdapter(adapterOf(at)))) return Option.some(weights)
        return Option.some({ ...weights, adapter: yield* damaged(adapterOf(at), loadAdapter(adapterOf(at))) })
      }))

      return { find, has, finish, told, spent, size, latest, save, keep, kept }
    })
  )
