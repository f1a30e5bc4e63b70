import type { Tensors } from "./weights.ts"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import { parseJson } from "./json.ts"

/**
 * Tensor name → file name, from a `model.safetensors.index.json`. Files must lie in the folder of the index itself. Throws
 * `BadCheckpoint`.
 */
export const parseIndex = (text: string, path: string): ReadonlyMap<string, string> => {
  const fail = (problem: string): never => {
    throw new BadCheckpoint({ path, problem, remedy: "Download the model again." })
  }
  let index: unknown
  try {
    index = parseJson(text)
  } catch (error) {
    return fail(`not JSON (${(error as Error).message})`)
  }
  const map = (index as { readonly weight_map?: unknown } | null)?.weight_map
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    return fail("weight_map is missing or not an object")
  }
  const files = Object.entries(map)
  const bad = files.filter(([, file]) => typeof file !== "string" || !/^[^/\\\0]+\.safetensors$/.test(file))
  if (bad.length > 0) {
    return fail(`weight_map names files outside the folder: ${bad.map(([, file]) => String(file)).join(", ")}`)
  }
  return new Map(files)
}

/** A set of tensors from the files of a sharded checkpoint (file name → its tensors). Throws `BadCheckpoint`. */
export const joinShards = (
  index: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, Tensors>,
  path: string
): Tensors => {
  const problems: Array<string> = []
  for (const [name, file] of index) if (!shards.get(file)?.has(name)) problems.push(`${name} is not in ${file}`)
  const joined = new Map([...shards].flatMap(([file, tensors]) =>
    [...tensors].filter(([name]) => {
      const here = index.get(name) === file
      if (!here) problems.push(`${name} is in ${file}, which the index does not say`)
      return here
    })
  ))
  if (problems.length > 0) {
    const more = problems.length > 20 ? ` and ${problems.length - 20} more` : ""
    throw new BadCheckpoint({
      path,
      problem: problems.slice(0, 20).join("; ") + more,
      remedy: "Download the model again."
    })
  }
  return joined
}
