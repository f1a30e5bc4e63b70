/** The shape of a `tokenizer.json`, checked before the library reads it: it trusts ids, lists and patterns. */
import type { Json } from "./tokenizerJson.ts"

type Note = (problem: string, of?: keyof Problems) => void

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === "string"
const isTextList = (value: unknown): boolean => Array.isArray(value) && value.every(isText)
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const shown = (value: unknown): string => value === undefined ? "missing" : JSON.stringify(value).slice(0, 60)

export interface Problems {
  /** It is no tokenizer that can be read. */
  readonly shape: ReadonlyArray<string>
  /** It is that of a larger model. */
  readonly size: ReadonlyArray<string>
}

/** The problems of a `tokenizer.json` for a model with `vocab` ids. */
export const problemsOf = (json: Json, vocab: number): Problems => {
  const problems = { shape: new Set<string>(), size: new Set<string>() }
  const note: Note = (problem, of = "shape") => problems[of].add(problem)
  const { added_tokens: added = [], model } = json
  if (!isObject(model)) note(`model must be an object, not ${shown(model)}`)
  else modelProblems(model, vocab, note)
  if (!Array.isArray(added)) note("added_tokens must be a list")
  else addedProblems(added, vocab, note)
  for (const key of ["normalizer", "pre_tokenizer", "post_processor", "decoder"]) {
    if (json[key] != null) stepProblems(json[key], key, note)
  }
  return { shape: [...problems.shape], size: [...problems.size] }
}

/** Ids are below the vocabulary size of the model, and no two tokens share one. */
const idProblems = (tokens: Iterable<readonly [string, unknown]>, vocab: number, where: string, note: Note): void => {
  const seen = new Map<number, string>()
  let above = 0
  let largest = 0
  for (const [token, id] of tokens) {
    if (!isId(id)) {
      note(`the token ${shown(token)} of ${where} has the id ${shown(id)}, which is no whole number from 0`)
    } else if (id >= vocab) {
      above++
      largest = Math.max(largest, id)
    } else {
      const other = seen.get(id)
      if (other !== undefined && other !== token) {
        note(`${shown(other)} and ${shown(token)} of ${where} share the id ${id}`)
      }
      seen.set(id, token)
    }
  }
  if (above > 0) {
    note(`${above} of its tokens have ids up to ${largest}, but vocab_size in config.json is ${vocab}`, "size")
  }
}

const modelProblems = (model: Json, vocab: number, note: Note): void => {
  const { merges, unk_id: unknown, unk_token: token, vocab: tokens } = model
  if (Array.isArray(tokens)) {
    const wrong = tokens.find((one) =>
      !(Array.isArray(one) && one.length === 2 && isText(one[0]) && Number.isFinite(one[1]))
    ) as unknown
    if (wrong !== undefined) note(`vocab must hold a token and its score, not ${shown(wrong)}`)
    else idProblems(tokens.map(([token]: [string], id) => [token, id] as const), vocab, "vocab", note)
    if (unknown != null && !(isId(unknown) && unknown < tokens.length)) note(`unk_id ${shown(unknown)} is no token`)
  } else if (isObject(tokens)) idProblems(Object.entries(tokens), vocab, "vocab", note)
  else note(`vocab must be an object or a list, not ${shown(tokens)}`)
  if (model["type"] === "Unigram" && !Array.isArray(tokens)) note("the vocab of a Unigram model must be a list")
  if (model["type"] === "BPE" || merges !== undefined) {
    const isPair = (merge: unknown): boolean =>
      isText(merge) ? merge.includes(" ") : isTextList(merge) && (merge as ReadonlyArray<string>).length === 2
    if (!Array.isArray(merges) || !merges.every(isPair)) note("merges must be a list of pairs of tokens")
    else if (merges.some((merge) => isText(merge) !== isText(merges[0]))) note("merges are written in two ways")
  }
  for (const key of ["continuing_subword_prefix", "continuing_subword_suffix", "end_of_word_suffix"]) {
    if (model[key] != null && !isText(model[key])) note(`${key} must be a string, not ${shown(model[key])}`)
  }
  const longest = model["max_input_chars_per_word"]
  if (longest != null && !isId(longest)) note(`max_input_chars_per_word must be a whole number, not ${shown(longest)}`)
  if (token != null && !isText(token)) note(`unk_token must be a string, not ${shown(token)}`)
}

const addedProblems = (added: ReadonlyArray<unknown>, vocab: number, note: Note): void => {
  const tokens: Array<readonly [string, unknown]> = []
  for (const one of added) {
    if (!isObject(one) || !isText(one["content"]) || one["content"] === "") {
      note(`added_tokens must hold objects with a content, not ${shown(one)}`)
    } else tokens.push([one["content"], one["id"]])
  }
  idProblems(tokens, vocab, "added_tokens", note)
}

const isPattern = (value: unknown): boolean => isObject(value) && (isText(value["Regex"]) || isText(value["String"]))
const optional = (is: (value: unknown) => boolean) => (value: unknown): boolean => value == null || is(value)
const isItem = (value: unknown): boolean =>
  isObject(value) &&
  (isObject(value["SpecialToken"]) ? isText(value["SpecialToken"]["id"]) : isObject(value["Sequence"]))
const isTemplate = (value: unknown): boolean => Array.isArray(value) && value.every(isItem)
const isTokenAndId = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && isText(value[0]) && isId(value[1])
const isCut = optional((value) => isId(value) && value < 1 << 16)

/** Fields of steps, by the key of the pipeline's part and the type of the step; a type that is not here has none that matter. */
const fieldsOf: Readonly<Record<string, Readonly<Record<string, (value: unknown) => boolean>>>> = {
  "normalizer Replace": { pattern: isPattern, content: isText },
  "normalizer Prepend": { prepend: isText },
  "pre_tokenizer Split": { pattern: isPattern, behavior: optional(isText) },
  "pre_tokenizer Replace": { pattern: isPattern, content: isText },
  "pre_tokenizer Metaspace": { replacement: optional(isText), str_rep: optional(isText) },
  "pre_tokenizer FixedLength": { length: (value) => isId(value) && value > 0 },
  "post_processor TemplateProcessing": { single: isTemplate, pair: optional(isTemplate) },
  "post_processor BertProcessing": { cls: isTokenAndId, sep: isTokenAndId },
  "post_processor RobertaProcessing": { cls: isTokenAndId, sep: isTokenAndId },
  "decoder Replace": { pattern: isPattern, content: isText },
  "decoder Metaspace": { replacement: optional(isText) },
  "decoder BPEDecoder": { suffix: optional(isText) },
  "decoder CTC": { pad_token: optional(isText), word_delimiter_token: optional(isText) },
  "decoder WordPiece": { prefix: optional(isText) },
  "decoder Strip": { content: optional(isText), start: isCut, stop: isCut }
}

/** Steps that hold other steps, by the key of their list. */
const lists: Readonly<Record<string, string>> = {
  normalizer: "normalizers",
  pre_tokenizer: "pretokenizers",
  post_processor: "processors",
  decoder: "decoders"
}

/** `part` is the key of the whole pipeline's part that the step stands in. */
const stepProblems = (step: unknown, part: string, note: Note): void => {
  if (!isObject(step) || !isText(step["type"])) return note(`${part} has a step without a type: ${shown(step)}`)
  const { type } = step
  if (type === "Sequence") {
    const steps = step[lists[part]!]
    if (!Array.isArray(steps)) return note(`${lists[part]} of ${part} must be a list, not ${shown(steps)}`)
    for (const one of steps) stepProblems(one, part, note)
    return
  }
  for (const [field, fits] of Object.entries(fieldsOf[`${part} ${type}`] ?? {})) {
    if (!fits(step[field])) note(`${field} of ${type} in ${part} cannot be ${shown(step[field])}`)
  }
}
