/**
 * The store on disk. A finished node is the folder `<label>-<key>`: its manifest `node.json` and its result: `model/` in Hugging Face layout
 * (with `adapter/` in PEFT's layout after LoRA), `rows.jsonl` (of text with `words.json`, further words of its vocabulary), `logps.json`,
 * or `report.json` (with `samples.jsonl`); `told.json` if its stage passed a cap or a peak;
 * `spent.json` has the resources that it took, with a SHA-256 of those that are the same in every run. It appears by one rename and is never written again.
 *
 * An unfinished node is `<label>-<key>.partial`, or `<label>-<key>.partial.<owner>` while a process works on it (`claim.ts`), with its last
 * checkpoint in `step-N/` (`next/` while it is written), its rows so far in `chunks.jsonl`, and the models that it keeps under their names.
 * `answers/` has the answers of judges (`answers.ts`).
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
import { contents as adapterFiles, load as loadAdapter } from "../model/adapter.ts"
import { contents as modelFiles, load } from "../model/checkpoint.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { syncDirectory } from "../model/folder.ts"
import { bytesOf } from "../model/regularFile.ts"
import { decode, encode } from "../model/safetensors.ts"
import { type Claim, claim as own, fenced, foldersOf, tidy, type Waits } from "./claim.ts"
import type { Made } from "./made.ts"
import { ReportJson, Sample } from "./report.ts"
import { filesOf, line, LogpsFile, ToldFile, under } from "./resultFiles.ts"
import type { Event } from "./runLog.ts"
import { digest, type Files, manifest, manifestOf, seal, text, textIn, verify, writeFileAtomic } from "./sealed.ts"
import { answersIn } from "./answers.ts"
import * as ChunkLog from "./chunkLog.ts"
import { rowsIn } from "./rowLines.ts"
import { fromJson, type Spent, together, toJson } from "./spent.ts"
import { type Chunk, type Snapshot, Store, StoreDamaged } from "./store.ts"

const nodeFile = "node.json"
const NodeFile = manifestOf({
  made: Schema.Literals(["Model", "Report", "Logps", ...rowKinds]),
  /** Whether it has `spent.json`. */
  counted: Schema.Boolean
})
/** Not in the manifest, which has the same bytes in every run: it says how long this run took. */
const spentFile = "spent.json"

const stateFile = "state.json"
const StateFile = manifestOf({
  step: Schema.Natural,
  models: Schema.Record(Schema.String, Schema.Struct({ optimizerStep: Schema.Natural })),
  state: Schema.Json
})

const chunkFile = "chunks.jsonl"

const keptFile = "kept.json"
const KeptFile = manifestOf({})

const parsed = <A, I>(schema: Schema.Codec<A, I>, path: string, json: string) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(json),
    (error) => new StoreDamaged({ path, problem: `not what Keel wrote there: ${error.message}` })
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

/** Without the id in the label: other descriptions may make the same. */
const folderOf = (root: string, key: string, label: string) =>
  join(root, `${label.replace(/-[0-9a-f]{8}$/u, "")}-${key.slice(0, 16)}`)

/** Where the model of a finished node is, in the store `root`. */
export const modelIn = (root: string, key: string, label: string) => join(folderOf(root, key, label), "model")

/** Not the same in another run of the same node. */
const ofThisRun = ["answers", "asked", "disk", "fees", "memory", "milliseconds"]

const spentText = (spent: Spent): string => {
  const json = toJson(spent) as Readonly<Record<string, unknown>>
  const same = Object.entries(json).filter(([name]) => !ofThisRun.includes(name))
  return line({ ...json, sha256: digest(JSON.stringify(same)) })
}

export const layer = (root: string): Layer.Layer<Store, never, FileSystem.FileSystem> =>
  Layer.effect(
    Store,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const within = <Args extends ReadonlyArray<unknown>, A, E, R>(
        method: (...args: Args) => Effect.Effect<A, E, R | FileSystem.FileSystem>
      ) =>
      (...args: Args): Effect.Effect<A, E, Exclude<R, FileSystem.FileSystem>> =>
        Effect.provideService(method(...args), FileSystem.FileSystem, fs)
      const done = (key: string, label: string) => folderOf(root, key, label)
      const partial = (key: string, label: string) => `${done(key, label)}.partial`
      /** The folders that this store owns, by what they are called when nobody does. */
      const owned = new Map<string, Claim>()

      const has = (key: string, label: string) => fs.exists(join(done(key, label), nodeFile))

      const acquire = Effect.fnUntraced(function*(base: string, waits: Waits<PlatformError.PlatformError>) {
        if (owned.has(base)) return
        yield* fs.makeDirectory(root, { recursive: true })
        const mine = yield* own(base, waits)
        if (mine === undefined) return
        yield* Effect.acquireRelease(
          Effect.sync(() => owned.set(base, mine)),
          () => Effect.sync(() => owned.delete(base))
        )
      })

      const claim: Store["Service"]["claim"] = within(
        (key, label, { replaced, waiting }, of = key) => {
          let said = false
          return Effect.gen(function*() {
            if (yield* has(key, label)) return
            yield* acquire(partial(of, label), {
              held: (owner) => Effect.suspend(() => said ? Effect.void : (said = true, waiting(owner))),
              took: replaced,
              over: has(key, label)
            })
          })
        }
      )

      /** `use` gets the folder of an unfinished node, owned meanwhile. */
      const owning = <A, E, R>(key: string, label: string, use: (folder: string) => Effect.Effect<A, E, R>) =>
        Effect.scoped(Effect.gen(function*() {
          const base = partial(key, label)
          const nothing = () => Effect.void
          yield* acquire(base, { held: nothing, took: nothing, over: Effect.succeed(false) })
          const { folder } = owned.get(base)!
          // Its path, once nobody owns it.
          const free = (path: string) => path.replace(folder, base)
          return yield* Effect.mapError(fenced(base, folder, use(folder)), (error) =>
            error instanceof StoreDamaged
              ? new StoreDamaged({ ...error, path: free(error.path), folder: free(error.folder ?? folder) })
              : error)
        }))

      const read = Effect.fnUntraced(
        function*(folder: string, key: string) {
          const node = yield* manifest(folder, nodeFile, NodeFile, key)
          yield* verify(folder, nodeFile, node, [spentFile])
          yield* spentIn(folder, key)
          switch (node.made) {
            case "Model":
              return { _tag: "Model", weights: yield* loadModel(join(folder, "model")) } satisfies Made as Made
            case "Report": {
              const path = join(folder, "report.json")
              const report = yield* parsed(ReportJson, path, yield* fs.readFileString(path))
              const samples = join(folder, "samples.jsonl")
              if (!(yield* fs.exists(samples))) return { _tag: "Report", report } satisfies Made as Made
              const lines = (yield* fs.readFileString(samples)).split("\n").filter((line) => line !== "")
              const read = yield* parsed(Schema.Array(Sample), samples, `[${lines.join()}]`)
              return { _tag: "Report", report, samples: read } satisfies Made as Made
            }
            case "Logps": {
              const path = join(folder, "logps.json")
              const { by, logps } = yield* parsed(LogpsFile, path, yield* fs.readFileString(path))
              return { _tag: "Logps", by, logps: new Map(Object.entries(logps)) } satisfies Made as Made
            }
            default: {
              const rows = yield* rowsIn(join(folder, "rows.jsonl"))
              const path = join(folder, "words.json")
              const words = node.made === "Text"
                ? {
                  vocabulary: (yield* fs.exists(path))
                    ? yield* parsed(Schema.Array(Schema.String), path, yield* fs.readFileString(path))
                    : []
                }
                : {}
              return {
                _tag: "Data",
                dataset: { role: node.made, rows, ...words } as unknown as Dataset
              } satisfies Made as Made
            }
          }
        }
      )

      const find = within(Effect.fnUntraced(function*(key: string, label: string) {
        const folder = done(key, label)
        if (!(yield* fs.exists(folder))) return Option.none()
        const made = yield* partOf(folder, read(folder, key))
        // Left by a crash at the end of `finish`. Who may not write here has no need to.
        yield* Effect.ignore(tidy(partial(key, label)))
        return Option.some(made)
      }))

      const bytesIn = Effect.fnUntraced(function*(folder: string) {
        if (!(yield* fs.exists(folder))) return 0
        let bytes = 0
        for (const name of yield* fs.readDirectory(folder, { recursive: true })) {
          const { size, type } = yield* fs.stat(join(folder, name))
          if (type === "File") bytes += Number(size)
        }
        return bytes
      })

      const size = within(Effect.fnUntraced(function*(key: string, label: string) {
        const mine = owned.get(partial(key, label))
        return (yield* bytesIn(done(key, label))) +
          (mine === undefined ? 0 : yield* fenced(partial(key, label), mine.folder, bytesIn(mine.folder)))
      }))

      const spent = within(Effect.fnUntraced(function*(key: string, label: string) {
        const folder = done(key, label)
        if (yield* has(key, label)) return yield* partOf(folder, spentIn(folder, key))
        for (const at of yield* foldersOf(partial(key, label))) {
          // Another process may replace the checkpoint meanwhile: what it has spent is known in a moment again.
          const last = yield* Effect.orElseSucceed(newest(at), () => undefined)
          if (last === undefined) {
            const parts = yield* Effect.orElseSucceed(ChunkLog.read(join(at, chunkFile), key), () => [])
            if (parts.length > 0) return Option.some(together(parts.map(({ spent }) => spent)))
            continue
          }
          const state = yield* manifest(last, stateFile, StateFile, key).pipe(
            Effect.catchTag("StoreDamaged", (error) =>
              Effect.flatMap(fs.exists(last), (still) =>
                still ? Effect.fail(error) : Effect.succeed(undefined))),
            (read) =>
              partOf(last, read)
          )
          if (state !== undefined) return fromJson((state.state as { readonly spent?: unknown } | null)?.spent)
        }
        return Option.none<Spent>()
      }))

      const spentIn = Effect.fnUntraced(function*(folder: string, key: string) {
        if (!(yield* manifest(folder, nodeFile, NodeFile, key)).counted) return Option.none<Spent>()
        const path = join(folder, spentFile)
        const read = yield* textIn(path)
        const found = Option.flatMap(Option.liftThrowable(JSON.parse)(read), fromJson)
        if (Option.isSome(found) && spentText(found.value) === read) return found
        return yield* new StoreDamaged({ path, problem: "it was changed after Keel wrote it" })
      })

      const told = within(Effect.fnUntraced(function*(key: string, label: string) {
        const folder = done(key, label)
        if (!(yield* has(key, label))) return []
        return yield* partOf(
          folder,
          Effect.gen(function*() {
            const listed = (yield* manifest(folder, nodeFile, NodeFile, key)).files["told.json"]
            if (listed === undefined) return []
            return yield* parsed(ToldFile, join(folder, "told.json"), yield* text(folder, "told.json", listed))
          })
        )
      }))

      const finish = within(
        (
          key: string,
          label: string,
          made: Made,
          took?: Spent,
          events: ReadonlyArray<Event> = [],
          of: string = key,
          stays = false
        ) =>
          owning(
            of,
            label,
            Effect.fnUntraced(function*(folder) {
              const [at, result] = [done(key, label), join(folder, "result")]
              if (!(yield* has(key, label))) {
                yield* fs.remove(result, { recursive: true, force: true })
                const kind = made._tag === "Data" ? made.dataset.role : made._tag
                const head = { key, made: kind, counted: took !== undefined }
                const disk = yield* seal(result, nodeFile, head, filesOf(made, events))
                if (took !== undefined) yield* writeFileAtomic(join(result, spentFile), spentText({ ...took, disk }))
                // Over a folder that is there it fails: the first one stays.
                yield* Effect.catchTag(
                  fs.rename(result, at),
                  "PlatformError",
                  (error) => Effect.flatMap(has(key, label), (first) => first ? Effect.void : Effect.fail(error))
                )
                yield* syncDirectory(root)
              }
              if (stays) return
              yield* owned.get(partial(of, label))!.drop
              yield* Effect.ignore(tidy(partial(of, label)))
            })
          )
      )

      const steps = Effect.fnUntraced(function*(folder: string) {
        return (yield* fs.readDirectory(folder)).flatMap((name) => {
          const match = /^step-(\d+)$/u.exec(name)
          return match === null ? [] : [Number(match[1])]
        }).sort((a, b) => b - a)
      })

      /** The folder of the last whole checkpoint: `next` as soon as it has its manifest. */
      const newest = Effect.fnUntraced(function*(folder: string) {
        if (yield* fs.exists(join(folder, "next", stateFile))) return join(folder, "next")
        const [step] = yield* steps(folder)
        return step === undefined ? undefined : join(folder, `step-${step}`)
      })

      /**
       * `next`, when it is whole, takes the place of `old` under the name `now`. What it replaces is renamed before it is removed: a crash
       * leaves no half of it under its name.
       */
      const replace = Effect.fnUntraced(function*(next: string, old: ReadonlyArray<string>, now: string) {
        const gone = `${next}.removed`
        for (const one of old) {
          yield* fs.remove(gone, { recursive: true, force: true })
          yield* fs.rename(one, gone)
        }
        yield* fs.rename(next, now)
        yield* fs.remove(gone, { recursive: true, force: true })
      })

      const settle = Effect.fnUntraced(function*(folder: string, key: string) {
        const next = join(folder, "next")
        if (yield* fs.exists(join(next, stateFile))) {
          const { step } = yield* partOf(next, manifest(next, stateFile, StateFile, key))
          const old = (yield* steps(folder)).map((one) => join(folder, `step-${one}`))
          yield* replace(next, old, join(folder, `step-${step}`))
        }
      })

      const snapshotIn = Effect.fnUntraced(function*(at: string, key: string) {
        const state = yield* manifest(at, stateFile, StateFile, key)
        yield* verify(at, stateFile, state)
        const models: Record<string, { weights: Weights; optimizer: Optimizer }> = {}
        for (const [name, { optimizerStep }] of Object.entries(state.models)) {
          const path = join(at, `${name}.optimizer.safetensors`)
          const bytes = yield* Effect.catchTag(
            bytesOf(path),
            "Unreadable",
            ({ problem }) => Effect.fail(new StoreDamaged({ path, problem }))
          )
          models[name] = {
            weights: yield* loadModel(join(at, name)),
            optimizer: { step: optimizerStep, tensors: decode(bytes, path) }
          }
        }
        return { step: state.step, models, state: state.state } satisfies Snapshot
      })

      const latest = within((key: string, label: string) =>
        Effect.flatMap(foldersOf(partial(key, label)), (there) =>
          there.length === 0 ? Effect.succeed(Option.none<Snapshot>()) : owning(
            key,
            label,
            Effect.fnUntraced(function*(folder) {
              yield* settle(folder, key)
              const [step] = yield* steps(folder)
              if (step === undefined) {
                return Option.none<Snapshot>()
              }
              const at = join(folder, `step-${step}`)
              return Option.some(yield* partOf(at, snapshotIn(at, key)))
            })
          ))
      )

      const save = within((key: string, label: string, { models, state, step }: Snapshot) =>
        owning(
          key,
          label,
          Effect.fnUntraced(function*(folder) {
            const next = join(folder, "next")
            yield* settle(folder, key)
            yield* fs.remove(next, { recursive: true, force: true })
            const saved = Object.entries(models)
            const head = {
              key,
              step,
              models: Object.fromEntries(
                saved.map(([name, { optimizer }]) => [name, { optimizerStep: optimizer.step }])
              ),
              state
            }
            const files = function*(): Files & Generator {
              for (const [name, { optimizer, weights }] of saved) {
                yield* under(name, modelFiles(weights))
                yield [`${name}.optimizer.safetensors`, encode(optimizer.tensors)] as const
              }
            }
            yield* seal(next, stateFile, head, files())
            yield* settle(folder, key)
            return join(partial(key, label), `step-${step}`)
          })
        )
      )

      const append = within((key: string, label: string, chunk: Chunk) =>
        owning(key, label, (folder) =>
          Effect.as(ChunkLog.append(join(folder, chunkFile), key, chunk), join(partial(key, label), chunkFile)))
      )

      const chunks = within((key: string, label: string) =>
        Effect.flatMap(foldersOf(partial(key, label)), (there) =>
          there.length === 0 ? Effect.succeed<ReadonlyArray<Chunk>>([]) : owning(
            key,
            label,
            (folder) =>
              ChunkLog.mended(join(folder, chunkFile), key)
          ))
      )

      /** A model that was whole when a crash came takes its place. */
      const settleKept = Effect.fnUntraced(function*(at: string) {
        const next = `${at}.next`
        if (yield* fs.exists(join(next, keptFile))) {
          yield* replace(next, (yield* fs.exists(at)) ? [at] : [], at)
        }
      })

      const keep = within((key: string, label: string, name: string, weights: Weights) =>
        owning(
          key,
          label,
          Effect.fnUntraced(function*(folder) {
            const at = join(folder, name)
            yield* settleKept(at)
            yield* fs.remove(`${at}.next`, { recursive: true, force: true })
            const files = function*(): Files & Generator {
              yield* modelFiles(weights)
              if (weights.adapter !== undefined) {
                yield* under("adapter", adapterFiles(weights.adapter))
              }
            }
            yield* seal(`${at}.next`, keptFile, { key }, files())
            yield* settleKept(at)
            return join(partial(key, label), name)
          })
        )
      )

      const kept = within((key: string, label: string, name: string) =>
        owning(
          key,
          label,
          Effect.fnUntraced(function*(folder) {
            const at = join(folder, name)
            yield* settleKept(at)
            if (!(yield* fs.exists(at))) {
              return Option.none<Weights>()
            }
            return yield* partOf(
              at,
              Effect.gen(function*() {
                const listed = yield* manifest(at, keptFile, KeptFile, key)
                yield* verify(at, keptFile, listed)
                const weights = yield* loadModel(at)
                if (!("adapter/adapter_config.json" in listed.files)) {
                  return Option.some(weights)
                }
                const adapter = join(at, "adapter")
                return Option.some<Weights>({ ...weights, adapter: yield* damaged(adapter, loadAdapter(adapter)) })
              })
            )
          })
        )
      )

      const made = { claim, find, has, finish, told, spent, size, latest, save, append, chunks, keep, kept }
      return { ...made, ...answersIn(root, fs) }
    })
  )
