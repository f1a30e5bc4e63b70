/** Whether two models speak the same tokens: the parts of their `tokenizer.json` that decide ids, whatever the form of the file. */
import { isDeepStrictEqual } from "node:util"
import { parseJson } from "./json.ts"
import type { Weights } from "./weights.ts"

const parts = ["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"] as const
const ofModel = [
  "type",
  "vocab",
  "merges",
  "unk_token",
  "unk_id",
  "byte_fallback",
  "continuing_subword_prefix",
  "end_of_word_suffix",
  "fuse_unk",
  "ignore_merges",
  "max_input_chars_per_word"
] as const

type Parts = Readonly<Record<string, unknown>>

/** Keys that decide no id and no text: offsets into it, and dropout, which is for training a tokenizer's users. */
const incidental = new Set(["trim_offsets", "dropout"])

const isObject = (value: unknown): value is Parts =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A sequence of one step is the step, and null, false and the empty string are an absent key. */
const normal = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(normal)
  if (!isObject(value)) return value
  const kept = Object.entries(value).filter(([key, inner]) =>
    !incidental.has(key) && inner !== null && inner !== false && inner !== ""
  )
  const steps = kept.find(([key]) => ["normalizers", "pretokenizers", "decoders", "processors"].includes(key))?.[1]
  if (Array.isArray(steps) && steps.length === 1) return normal(steps[0])
  return Object.fromEntries(kept.map(([key, inner]) => [key, normal(inner)]))
}

/** Merges are written as pairs or as texts with a space; added tokens in any order. */
const spelled = (name: string, value: unknown): unknown => {
  if (name === "vocab") return value
  if (name === "merges" && Array.isArray(value)) {
    return value.map((merge: unknown) => Array.isArray(merge) ? merge.join(" ") : merge)
  }
  if (name !== "added_tokens" || !Array.isArray(value)) return normal(value ?? null) || null
  return [...value as ReadonlyArray<{ readonly id: number }>].sort((a, b) => a.id - b.id).map(normal)
}

/** The names of the parts that differ; the files were read as tokenizers before. */
export const differences = (one: Weights["tokenizer"], two: Weights["tokenizer"]): ReadonlyArray<string> => {
  const [a, b] = [one, two].map((files) => files.get("tokenizer.json"))
  if (a === b) return []
  if (a === undefined || b === undefined) return ["tokenizer.json"]
  const [x, y] = [parseJson(a), parseJson(b)] as [Parts, Parts]
  const differing = (names: ReadonlyArray<string>, x: Parts = {}, y: Parts = {}) =>
    names.filter((name) => !isDeepStrictEqual(spelled(name, x[name]), spelled(name, y[name])))
  const [ofX, ofY] = [x["model"], y["model"]] as [Parts | undefined, Parts | undefined]
  return [...differing(ofModel, ofX, ofY), ...differing(parts, x, y)]
}
