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
import type { Dataset } from "../data/dataset.ts"
import type { Optimizer, Weights } from "../engine/engine.ts"
import { isWhole as isAdapter, load as loadAdapter, save as saveAdapter } from "../model/adapter.ts"
import { load, save } from "../model/checkpoint.ts"
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
  made: Schema.Literals([
    "Model",
    "Report",
    "Logps",
    "Text",
    "Prompts",
    "Demonstrations",
    "Preferences",
    "Rankings",
    "Stepwise",
    "UnpairedPreferences",
    "Completions",
    "ScoredCompletions"
  ])
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

const parse = <S extends Schema.Codec<any, any>>(schema: S, path: string, text: string) =>
  Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text).pipe(
    Effect.mapError((error) => new StoreDamaged({ path, problem: `not what Keel wrote there: ${error.message}` }))
  ) as Effect.Effect<S["Type"], StoreDamaged>

/** Reads a file that a finished folder must hold: a missing file is damage. */
const whole = <A, R>(path: string, read: Effect.Effect<A, PlatformError.PlatformError, R>) =>
  Effect.mapError(
    read,
    (error) => error.reason._tag === "NotFound" ? new StoreDamaged({ path, problem: "it is gone" }) : error
  )

/** A model of the store that cannot be read is damage to the store, not a bad model of the user's. */
const damaged = <A, R>(path: string, read: Effect.Effect<A, BadCheckpoint | PlatformError.PlatformError, R>) =>
  Effect.catchTag(read, "BadCheckpoint", ({ problem }) => Effect.fail(new StoreDamaged({ path, problem })))

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
      const within = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem>): Effect.Effect<A, E> =>
        Effect.provideService(effect, FileSystem.FileSystem, fs)
      const done = (key: string, label: string) => folderOf(root, key, label)
      const partial = (key: string, label: string) => `${done(key, label)}.partial`

      const readJson = <S extends Schema.Codec<any, any>>(schema: S, path: string) =>
        Effect.flatMap(whole(path, fs.readFileString(path)), (text) => parse(schema, path, text))

      const has = Effect.fnUntraced(function*(key: string, label: string) {
        return yield* fs.exists(join(done(key, label), "node.json"))
      })

      const read = Effect.fnUntraced(function*(key: string, label: string) {
        const folder = done(key, label)
        const path = join(folder, "node.json")
        const node = yield* readJson(NodeFile, path)
        if (node.key !== key) return yield* new StoreDamaged({ path, problem: `it is of another node, ${node.key}` })
        switch (node.made) {
          case "Model":
            return { _tag: "Model", weights: yield* loadModel(join(folder, "model")) } satisfies Made
          case "Report": {
            return { _tag: "Report", report: yield* readJson(ReportJson, join(folder, "report.json")) } satisfies Made
          }
          case "Logps": {
            const logps = yield* readJson(LogpsFile, join(folder, "logps.json"))
            return { _tag: "Logps", logps: new Map(Object.entries(logps)) } satisfies Made
          }
          default: {
            const path = join(folder, "rows.jsonl")
            const text = yield* whole(path, fs.readFileString(path))
            const rows = yield* Effect.try({
              try: () => text.split("\n").filter((line) => line !== "").map((line): unknown => JSON.parse(line)),
              catch: (error) => new StoreDamaged({ path, problem: String(error) })
            })
            return { _tag: "Data", dataset: { role: node.made, rows } as unknown as Dataset } satisfies Made
          }
        }
      })

      const write = Effect.fnUntraced(function*(folder: string, made: Made) {
        switch (made._tag) {
          case "Model":
            yield* save(join(folder, "model"), made.weights)
            if (made.weights.adapter !== undefined) yield* saveAdapter(join(folder, "adapter"), made.weights.adapter)
            return "Model"
          case "Report":
            yield* writeFileAtomic(
              join(folder, "report.json"),
              `${JSON.stringify(Schema.encodeSync(ReportJson)(made.report), null, 2)}\n`
            )
            return "Report"
          case "Logps":
            yield* writeFileAtomic(join(folder, "logps.json"), `${JSON.stringify(Object.fromEntries(made.logps))}\n`)
            return "Logps"
          case "Data":
            yield* writeFileAtomic(
              join(folder, "rows.jsonl"),
              made.dataset.rows.map((row) => `${JSON.stringify(row)}\n`).join("")
            )
            return made.dataset.role
        }
      })

      const bytesIn: (folder: string) => Effect.Effect<number, PlatformError.PlatformError> = Effect.fnUntraced(
        function*(folder) {
          if (!(yield* fs.exists(folder))) return 0
          let bytes = 0
          for (const name of yield* fs.readDirectory(folder, { recursive: true })) {
            const { size, type } = yield* fs.stat(join(folder, name))
            if (type === "File") bytes += Number(size)
          }
          return bytes
        }
      )

      const spent = Effect.fnUntraced(function*(key: string, label: string) {
        const folder = done(key, label)
        if (yield* fs.exists(join(folder, "node.json"))) {
          const path = join(folder, "spent.json")
          // Nodes of an earlier version have none.
          if (!(yield* fs.exists(path))) return Option.none<Spent>()
          return fromJson(yield* readJson(Schema.Json, path))
        }
        const [step] = yield* steps(partial(key, label))
        if (step === undefined) return Option.none<Spent>()
        const { state } = yield* readJson(StateFile, join(partial(key, label), `step-${step}`, "state.json"))
        return fromJson((state as { readonly spent?: unknown } | null)?.spent)
      })

      const told = Effect.fnUntraced(function*(key: string, label: string) {
        const path = join(done(key, label), "told.json")
        return (yield* has(key, label)) && (yield* fs.exists(path)) ? yield* readJson(ToldFile, path) : []
      })

      const finish = Effect.fnUntraced(function*(
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
        if (events.length > 0) {
          const json = Schema.encodeSync(ToldFile)(events)
          yield* writeFileAtomic(join(folder, "told.json"), `${JSON.stringify(json)}\n`)
        }
        if (took !== undefined) {
          const all = { ...took, disk: yield* bytesIn(folder) }
          yield* writeFileAtomic(join(folder, "spent.json"), `${JSON.stringify(toJson(all))}\n`)
        }
        yield* writeFileAtomic(join(folder, "node.json"), `${JSON.stringify({ keel: 1, key, made: kind })}\n`)
        yield* fs.remove(partial(key, label), { recursive: true, force: true })
      })

      const steps = Effect.fnUntraced(function*(folder: string) {
        if (!(yield* fs.exists(folder))) return []
        return (yield* fs.readDirectory(folder)).flatMap((name) => {
          const match = /^step-(\d+)$/u.exec(name)
          return match === null ? [] : [Number(match[1])]
        }).sort((a, b) => b - a)
      })

      /**
       * A checkpoint is written to `next` and takes the place of the one before it when it is whole; a `next` without
       * `state.json` is left by a crash in the middle of `save`.
       */
      const settle = Effect.fnUntraced(function*(folder: string) {
        const next = join(folder, "next")
        const path = join(next, "state.json")
        if (!(yield* fs.exists(path))) return
        const { step } = yield* readJson(StateFile, path)
        for (const old of yield* steps(folder)) yield* fs.remove(join(folder, `step-${old}`), { recursive: true })
        yield* fs.rename(next, join(folder, `step-${step}`))
      })

      const latest = Effect.fnUntraced(function*(key: string, label: string) {
        const folder = partial(key, label)
        yield* settle(folder)
        const [step] = yield* steps(folder)
        if (step === undefined) return Option.none<Snapshot>()
        const at = join(folder, `step-${step}`)
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
        return Option.some({ step, models: opened, state } satisfies Snapshot)
      })

      const saveSnapshot = Effect.fnUntraced(function*(key: string, label: string, snapshot: Snapshot) {
        const folder = partial(key, label)
        const next = join(folder, "next")
        yield* settle(folder)
        yield* fs.remove(next, { recursive: true, force: true })
        yield* fs.makeDirectory(next, { recursive: true })
        const models: Record<string, { optimizerStep: number }> = {}
        for (const [name, { optimizer, weights }] of Object.entries(snapshot.models)) {
          yield* save(join(next, name), weights)
          yield* writeFileAtomic(join(next, `${name}.optimizer.safetensors`), encode(optimizer.tensors))
          models[name] = { optimizerStep: optimizer.step }
        }
        const state = { step: snapshot.step, models, state: snapshot.state }
        yield* writeFileAtomic(join(next, "state.json"), `${JSON.stringify(state)}\n`)
        yield* settle(folder)
        return join(folder, `step-${snapshot.step}`)
      })

      const keep = Effect.fnUntraced(function*(key: string, label: string, name: string, weights: Weights) {
        const at = join(partial(key, label), name)
        yield* fs.makeDirectory(partial(key, label), { recursive: true })
        if (weights.adapter !== undefined) yield* saveAdapter(adapterOf(at), weights.adapter)
        yield* save(at, weights)
        return at
      })

      const kept = Effect.fnUntraced(function*(key: string, label: string, name: string) {
        const at = join(partial(key, label), name)
        // The last of its files that is written.
        if (!(yield* fs.exists(join(at, "model.safetensors")))) return Option.none()
        const weights = yield* loadModel(at)
        if (!(yield* isAdapter(adapterOf(at)))) return Option.some(weights)
        return Option.some({ ...weights, adapter: yield* damaged(adapterOf(at), loadAdapter(adapterOf(at))) })
      })

      return {
        has: (key, label) => within(has(key, label)),
        find: (key, label): Effect.Effect<Option.Option<Made>, StoreError> =>
          within(
            Effect.flatMap(has(key, label), (there) =>
              there
                ? Effect.map(read(key, label), (made) => Option.some<Made>(made))
                : Effect.succeed(Option.none<Made>()))
          ),
        finish: (key, label, made, took, events) => within(finish(key, label, made, took, events)),
        told: (key, label) => within(told(key, label)),
        spent: (key, label) => within(spent(key, label)),
        size: (key, label) =>
          Effect.zipWith(bytesIn(done(key, label)), bytesIn(partial(key, label)), (kept, running) => kept + running),
        latest: (key, label) => within(latest(key, label)),
        save: (key, label, snapshot) => within(saveSnapshot(key, label, snapshot)),
        keep: (key, label, name, weights) => within(keep(key, label, name, weights)),
        kept: (key, label, name) => within(kept(key, label, name))
      }
    })
  )
