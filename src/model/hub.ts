/**
 * Models and data sets of the Hugging Face hub that were fetched into the cache: `hub/blobs` by content, and under each repository its
 * commits, whose files are links to them. A record says which files a name stands for; nothing here asks the network.
 */
import { createHash } from "node:crypto"
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { cachePath } from "../tensor/cacheFolder.js"

/** A model (`hf://owner/name@revision`) or the files of a split (`hf://datasets/owner/name@revision?config=…&split=…`). */
export interface Repo {
  readonly type: "model" | "dataset"
  readonly name: string
  readonly revision: string
  readonly config?: string
  readonly split?: string
}

/** A fetched file: its path in the repository, and its content. */
export interface Fetched {
  readonly path: string
  readonly size: number
  readonly sha256: string
  /** When its link was made; a file that was changed since is another. */
  readonly mtimeMs: number
}

/** The files that a name stood for when it was fetched. */
export interface Snapshot {
  readonly commit: string
  readonly files: ReadonlyArray<Fetched>
}

/** Whether a path names something of the hub. `join` of a path makes `hf:/` of `hf://`. */
export const isHub = (path: string): boolean => /^hf:\/\/?/u.test(path)

/** The repository that a path names, and the path of a file in it; undefined for any other path. */
export const parsed = (path: string): { readonly repo: Repo; readonly rest: string } | undefined => {
  const found = /^hf:\/\/?(datasets\/)?([\w.-]+(?:\/[\w.-]+)?)@([^?/]+)(?:\?([^/]*))?(?:\/(.*))?$/u.exec(path)
  if (found === null) return undefined
  const [, dataset, name, revision, query = "", rest = ""] = found
  const asked = new URLSearchParams(query)
  const [config, split] = [asked.get("config"), asked.get("split")]
  return {
    repo: {
      type: dataset === undefined ? "model" : "dataset",
      name: name!,
      revision: decodeURIComponent(revision!),
      ...(config === null ? {} : { config }),
      ...(split === null ? {} : { split })
    },
    rest
  }
}

/** The name of a repository for people, and of its record. */
export const shown = ({ config, name, revision, split, type }: Repo): string =>
  `hf://${type === "dataset" ? "datasets/" : ""}${name}@${revision}${
    [config, split].filter((one) => one !== undefined).map((one) => ` ${one}`).join("")
  }`

/** The folder of all that was fetched. */
export const hubFolder = (): string => join(cachePath(), "hub")

/** The folder of a repository in it. */
export const repoFolder = ({ name, type }: Repo): string => join(hubFolder(), `${type}s`, name.replace("/", "--"))

export const recordOf = (repo: Repo): string =>
  join(repoFolder(repo), `${createHash("sha256").update(shown(repo)).digest("hex").slice(0, 16)}.json`)

/** What was fetched under this name; undefined where a file of it is missing or has changed. */
export const snapshotOf = (repo: Repo): Snapshot | undefined => {
  try {
    const snapshot = JSON.parse(readFileSync(recordOf(repo), "utf8")) as Snapshot
    const whole = snapshot.files.length > 0 && snapshot.files.every(({ mtimeMs, path, size }) => {
      const found = statSync(join(repoFolder(repo), snapshot.commit, path))
      return found.size === size && found.mtimeMs === mtimeMs
    })
    return whole ? snapshot : undefined
  } catch {
    return undefined
  }
}

/** The path on this machine of what a path names; a name of the hub that was not fetched stays as it is. */
export const local = (path: string): string => {
  const found = parsed(path)
  const snapshot = found === undefined ? undefined : snapshotOf(found.repo)
  return found === undefined || snapshot === undefined
    ? path
    : join(repoFolder(found.repo), snapshot.commit, found.rest)
}

/** The files of a split on this machine; undefined where it was not fetched. */
export const localFiles = (path: string): ReadonlyArray<string> | undefined => {
  const found = parsed(path)
  const snapshot = found === undefined ? undefined : snapshotOf(found.repo)
  return snapshot?.files.map((file) => join(repoFolder(found!.repo), snapshot.commit, file.path))
}

/** The remedy where a name was not fetched. */
export const fetchIt = "Fetch it where there is a network: keel fetch PIPELINE."
