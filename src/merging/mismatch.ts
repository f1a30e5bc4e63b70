import type { Weights } from "../engine/engine.ts"

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
  for (const key of new Set([...Object.keys(first.config), ...Object.keys(other.config)])) {
    const [a, b] = [shown(first.config[key]), shown(other.config[key])]
    if (a !== b && !incidental.has(key)) found.push({ what: `config.json ${key}`, problem: `it is ${a} and ${b}` })
  }
  const file = "tokenizer.json"
  if (first.tokenizer.get(file) !== other.tokenizer.get(file)) found.push({ what: file, problem: "they differ" })
  return found
}
