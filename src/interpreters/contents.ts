/**
 * What the nodes of a pipeline read beside their description: digests of data files and model folders, and the version of the code of
 * stages, losses and rewards from outside. They are part of the keys in the store.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { basename, join } from "node:path"
import * as Artifact from "../../dsl/Artifact.ts"
import { sha256 } from "../../dsl/Digest.ts"
import { namedBy, type Origin } from "../../dsl/Source.ts"
import { filesOf as adapterFiles } from "../model/adapter.ts"
import { filesOf as modelFiles } from "../model/checkpoint.ts"
import { local } from "../model/hub.ts"
import { versions } from "../data/files.ts"
import { kindOf } from "../data/kinds.ts"
import { type Named, nameOf, pathsOf } from "../data/paths.ts"
import type { Digests } from "../store/digests.ts"
import { type Extensions, needOf, needsOf } from "./extensions.ts"

/** Everything that a run reads: SHA-256 of files by their paths (null: no such file), and of code by its name (`reward kind`). */
export interface Read {
  readonly files: Readonly<Record<string, string | null>>
  readonly code: Readonly<Record<string, string>>
}

/** The files of a data set by their path, list or pattern. */
const filesNamed = ({ node }: Artifact.Any): Named | undefined =>
  namedBy((node.params as unknown as { readonly origin: Origin }).origin)

/** The kinds of files whose bytes alone say their rows; other bytes can be read as CSV, as TSV or as plain text. */
const plain: ReadonlySet<string | undefined> = new Set(["jsonl", "ndjson", "parquet", undefined])

const withKind = (digest: string, path: string): string => {
  const kind = kindOf(path)
  return plain.has(kind) ? digest : `${digest} ${kind}`
}

/** SHA-256 of a file, or of all files of a list or pattern in their order; null where one is missing. */
const digestOf = Effect.fnUntraced(function*(named: Named, digests: Digests) {
  const paths = yield* Effect.orElseSucceed(pathsOf(named), () => [])
  const all = yield* Effect.forEach(paths, digests.of)
  if (typeof named === "string" && paths.length === 1 && paths[0] === named) return all[0] ?? null
  return all.length === 0 || all.includes(null)
    ? null
    : sha256(paths.map((path, i) => withKind(all[i]!, path)).join("\n"))
})

/** The files of a model, by their paths. */
const filesOf = Effect.fnUntraced(function*({ node: { op, params } }: Artifact.Any) {
  if (op !== "Checkpoint") return []
  const { adapter, path } = params as { readonly path?: string; readonly adapter?: string }
  return path === undefined ? [] : [
    ...(yield* modelFiles(path)).map((name) => join(path, name)),
    ...(adapter === undefined ? [] : adapterFiles.map((name) => join(adapter, name)))
  ]
})

/** The code of the implementations by name: their `version`, or else the text of their own function. */
const codeOf = ({ losses = [], rewards = [], stages = [] }: Extensions): Readonly<Record<string, string>> => {
  const text = (version: string | undefined, f: unknown) =>
    version === undefined ? sha256(String(f)) : `version ${version}`
  return Object.fromEntries([
    ...stages.map(({ definition, make, version }) => [`stage ${definition.op}`, text(version, make)]),
    ...rewards.map((
      one
    ) => [needOf(one), text(one.version, "score" in one ? one.score : "verify" in one ? one.verify : one.step)]),
    ...losses.map(({ kind, name, of, version }) => [`${kind} loss ${name}`, text(version, of)])
  ])
}

/** Everything that the pipeline `root` reads, as it is now. */
export const readIn = Effect.fn("readIn")(function*(root: Artifact.Any, extensions: Extensions, digests: Digests) {
  const files: Record<string, string | null> = {}
  const all = codeOf(extensions)
  const code: Record<string, string> = {}
  for (const artifact of Artifact.lineage(root)) {
    const named = artifact.node.op === "Source" ? filesNamed(artifact) : undefined
    if (named !== undefined) files[nameOf(named)] ??= yield* digestOf(named, digests)
    for (const path of yield* filesOf(artifact)) files[path] ??= yield* digests.of(local(path))
    for (const need of needsOf(artifact)) if (Object.hasOwn(all, need)) code[need] = all[need]!
  }
  return { files, code } satisfies Read as Read
})

/** The contents of each node by a record of what was read: files without their folders, which may move. */
export const contentsBy = ({ code, files }: Read) => (artifact: Artifact.Any): Schema.Json => {
  const { op, params } = artifact.node
  const own = Object.fromEntries(
    needsOf(artifact).flatMap((need) => Object.hasOwn(code, need) ? [[need, code[need]!]] : [])
  )
  const within = (folder: string) =>
    Object.fromEntries(
      Object.entries(files).flatMap(([path, digest]) =>
        join(folder, basename(path)) === path ? [[basename(path), digest]] : []
      )
    )
  if (op === "Source") {
    const named = filesNamed(artifact)
    if (named !== undefined) {
      const digest = files[nameOf(named)]
      return typeof digest !== "string" ? null : typeof named === "string" ? withKind(digest, named) : digest
    }
    const version = versions[(params as unknown as { readonly origin: Origin }).origin._tag] ?? 1
    return version === 1 ? null : `version ${version}`
  }
  if (op === "Checkpoint") {
    const { adapter, path } = params as { readonly path?: string; readonly adapter?: string }
    return path === undefined
      ? null
      : { model: within(path), ...(adapter === undefined ? {} : { adapter: within(adapter) }) }
  }
  return Object.keys(own).length === 0 ? null : own
}

/** A check that the files of a data set, or of a folder, are as they were when they were read first; else the sentence that says so. */
export const stillAs = ({ files }: Read, digests: Digests) =>
  Effect.fnUntraced(function*(path: Named) {
    if (typeof path !== "string" || Object.hasOwn(files, path)) {
      const same = (yield* digestOf(path, digests)) === files[nameOf(path)]
      return same ? undefined : `${nameOf(path)} has changed since the run began`
    }
    for (const [name, digest] of Object.entries(files)) {
      if (name !== join(path) && join(path, basename(name)) !== name && name !== path) continue
      if ((yield* digests.of(local(name))) !== digest) return `${name} has changed since the run began`
    }
    return undefined
  })

/** The names of files and code that are not as they were. */
export const changed = (before: Read, now: Read): ReadonlyArray<string> => {
  const differing = (a: Read[keyof Read], b: Read[keyof Read]) =>
    [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name])
  return [
    ...differing(before.files, now.files),
    ...differing(before.code, now.code).map((name) => `the code of ${name}`)
  ]
}
