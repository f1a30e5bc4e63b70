/**
 * Text and tokens of a rehearsal. Texts of made-up completions need no tokenizer: their tokens are looked up when a
 * stage encodes a text that another decoded. A model without a tokenizer gets one that knows only lengths.
 */
import { standIns } from "../data/described.ts"
import { anyChat } from "../data/messages.ts"
import type { Codec } from "../engine/engine.ts"

/** Characters of English text per token of a large vocabulary, as a rule of thumb. */
const charactersPerToken = 4

/** A tokenizer defined by its vocabulary size: four characters are one token, and id 0 ends a sequence. */
export const lengths = (vocab: number): Codec => {
  const ids = (text: string, before: number, after: number): Int32Array => {
    const count = Math.ceil(text.length / charactersPerToken)
    const all = new Int32Array(before + count + after)
    // Every character counts, so different texts have different tokens, except by rare chance.
    for (let i = 0, at = 0; i < count; i++) {
      let mixed = 0
      for (const end = Math.min(text.length, at + charactersPerToken); at < end; at++) {
        mixed = (Math.imul(31, mixed) + text.charCodeAt(at)) & 0xffffff
      }
      all[before + i] = 1 + mixed % (vocab - 1)
    }
    return all
  }
  return {
    encodePrompt: (text) => {
      const all = ids(text, 1, 0)
      all[0] = 1
      return all
    },
    encodeCompletion: (text, { end }) => ids(text, 0, end ? 1 : 0),
    decode: (tokens) => "text".repeat(tokens.length),
    chat: anyChat,
    answers: (_, text) => ids(text, 0, 0),
    stop: [0],
    vocab
  }
}

/** Tokens whose text survives being decoded and encoded again. */
const wordsOf = ({ decode, encodeCompletion, vocab }: Codec): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let id = 0; id < Math.min(vocab, 2000) && found.length < 8; id++) {
    const twice = [id, id, id]
    const text = decode(twice)
    if (text !== "" && String([...encodeCompletion(text, { end: false })]) === String(twice)) found.push(id)
  }
  return found.length > 0 ? found : [0]
}

/** Tokens to count with, and their texts: at least two texts, even of one token. */
const digitsOf = (of: Codec): ReadonlyArray<readonly [id: number, text: string]> => {
  const words = wordsOf(of)
  return words.length > 1
    ? words.map((id) => [id, of.decode([id]).trim()])
    : Array.from({ length: 10 }, (_, digit) => [words[0]!, `text${digit}`])
}

/** A codec that knows the tokens which stand in the texts of described rows. */
const withStandIns = (of: Codec): Codec => {
  const counted = (text: string, encode: (rest: string) => Int32Array, ends: number): Int32Array => {
    const { numbers, rest } = standIns(text)
    if (numbers.length === 0) return encode(text)
    const encoded = encode(rest)
    const body = encoded.length - ends
    const all = new Int32Array(encoded.length + numbers.length)
    all.set(encoded.subarray(0, body))
    // Tokens that end nothing.
    all.set(
      numbers.map((number) => (number + (of.stop.includes(number % of.vocab) ? of.stop.length : 0)) % of.vocab),
      body
    )
    all.set(encoded.subarray(body), body + numbers.length)
    return all
  }
  return {
    ...of,
    encodePrompt: (text) => counted(text, of.encodePrompt, 0),
    encodeCompletion: (text, { end }) => counted(text, (rest) => of.encodeCompletion(rest, { end }), end ? 1 : 0),
    encodeParts: (parts) =>
      parts.some((part) => standIns(part).numbers.length > 0) ? null : of.encodeParts?.(parts) ?? null
  }
}

export interface Rehearsed {
  readonly codec: Codec
  /** Writes completion number `i`; its last token is the stop token, if there is one. All have different texts. */
  readonly completion: (i: number, into: Int32Array, stop: number | undefined) => Int32Array
}

/** The full lengths of cut completions. */
export const fullLengths = new WeakMap<Int32Array, number>()

/** A codec that knows its own made-up completions without the tokenizer. */
export const rehearsed = (own: Codec): Rehearsed => {
  const of = withStandIns(own)
  const texts = new WeakMap<object, () => string>()
  const tokens = new Map<string, Int32Array>()
  const prompts = new Map<string, Int32Array>()
  let words: ReadonlyArray<readonly [id: number, text: string]> | null = null
  return {
    completion: (i, made, stop) => {
      const { length } = made
      words ??= digitsOf(of)
      const body = stop === undefined ? length : Math.max(0, length - 1)
      const [[filler, word]] = words as [readonly [number, string]]
      made.fill(filler)
      const said: Array<string> = []
      // The number `i`, with words as digits.
      for (let t = 0, rest = i; rest > 0; t++, rest = Math.floor(rest / words.length)) {
        const [id, text] = words[rest % words.length]!
        if (t < body) made[t] = id
        said.push(text)
      }
      if (stop !== undefined && length > 0) made[length - 1] = stop
      texts.set(made, () => said.join(" ") + ` ${word}`.repeat(Math.max(0, body - said.length)))
      return made
    },
    codec: {
      ...of,
      encodePrompt: (text) => {
        let known = prompts.get(text)
        if (known === undefined) prompts.set(text, known = of.encodePrompt(text))
        return known
      },
      encodeCompletion: (text, options) => {
        const known = tokens.get(text)
        if (known === undefined) return of.encodeCompletion(text, options)
        const ends = known.at(-1) === of.stop[0]
        if (ends === options.end) return known
        const made = ends
          ? known.subarray(0, -1)
          : Int32Array.from({ length: known.length + 1 }, (_, t) => known[t] ?? of.stop[0]!)
        const length = fullLengths.get(known)
        if (length !== undefined) fullLengths.set(made, length + made.length - known.length)
        return made
      },
      encodeParts: (parts) => parts.some((part) => tokens.has(part)) ? null : of.encodeParts?.(parts) ?? null,
      decode: (ids) => {
        const text = texts.get(ids)?.()
        if (text === undefined) return of.decode(ids)
        tokens.set(text, ids as Int32Array)
        return text
      }
    }
  }
}
