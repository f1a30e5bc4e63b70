/**
 * Fetches files of the Hugging Face hub into the cache. A revision that is a branch or a tag becomes a commit; every file is checked
 * against the checksum that the hub has of it (SHA-256, or the one of Git), and a download that was cut off goes on where it stopped.
 */
import type { ListFileEntry } from "@huggingface/hub"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { link, mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { cacheFolder } from "../tensor/cacheFolder.js"
import {
  type Fetched,
  fetchIt,
  hubFolder,
  recordOf,
  type Repo,
  repoFolder,
  shown,
  type Snapshot,
  snapshotOf
} from "./hub.ts"

/** Something of the hub that cannot be had. */
export class Unfetched extends Schema.TaggedError<Unfetched>()("Unfetched", {
  name: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.name}: ${this.problem}. ${this.remedy}`
  }
}

/** A file of a repository. */
export interface Entry {
  readonly path: string
  readonly size: number
}

/** The files of a repository that are wanted; `card`: the metadata of its README. Another revision where those have them. */
export type Choose = (
  entries: ReadonlyArray<Entry>,
  card: unknown
) => ReadonlyArray<string> | { readonly revision: string; readonly choose: Choose } | Unfetched

const settings = Effect.all({
  endpoint: Config.String("HF_ENDPOINT").pipe(Config.withDefault("https://huggingface.co")),
  token: Config.option(Config.Redacted("HF_TOKEN")),
  offline: Config.Boolean("HF_HUB_OFFLINE").pipe(Config.withDefault(false))
})

interface Hub {
  readonly endpoint: string
  readonly fetch: typeof fetch
}

/** Attempts at a request, and seconds before the first repetition, doubled each time; at most `patience` where the hub says how long. */
const [attempts, pause, patience] = [5, 1, 60]

const busy = (status: number): boolean => status === 429 || status >= 500

/** Asks again when the hub is busy or the connection breaks. The token goes to the hub alone, not to the hosts that it names. */
const patient =
  (endpoint: string, token: string | undefined, signal: AbortSignal): typeof fetch => async (input, init) => {
    const url = input instanceof Request ? input.url : String(input)
    const headers = new Headers(init?.headers)
    if (token !== undefined && new URL(url).origin === new URL(endpoint).origin) {
      headers.set("authorization", `Bearer ${token}`)
    }
    for (let attempt = 1;; attempt++) {
      const last = attempt === attempts
      let wait = pause * 2 ** (attempt - 1)
      try {
        const response = await fetch(url, { ...init, headers, signal })
        if (!busy(response.status) || last) return response
        const asked = Number(response.headers.get("retry-after") ?? NaN)
        if (asked > patience) return response
        if (asked >= 0) wait = asked
        await response.body?.cancel()
      } catch (error) {
        if (last || signal.aborted) throw error
      }
      await delay(1000 * wait, undefined, { signal })
    }
  }

/** An answer of the hub, or its absence, in words. */
const failure = (name: string, endpoint: string, token: boolean) => (error: unknown): Unfetched => {
  if (error instanceof Unfetched) return error
  const bad = (problem: string, remedy: string) => new Unfetched({ name, problem, remedy })
  const status = (error as { readonly statusCode?: number }).statusCode
  switch (status) {
    case 401:
    case 403:
      return bad(
        `${endpoint} refuses it (${status}${token ? "" : ", without a token"})`,
        token
          ? "Check that your token may read it, and accept its terms on its page if it has any."
          : "Set HF_TOKEN to a token that may read it; a name that does not exist is refused in the same way."
      )
    case 404:
      return bad(`${endpoint} has no such repository, revision or file (404)`, "Check the name and the revision.")
    case 429:
      return bad(`${endpoint} answers too many requests (429)`, "Try again later, or set HF_TOKEN.")
  }
  if (status !== undefined) return bad(`${endpoint} answers ${status}`, "Try again later.")
  const { cause, code, message } = error as {
    readonly cause?: unknown
    readonly code?: string
    readonly message?: string
  }
  if (typeof code === "string" && /^E[A-Z]+$/u.test(code)) {
    return bad(`it cannot be written to ${hubFolder()} (${code})`, "Check its owner and the space on its disk.")
  }
  const why = cause instanceof Error ? cause.message || (cause as { code?: string }).code : message ?? String(error)
  return bad(`${endpoint} cannot be reached: ${why}`, `Check the network and HF_ENDPOINT. ${fetchIt}`)
}

/** The checksum of a file that the hub has: of large files SHA-256, of others Git's SHA-1 of its header and content. */
const checksum = ({ lfs, oid, size }: ListFileEntry) =>
  lfs === undefined
    ? { wanted: oid ?? "", hash: createHash("sha1").update(`blob ${size}\0`) }
    : { wanted: lfs.oid, hash: createHash("sha256") }

const hex = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/u

/** A path that stays below the folder that it is joined to. */
const inside = (path: string): boolean => path !== "" && path.split("/").every((part) => !/^\.{0,2}$|\\|\0/u.test(part))

/** Writes the rest of the file behind what an earlier attempt left. */
const download = async (hub: Hub, url: string, partial: string, size: number, signal: AbortSignal): Promise<void> => {
  for (let attempt = 1;; attempt++) {
    const have = await stat(partial).then(({ size }) => size, () => 0)
    if (have === size) return
    const from = have < size ? have : 0
    const response = await hub.fetch(url, { headers: from > 0 ? { range: `bytes=${from}-` } : {} })
    if (!response.ok) throw Object.assign(new Error(response.statusText), { statusCode: response.status })
    const goesOn = response.status === 206
    const file = await open(partial, goesOn ? "a" : "w")
    let at = goesOn ? from : 0
    try {
      for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
        at += bytes.length
        if (at > size) throw new Error(`it sends more than the ${size} bytes that it promised`)
        await file.write(bytes)
      }
      if (at === size) return await file.sync()
      throw new Error(`the connection ended after ${at} of ${size} bytes`)
    } catch (error) {
      if (attempt >= attempts || signal.aborted) throw error
    } finally {
      await file.close()
    }
  }
}

const digests = async (path: string, entry: ListFileEntry) => {
  const { hash, wanted } = checksum(entry)
  const sha256 = createHash("sha256")
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>) {
    hash.update(bytes)
    sha256.update(bytes)
  }
  return { same: hash.digest("hex") === wanted, sha256: sha256.digest("hex") }
}

/** One file in the cache, with its checksum right. */
const fetchFile = async (hub: Hub, repo: Repo, commit: string, entry: ListFileEntry, signal: AbortSignal) => {
  const { wanted } = checksum(entry)
  const name = shown(repo)
  if (!inside(entry.path) || !hex.test(wanted)) {
    throw new Unfetched({
      name,
      problem: `the hub names a file ${JSON.stringify(entry.path)}`,
      remedy: "Do not use it."
    })
  }
  const blobs = cacheFolder("hub", "blobs")
  const [blob, partial] = [join(blobs, wanted), join(blobs, `${wanted}.partial`)]
  let known = await digests(blob, entry).catch(() => undefined)
  const fresh = known?.same !== true
  if (fresh) {
    const kind = repo.type === "dataset" ? "datasets/" : ""
    const path = entry.path.split("/").map(encodeURIComponent).join("/")
    const url = `${hub.endpoint}/${kind}${repo.name}/resolve/${commit}/${path}`
    for (let attempt = 1; known?.same !== true; attempt++) {
      if (entry.size === 0) await writeFile(partial, "")
      else await download(hub, url, partial, entry.size, signal)
      known = await digests(partial, entry)
      if (known.same) break
      await rm(partial, { force: true })
      if (attempt === 2) {
        throw new Unfetched({
          name,
          problem: `${entry.path} does not have the checksum that the hub has of it`,
          remedy: "Try again; if it stays so, the way to the hub changes files."
        })
      }
    }
    await rename(partial, blob)
  }
  const at = join(repoFolder(repo), commit, entry.path)
  await mkdir(dirname(at), { recursive: true })
  await rm(at, { force: true })
  await link(blob, at)
  const { mtimeMs } = await stat(at)
  return { fresh, file: { path: entry.path, size: entry.size, sha256: known!.sha256, mtimeMs } satisfies Fetched }
}

// Slow to load, and seldom needed.
const library = () => import("@huggingface/hub")

const entriesOf = async (hub: Hub, repo: Repo, revision: string): Promise<ReadonlyArray<ListFileEntry>> => {
  const { listFiles } = await library()
  const found: Array<ListFileEntry> = []
  const asked = { repo: { type: repo.type, name: repo.name }, recursive: true, revision, hubUrl: hub.endpoint }
  for await (const entry of listFiles({ ...asked, fetch: hub.fetch })) if (entry.type === "file") found.push(entry)
  return found
}

const resolved = async (hub: Hub, repo: Repo, revision: string) => {
  const { datasetInfo, modelInfo } = await library()
  const asked = { name: repo.name, revision, hubUrl: hub.endpoint, fetch: hub.fetch }
  const { cardData, sha } = repo.type === "dataset"
    ? await datasetInfo({ ...asked, additionalFields: ["sha", "cardData"] })
    : await modelInfo({ ...asked, additionalFields: ["sha", "cardData"] })
  if (typeof sha === "string" && hex.test(sha)) return { commit: sha, card: cardData as unknown }
  throw new Unfetched({ name: shown(repo), problem: "the hub names no commit of it", remedy: "Check the revision." })
}

const fetching = async (hub: Hub, repo: Repo, choose: Choose, signal: AbortSignal) => {
  let { card, commit } = await resolved(hub, repo, repo.revision)
  let entries = await entriesOf(hub, repo, commit)
  let chosen = choose(entries, card)
  if ("choose" in chosen) {
    const { revision } = chosen
    commit = (await resolved(hub, repo, revision)).commit
    entries = await entriesOf(hub, repo, commit)
    chosen = chosen.choose(entries, card)
  }
  if (!Array.isArray(chosen)) throw chosen as Unfetched
  const wanted = new Set(chosen)
  const files: Array<Fetched> = []
  let fresh = 0
  for (const entry of entries.filter(({ path }) => wanted.has(path))) {
    const made = await fetchFile(hub, repo, commit, entry, signal)
    files.push(made.file)
    fresh += Number(made.fresh)
  }
  files.sort((a, b) => a.path < b.path ? -1 : 1)
  const snapshot: Snapshot = { commit, files }
  const record = recordOf(repo)
  await writeFile(`${record}.partial`, `${JSON.stringify(snapshot, null, 2)}\n`)
  await rename(`${record}.partial`, record)
  return { snapshot, fresh }
}

const MB = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

const said = (repo: Repo, { commit, files }: Snapshot, how: string) =>
  Console.error(
    `${shown(repo)} is commit ${commit.slice(0, 12)}: ${files.length} file${files.length === 1 ? "" : "s"}, ${
      MB(files.reduce((sum, { size }) => sum + size, 0))
    }, ${how}`
  )

/** The files of a name in the cache; with `again`, its revision is resolved anew. Says the commit. */
export const ensured = Effect.fn("hub.ensured")(function*(
  repo: Repo,
  choose: Choose,
  { again = false }: { readonly again?: boolean } = {}
) {
  const before = snapshotOf(repo)
  if (before !== undefined && !again) return yield* said(repo, before, "fetched before")
  const { endpoint, offline, token } = yield* Effect.mapError(settings, (error) =>
    new Unfetched({
      name: "HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE",
      problem: error.message.replaceAll(/\s+/gu, " "),
      remedy: "Correct the variable, or unset it."
    }))
  if (offline) {
    return yield* new Unfetched({
      name: shown(repo),
      problem: "it is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub",
      remedy: fetchIt
    })
  }
  const { fresh, snapshot } = yield* Effect.tryPromise({
    try: (signal) => {
      const secret = Option.getOrUndefined(Option.map(token, Redacted.value))
      return fetching({ endpoint, fetch: patient(endpoint, secret, signal) }, repo, choose, signal)
    },
    catch: failure(shown(repo), endpoint, Option.isSome(token))
  })
  yield* said(repo, snapshot, fresh === 0 ? "all in the cache" : `${fresh} fetched from ${endpoint}`)
})
