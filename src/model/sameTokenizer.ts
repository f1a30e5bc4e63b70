/** Whether two models speak the same tokens: the parts of their `tokenizer.json` that decide ids, whatever the form of the file. */
import { isDeepStrictEqual } from "node:util"
import { parseJson } from "./json.ts"
import type { Weights } from "./weights.ts"

const parts = ["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"] as const
const ofModel = ["type", "vocab", "merges", "unk_token", "byte_fallback"] as const

type Parts = Readonly<Record<string, unknown>>

/** The names of the parts that differ; the files were read as tokenizers before. */
export const differences = (one: Weights["tokenizer"], two: Weights["tokenizer"]): ReadonlyArray<string> => {
  const [a, b] = [one, two].map((files) => files.get("tokenizer.json")) as [string, string]
  if (a === b) return []
  const [x, y] = [parseJson(a), parseJson(b)] as [Parts, Parts]
  const differing = (names: ReadonlyArray<string>, x: Parts, y: Parts) =>
    names.filter((name) => !isDeepStrictEqual(x[name] ?? null, y[name] ?? null))
  return [...differing(ofModel, x["model"] as Parts, y["model"] as Parts), ...differing(parts, x, y)]
}
