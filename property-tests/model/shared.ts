import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../../../shared/data")

/** A file or folder of the shared data, or null with one clear line when it is not on this machine. */
export const shared = (path: string): string | null => {
  const found = join(root, path)
  if (existsSync(found)) return found
  console.warn(`skipped: ../shared/data/${path} is not there`)
  return null
}

/** Text files of a folder, those that are there. */
export const filesOf = (folder: string, names: ReadonlyArray<string>): ReadonlyMap<string, string> =>
  new Map(
    names.filter((name) => existsSync(join(folder, name))).map((
      name
    ) => [name, readFileSync(join(folder, name), "utf8")])
  )

/** The smallest configuration of a family. */
export const tiny = (family: string, change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => ({
  model_type: family,
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 6,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  max_position_embeddings: 32,
  bos_token_id: 1,
  eos_token_id: 2,
  ...change
})
