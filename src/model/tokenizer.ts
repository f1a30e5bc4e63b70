import type { Tokenizer } from "@huggingface/tokenizers"
import { createHash } from "node:crypto"
import type { Codec } from "./weights.ts"
import { withAddedTokens } from "./addedTokens.ts"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import { chatTemplate, NoChatTemplate } from "./chatTemplate.ts"
import type { ModelConfig } from "./config.ts"
import { limited } from "./foreign.ts"
import { refused } from "./foreignFields.ts"
import { parseJson } from "./json.ts"
import { encoding, open, tokenizer, unreadable } from "./openTokenizer.ts"
import { inParts } from "./parts.ts"
import { specialTokens } from "./specialTokens.ts"
import { tokenizerFields, withoutNames } from "./tokenizerConfig.ts"
import { asContinuation, asRust, type Json } from "./tokenizerJson.ts"
import { problemsOf } from "./tokenizerShape.ts"

interface AddedToken {
  readonly content: string
  readonly id: number
  readonly lstrip: boolean
  readonly normalized: boolean
}

/**
 * The codec of a model folder's tokenizer files (file name → text). Throws `BadCheckpoint` when they cannot be used with this
 * configuration.
 *
 * - `encodePrompt` adds the prefix of the post-processor (or bos, without a post-processor and with `add_bos_token`), unless the
 *   text already begins with it, as text made by a chat template does. It leaves the suffix of the post-processor out.
 * - `encodeParts` gives the tokens of a whole text, divided: rows are made by it.
 * - `encodeCompletion` reads text that goes on from tokens which a policy wrote: no bos and no dummy space in front.
 * - `decode` drops the dummy space only after bos: of a completion it gives the text that, put after the prompt's, is the
 *   whole. Where the tokenizer adds no bos, the two cannot be told apart and the dummy space is always dropped, as
 *   transformers does. Ids that no token has (some vocabularies are padded) are left out.
 */
export const codec = (
  files: ReadonlyMap<string, string>,
  config: Pick<ModelConfig, "vocab" | "bos" | "eos">
): Codec => {
  const { bos, eos, vocab } = config
  const hash = createHash("sha256").update(JSON.stringify([vocab, bos, eos]))
  for (const [name, text] of [...files].sort(([a], [b]) => a < b ? -1 : 1)) hash.update(`\0${name}\0${text}`)
  const key = hash.digest("hex")
  const found = known.get(key)?.deref() ?? made(files, config)
  known.set(key, new WeakRef(found))
  return found
}

/** By their contents: models with the same files share one, which is large. */
const known = new Map<string, WeakRef<Codec>>()

const made = (
  files: ReadonlyMap<string, string>,
  config: Pick<ModelConfig, "vocab" | "bos" | "eos">
): Codec => {
  const saved = jsonOf(files, "tokenizer.json")
  if (saved === null) {
    throw new BadCheckpoint({
      path: "tokenizer.json",
      problem: "missing",
      remedy: "Save the tokenizer in this format: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
    })
  }
  const settings = jsonOf(files, "tokenizer_config.json") ?? {}
  const map = jsonOf(files, "special_tokens_map.json") ?? {}
  const special = specialTokens(settings, map)
  const problems = refused(tokenizerFields, withoutNames(settings))
  if (problems.length > 0) {
    const remedy = "Save the tokenizer with this behaviour off, or take another."
    throw new BadCheckpoint({ path: tokenizerFields.file, problem: problems.join("; "), remedy })
  }
  const json = withAddedTokens(saved, settings, map, jsonOf(files, "added_tokens.json") ?? {})
  const { shape, size } = problemsOf(json, config.vocab)
  if (shape.length > 0) throw unreadable(shape.slice(0, 5).join("; "))
  if (size.length > 0) {
    const remedy = "Use the tokenizer that belongs to these weights."
    throw new BadCheckpoint({ path: "tokenizer.json", problem: size.join("; "), remedy })
  }
  const { continuing, ids: all, prefix: processed, whole } = open(() => {
    const whole = tokenizer(asRust(json), settings)
    const continuing = tokenizer(asRust(asContinuation(json)), settings)
    return { whole, continuing, prefix: prefixOf(whole), ids: idsOf(whole) }
  })
  const encodeWith = (tokenizer: Tokenizer, text: string): ReadonlyArray<number> => {
    const { ids, tokens } = encoding(tokenizer, text, false)
    const at = ids.findIndex((id) => (id as number | undefined) === undefined)
    if (at >= 0) {
      throw new RangeError(`${JSON.stringify(tokens[at])} is not in the vocabulary and there is no unknown token`)
    }
    return ids
  }
  const bos = special.bos === null ? undefined : whole.token_to_id(special.bos)
  const prefix = json["post_processor"] == null
    ? settings["add_bos_token"] === true && bos !== undefined ? [bos] : []
    : processed
  const added = (Array.isArray(json["added_tokens"]) ? json["added_tokens"] as ReadonlyArray<AddedToken> : [])
    .filter((token) => !token.normalized)
  const stop = stopIds(files, config, special.eos === null ? undefined : whole.token_to_id(special.eos))
  const template = chatTemplate(files, settings, special.all)
  const one: Pick<Codec, "encodeCompletion" | "encodePrompt"> = {
    encodePrompt: (text) => {
      const ids = limited(() => encodeWith(whole, text))
      const there = prefix.length > 0 && prefix.every((id, i) => ids[i] === id)
      return Int32Array.from(there ? ids : [...prefix, ...ids])
    },
    encodeCompletion: (text, { end }) => {
      // After a special token inside the text the dummy space is back, as it would be in the whole text.
      const first = firstAdded(text, added)
      const head = text.slice(0, first.at)
      const ids = limited(() => [
        ...encodeWith(continuing, first.token?.lstrip === true ? head.trimEnd() : head),
        ...encodeWith(whole, text.slice(first.at))
      ])
      if (end && stop.length === 0) throw new RangeError("the model has no end-of-sequence token")
      return Int32Array.from(end ? [...ids, stop[0]!] : ids)
    }
  }
  return {
    ...one,
    // Words of a fixed vocabulary never go on in the next part: ".once" would be unknown where "." and "once" are not.
    encodeParts: (parts) => (json["model"] as Json)["type"] === "WordLevel" ? null : inParts(one, parts),
    decode: (ids) => {
      const tokens = Array.from(ids).filter((id) => all.has(id))
      if (tokens.length === 0) return ""
      const reader = prefix.length === 0 || tokens[0] === prefix[0] ? whole : continuing
      return limited(() => reader.decode(tokens, { skip_special_tokens: true, clean_up_tokenization_spaces: false }))
    },
    chat: (messages, variables) => {
      if (template === null) throw new NoChatTemplate()
      return template(messages, variables)
    },
    stop,
    vocab: config.vocab,
    ...unknownOf(json, whole)
  }
}

/** The unknown token of the tokenizer's model: by name, or of a Unigram model by number. */
const unknownOf = ({ model }: Json, tokenizer: Tokenizer): { readonly unknown?: number } => {
  const { unk_id: number, unk_token: name } = (model ?? {}) as Json
  const id = typeof name === "string" ? tokenizer.token_to_id(name) : number
  return typeof id === "number" ? { unknown: id } : {}
}

const jsonOf = (files: ReadonlyMap<string, string>, path: string): Json | null => {
  const text = files.get(path)
  if (text === undefined) return null
  const remedy = "Download the file again."
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    throw new BadCheckpoint({ path, problem: `not JSON (${(error as Error).message})`, remedy })
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json
  throw new BadCheckpoint({ path, problem: "not a JSON object", remedy })
}

/** Every id that a token has. */
const idsOf = (tokenizer: Tokenizer): ReadonlySet<number> =>
  new Set([...tokenizer.get_vocab().values(), ...tokenizer.get_added_tokens_decoder().keys()])

/** The prefix that the post-processor adds to any text. */
const prefixOf = (tokenizer: Tokenizer): ReadonlyArray<number> => {
  const probe = "a"
  const plain = encoding(tokenizer, probe, false).ids
  const full = encoding(tokenizer, probe, true).ids
  for (let at = 0; at + plain.length <= full.length; at++) {
    if (plain.every((id, i) => full[at + i] === id)) return full.slice(0, at)
  }
  return []
}

const firstAdded = (
  text: string,
  added: ReadonlyArray<AddedToken>
): { readonly at: number; readonly token: AddedToken | undefined } => {
  let first: { readonly at: number; readonly token: AddedToken | undefined } = { at: text.length, token: undefined }
  for (const token of added) {
    const at = text.indexOf(token.content)
    // Of tokens that begin at the same place, the longest is read.
    const longer = at === first.at && token.content.length > (first.token?.content.length ?? 0)
    if (at >= 0 && (at < first.at || longer)) first = { at, token }
  }
  return first
}

/** Where generation ends, the tokenizer's own end-of-sequence token (the end of a turn in chat models) first. */
const stopIds = (
  files: ReadonlyMap<string, string>,
  config: Pick<ModelConfig, "vocab" | "eos">,
  eos: number | undefined
): ReadonlyArray<number> => {
  const generation = (jsonOf(files, "generation_config.json") ?? {})["eos_token_id"]
  const all = [
    ...(eos === undefined ? [] : [eos]),
    ...config.eos,
    ...(Array.isArray(generation) ? generation : [generation])
  ]
  return [...new Set(all.filter((id): id is number => Number.isInteger(id) && id >= 0 && id < config.vocab))]
}
