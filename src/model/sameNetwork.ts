/** Whether two models are of one network: equal in their tensors' shapes, and in the meaning of their configuration and tokenizer. */
import { modelConfig } from "./config.ts"
import { differences } from "./sameTokenizer.ts"
import type { Weights } from "./weights.ts"

/** Why two models cannot be merged. */
export interface Mismatch {
  /** The tensor, the field of `config.json`, or the file. */
  readonly what: string
  readonly problem: string
}

/** Fields of `config.json` without an effect on a model's computation. */
const incidental = new Set([
  "_name_or_path",
  "architectures",
  "dtype",
  "torch_dtype",
  "transformers_version",
  "use_cache"
])

const shown = (value: unknown): string => value === undefined ? "absent" : JSON.stringify(value)

/** The fields inside objects, each by its path; null and absent are alike. */
const flat = (value: object, path = ""): ReadonlyArray<readonly [string, unknown]> =>
  Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
    inner === null || inner === undefined
      ? []
      : typeof inner === "object" && !(Array.isArray(inner) && inner.every((one) => typeof one !== "object"))
      ? flat(inner, `${path}${key}.`)
      : [[`${path}${key}`, inner] as const]
  )

/** The meaning of a configuration: as it is read, where it is that of a transformer, else its fields. Padding means nothing. */
const meaningOf = (config: Weights["config"]): ReadonlyMap<string, unknown> => {
  const isRead = typeof config["model_type"] === "string" && config["hidden_size"] !== undefined
  const { pad: _, raw: _r, ...meaning } = isRead ? modelConfig(config) : { ...config, pad: null, raw: {} }
  return new Map(flat(meaning).filter(([path]) => !incidental.has(path)))
}

/** All differences in kind between `other` and `first`; tensors of one network have no meaning in another. */
export const mismatches = (first: Weights, other: Weights): ReadonlyArray<Mismatch> => {
  const found: Array<Mismatch> = []
  for (const name of new Set([...first.tensors.keys(), ...other.tensors.keys()])) {
    const [a, b] = [first.tensors.get(name), other.tensors.get(name)]
    if (a === undefined || b === undefined) {
      found.push({ what: name, problem: `only ${a === undefined ? "the second" : "the first"} has it` })
    } else if (a.shape.join() !== b.shape.join()) {
      found.push({ what: name, problem: `its shape is [${a.shape}] and [${b.shape}]` })
    }
  }
  const [mine, theirs] = [first, other].map(({ config }) => meaningOf(config)) as [
    ReadonlyMap<string, unknown>,
    ReadonlyMap<string, unknown>
  ]
  for (const key of new Set([...mine.keys(), ...theirs.keys()])) {
    const [a, b] = [shown(mine.get(key)), shown(theirs.get(key))]
    if (a !== b) found.push({ what: `config.json ${key}`, problem: `it is ${a} and ${b}` })
  }
  const parts = differences(first.tokenizer, other.tokenizer)
  if (parts.length > 0) found.push({ what: "tokenizer.json", problem: `${parts.join(", ")} differ` })
  return found
}
