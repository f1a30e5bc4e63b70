/** Tokens that stand beside `tokenizer.json`, as transformers adds them when it opens a folder. */
import type { Json } from "./tokenizerJson.ts"

interface Token {
  readonly content: string
  readonly [flag: string]: unknown
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** A token is written as a text or as an object with its content and flags. */
const tokenOf = (value: unknown): ReadonlyArray<Token> =>
  typeof value === "string" && value !== ""
    ? [{ content: value }]
    : isObject(value) && typeof value["content"] === "string" && value["content"] !== ""
    ? [value as Json & Token]
    : []

const roles = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]

const listed = (value: unknown): ReadonlyArray<unknown> =>
  Array.isArray(value) ? value : isObject(value) ? Object.values(value) : []

/** The tokens that the files name, special ones after those of `added_tokens_decoder`; the first of a content counts. */
const named = (settings: Json, map: Json, legacy: Json): ReadonlyArray<Token> => [
  ...listed(settings["added_tokens_decoder"]).flatMap(tokenOf),
  ...Object.keys(legacy).map((content) => ({ content, special: false, normalized: true })),
  ...[...roles.map((role) => settings[role] ?? map[role]), ...listed(settings["additional_special_tokens"])]
    .concat(listed(settings["extra_special_tokens"]))
    .flatMap(tokenOf)
    .map((token) => ({ ...token, special: true, normalized: token["normalized"] ?? false }))
]

/**
 * `tokenizer.json` with the tokens that `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` (`legacy`) name and it does
 * not have as added tokens. A token of the vocabulary keeps its id; another has the next free one.
 */
export const withAddedTokens = (json: Json, settings: Json, map: Json, legacy: Json): Json => {
  const model = isObject(json["model"]) ? json["model"] : {}
  const vocab: ReadonlyMap<unknown, unknown> = Array.isArray(model["vocab"])
    ? new Map(model["vocab"].map((entry: unknown, id) => [Array.isArray(entry) ? entry[0] as unknown : entry, id]))
    : new Map(Object.entries(isObject(model["vocab"]) ? model["vocab"] : {}))
  const before = Array.isArray(json["added_tokens"]) ? json["added_tokens"] as ReadonlyArray<unknown> : []
  const there = new Set(before.map((token) => isObject(token) ? token["content"] : undefined))
  const added: Array<Json> = []
  let next = 0
  const free = (): number => {
    if (next === 0) {
      for (const id of vocab.values()) next = Math.max(next, Number(id) + 1)
      for (const token of before) next = Math.max(next, Number(isObject(token) ? token["id"] : -1) + 1)
    }
    return next++
  }
  for (const { content, ...flags } of named(settings, map, legacy)) {
    if (there.has(content)) continue
    there.add(content)
    const off = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false }
    const { __type: _, ...given } = flags
    added.push({ ...off, ...given, id: vocab.get(content) ?? free(), content })
  }
  return added.length === 0 ? json : { ...json, added_tokens: [...before, ...added] }
}
