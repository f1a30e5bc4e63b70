/**
 * Rows of text to token ids, checked against the limits of the model before a stage begins: an empty data set, rows longer than the
 * context and texts that the tokenizer cannot encode are errors; rows are cut or dropped only where the description says so.
 */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Mask, Truncating } from "../../dsl/Truncation.ts"
import type { Codec, Row } from "../engine/engine.ts"
import { eachLimited } from "../model/foreign.ts"
import { cutAnswers, cutRow, type Keep, left, lengthOf, Unfit } from "./cut.ts"
import { growing, keeping } from "./growing.ts"
import { EncodeWhenRead } from "./lazyArray.ts"
import type { DemonstrationRow, PreferenceRow, PromptRow, TextRow, UnpairedPreferenceRow } from "./rows.ts"
import { encodedAgain, readWhenAsked, type Survey, surveyed, surveyedBefore } from "./survey.ts"

export { lengthOf, Unfit } from "./cut.ts"

/** The purpose of the rows, named in errors. */
export interface For {
  readonly stage: string
  readonly codec: Codec
  /** Longest prompt + completion the model takes, tokens. */
  readonly context: number
  /** Whether rows like these were encoded before, so that lines about them are not told again. */
  readonly told?: boolean
}

/** How rows of a kind are encoded. */
export interface Encoding<A, B> {
  readonly encode: (row: A) => B
  /** Tokens of an encoded row, of several sequences of the longest. */
  readonly tokens: (encoded: B) => number
  /** At most `most` tokens of it; throws `Unfit` where nothing is left to learn from. */
  readonly cut: (encoded: B, most: number, keep: Keep) => B
  /** Tokens of a completion that the context must have room for. */
  readonly room?: number
}

/** The encoding of a kind of rows by a tokenizer. */
type By<A, B> = (codec: Codec) => Encoding<A, B>

/** The same encoding each time that it is asked for, so that rows are known again. */
export const byCodec = <A, B, P extends ReadonlyArray<unknown> = []>(
  make: (codec: Codec, ...how: P) => Encoding<A, B>
) => {
  const made = new WeakMap<Codec, Map<string, Encoding<A, B>>>()
  return (codec: Codec, ...how: P): Encoding<A, B> => {
    const key = JSON.stringify(how.filter((one) => one !== undefined))
    const known = made.get(codec) ?? new Map<string, Encoding<A, B>>()
    const found = known.get(key) ?? make(codec, ...how)
    made.set(codec, known.set(key, found))
    return found
  }
}

/** A pair of answers to one prompt. */
export interface EncodedPair {
  readonly chosen: Row
  readonly rejected: Row
  readonly margin: number
}

/** Rows that are too long are an error. */
const asTheyAre: Truncating = {}

/** Most tokens of a row. */
export const mostTokens = (
  context: number,
  room: number,
  { maxLength = Infinity, truncation = "error" }: Truncating
): number =>
  // An error asks for room for one token, as a completion may end anywhere.
  Math.min(maxLength, context - (truncation === "error" || room >= context ? Math.min(1, room) : room))

/** Encoded rows, and the rows that they were made of, in the same order. */
export interface Encoded<A, B> {
  readonly rows: ReadonlyArray<A>
  readonly encoded: ReadonlyArray<B>
  /** Null in a plan, which looks at a few rows. */
  readonly survey: Survey | null
}

/** Of a token in an encoded row: its id, its weight in the loss. */
const tokenBytes = 12

/** All rows as token ids, cut or dropped as `how` says. Fails with every kind of mistake in them, each with its count and first row. */
export const encodeWithin = Effect.fnUntraced(function*<A extends object, B>(
  { codec, context, stage, told }: For,
  rows: ReadonlyArray<A>,
  { room = 0, ...encoding }: Encoding<A, B>,
  how: Truncating = asTheyAre
) {
  const unusable = (problem: string, remedy: string) => new UnusableData({ stage, problem, remedy })
  if (rows.length === 0) return yield* unusable("its data set is empty", "Give it at least one row.")
  const within = {
    ...encoding,
    room,
    most: mostTokens(context, room, how),
    context,
    truncation: how.truncation ?? "error"
  }
  if (yield* EncodeWhenRead) {
    const read = readWhenAsked(rows, within, (trouble) => unusable(trouble.problem, trouble.remedy))
    return { ...read, survey: null } satisfies Encoded<A, B> as Encoded<A, B>
  }
  const bytesOf = (one: B): number => tokenBytes * encoding.tokens(one)
  const before = surveyedBefore(rows, within)
  const made = growing<B>()
  const found = before ?? (yield* surveyed(rows, within, codec, (one) => made.push(one, bytesOf(one))))
  const { rows: kept, survey, told: lines } = found
  if (survey.troubles.length > 0) {
    return yield* unusable(
      survey.troubles.map(({ problem }) => problem).join("; "),
      [...new Set(survey.troubles.map(({ remedy }) => remedy))].join(" ")
    )
  }
  if (told !== true) { for (const line of lines) yield* line.tell(stage) }
  // Rows that were looked at before training are encoded when a step takes them.
  const encoded = before === undefined
    ? made.all()
    : keeping(kept.length, (i) => encodedAgain(kept[i]!, within), bytesOf)
  return { rows: kept, encoded, survey } satisfies Encoded<A, B> as Encoded<A, B>
})

/** All rows as token ids, as they are. */
const encodeAll = <A extends object, B>(by: By<A, B>) => (use: For, rows: ReadonlyArray<A>) =>
  Effect.map(encodeWithin(use, rows, by(use.codec)), ({ encoded }) => encoded)

/** The texts of completions. */
export const textsOf = (
  { decode }: { readonly decode: (ids: Int32Array) => string },
  sampled: ReadonlyArray<{ readonly completion: Int32Array }>
): ReadonlyArray<string> => eachLimited(sampled, ({ completion }) => decode(completion))

/** The tokens of a text in parts, with the end after the last. */
export const divided = (codec: Codec, parts: ReadonlyArray<string>, end: boolean): ReadonlyArray<Int32Array> => {
  const whole = codec.encodeParts?.(parts)
  const last = parts.length - 1
  if (whole == null) {
    return parts.map((part, i) =>
      i === 0 ? codec.encodePrompt(part) : codec.encodeCompletion(part, { end: end && i === last })
    )
  }
  if (!end) return whole
  return whole.map((ids, i) => i < last ? ids : Int32Array.of(...ids, ...codec.encodeCompletion("", { end })))
}

/**
 * Tokens of an answer until sampling would have stopped: after the first stop token that only blank text and further stop tokens follow, as
 * chat templates write the end of a turn and a line break.
 */
export const untilStop = ({ decode, stop, unknown }: Codec, ids: Int32Array): number => {
  let length = ids.length
  for (let at = ids.length - 1; at >= 0; at--) {
    const id = ids[at]!
    if (stop.includes(id)) length = at + 1
    else if (id === unknown || decode(Int32Array.of(id)).trim() !== "") break
  }
  return length
}

/** A row whose prompt is never empty: the first token of a text without a beginning is given, as in text to pretrain on. */
export const begun = <A extends Row>(row: A, from: (row: A, completion: Int32Array) => A): A => {
  if (row.prompt.length > 0) return row
  if (row.completion.length > 1) return { ...from(row, row.completion.slice(1)), prompt: row.completion.slice(0, 1) }
  throw new Unfit("its prompt and its answer have no tokens", "Leave empty rows out.")
}

/**
 * A prompt and its answer as the tokens of the whole text; the answer ends once, with the token at which sampling stops, unless it was cut
 * off (`end`: false).
 */
export const answer = (codec: Codec, prompt: string, completion: string, end = true): Row => {
  const [before, after] = divided(codec, [prompt, completion], end) as readonly [Int32Array, Int32Array]
  const length = end ? untilStop(codec, after) : after.length
  const row = { prompt: before, completion: length === after.length ? after : after.slice(0, length) }
  return begun<Row>(row, (row, completion) => ({ ...row, completion }))
}

/** Whether the answer ends with the token that its template wrote; an answer of nothing else keeps it. */
export const endsByTemplate = ({ stop }: Codec, { completion }: Row, mask: Mask | undefined): boolean =>
  mask === "template" && completion.length > 1 && stop.includes(completion.at(-1)!)

/** The row with tokens that are not learnt, which count as given. */
const unlearnt = (codec: Codec, row: Row, mask: Mask | undefined): Row =>
  endsByTemplate(codec, row, mask)
    ? { ...row, given: Uint8Array.from(row.completion, (_, t) => t + 1 === row.completion.length ? 1 : 0) }
    : row

const one = <A>(encode: (row: A) => Row): Encoding<A, Row> => ({
  encode,
  tokens: lengthOf,
  cut: (row, most, keep) => {
    const cut = cutRow(row, most, keep).row
    return left(cut, most, cut.completion.length > 0)
  }
})

/**
 * Text to pretrain on: everything after the beginning of the sequence is completion. A tokenizer without that token gives its first
 * token as the prompt.
 */
export const texts: By<TextRow, Row> = byCodec((codec) => {
  let end: Int32Array | undefined
  return one(({ text }) => {
    const ids = codec.encodePrompt(text)
    if (ids.length === 0) throw new Unfit("its text has no tokens", "Leave empty rows out.")
    end ??= codec.encodeCompletion("", { end: true })
    const completion = new Int32Array(ids.length - 1 + end.length)
    completion.set(ids.subarray(1))
    completion.set(end, completion.length - end.length)
    return { prompt: ids.slice(0, 1), completion: completion.subarray(0, untilStop(codec, completion)) }
  })
})

export const demonstrations = byCodec((codec, mask?: Mask): Encoding<DemonstrationRow, Row> =>
  one(({ completion, ended, prompt }) => unlearnt(codec, answer(codec, prompt, completion, ended), mask))
)

/** Prompts that leave room for a new token; where they are cut or dropped, for `maxNewTokens`. */
export const prompts = (codec: Codec, maxNewTokens = 1): Encoding<PromptRow, Int32Array> => ({
  ...promptIds(codec),
  room: maxNewTokens
})

const promptIds: By<PromptRow, Int32Array> = byCodec((codec) => ({
  encode: ({ prompt }) => {
    const ids = codec.encodePrompt(prompt)
    if (ids.length > 0) return ids
    throw new Unfit(
      "its prompt is empty, and the tokenizer puts no token in front",
      "Leave such rows out, or begin each with a text, as by Ask's template or system."
    )
  },
  tokens: (ids) => ids.length,
  cut: (ids, most, keep) => keep === "keep-start" ? ids.slice(0, most) : ids.slice(-most)
}))

export const pairs = byCodec((codec, mask?: Mask): Encoding<PreferenceRow, EncodedPair> => ({
  encode: ({ chosen, ended, margin, prompt, rejected }) => ({
    chosen: unlearnt(codec, answer(codec, prompt, chosen, ended?.chosen), mask),
    rejected: unlearnt(codec, answer(codec, prompt, rejected, ended?.rejected), mask),
    margin: margin ?? 0
  }),
  tokens: ({ chosen, rejected }) => Math.max(lengthOf(chosen), lengthOf(rejected)),
  cut: ({ chosen: a, margin, rejected: b }, most, keep) => {
    const [chosen, rejected] = cutAnswers([a, b], most, keep) as readonly [Row, Row]
    return left({ chosen, rejected, margin }, most, chosen.completion.length > 0 && rejected.completion.length > 0)
  }
}))

/** An answer by itself, and whether it is desirable. */
export interface EncodedAnswer {
  readonly row: Row
  readonly label: boolean
}

export const unpaired = byCodec((codec, mask?: Mask): Encoding<UnpairedPreferenceRow, EncodedAnswer> => {
  const { cut, encode } = demonstrations(codec, mask)
  return {
    encode: ({ label, ...row }) => ({ row: encode(row), label }),
    tokens: ({ row }) => lengthOf(row),
    cut: ({ label, row }, most, keep) => ({ row: cut(row, most, keep), label })
  }
})

export const encodeTexts = encodeAll(texts)
export const encodeDemonstrations = encodeAll(demonstrations)
export const encodePrompts = encodeAll<PromptRow, Int32Array>((codec) => prompts(codec))
export const encodePairs = encodeAll(pairs)
export const encodeUnpaired = encodeAll(unpaired)
