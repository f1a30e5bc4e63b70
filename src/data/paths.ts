/** The files of a data set: a path, a list of paths, or patterns of the shell (`data/*.jsonl`). */
import * as Effect from "effect/Effect"
import { glob, stat } from "node:fs/promises"
import { fetchIt, isHub, localFiles } from "../model/hub.ts"
import { BadData } from "./badData.ts"

/** A path or pattern, or several. */
export type Named = string | ReadonlyArray<string>

/** How a message names them. */
export const nameOf = (named: Named): string => typeof named === "string" ? named : named.join(", ")

const isFile = (path: string): Promise<boolean> => stat(path).then((found) => found.isFile(), () => false)

const matching = async (pattern: string): Promise<ReadonlyArray<string>> => {
  // A file whose name looks like a pattern is itself.
  if (!/[*?[{]/u.test(pattern) || await isFile(pattern)) return [pattern]
  const found: Array<string> = []
  for await (const path of glob(pattern)) if (await isFile(path)) found.push(path)
  return found.sort()
}

/** The fetched files of a split of the hub. */
const fetched = (name: string) => {
  const files = localFiles(name)
  return files === undefined
    ? new BadData({ path: name, line: 0, problem: "it is not in the cache", remedy: fetchIt })
    : Effect.succeed(files)
}

/** The files in the order of the list, those of a pattern sorted by code units, each once. A pattern without a file is an error. */
export const pathsOf = (named: Named): Effect.Effect<ReadonlyArray<string>, BadData> =>
  Effect.map(
    Effect.forEach(typeof named === "string" ? [named] : named, (path) =>
      isHub(path) ? fetched(path) : Effect.flatMap(
        Effect.promise(() => matching(path)),
        (files) =>
          files.length > 0 ? Effect.succeed(files) : Effect.fail(
            new BadData({
              path,
              line: 0,
              problem: "no file matches this pattern",
              remedy: `Check it: relative paths are relative to ${process.cwd()}.`
            })
          )
      )),
    (all) => [...new Set(all.flat())]
  )
