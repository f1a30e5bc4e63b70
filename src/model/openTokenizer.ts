import { Tokenizer } from "@huggingface/tokenizers"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import { Abandoned, limited, Overran } from "./foreign.ts"
import type { Json } from "./tokenizerJson.ts"

/** Seconds that the files of a tokenizer may take to be read; a vocabulary of 256,000 tokens takes about two. */
const longest = 60

export const unreadable = (problem: string): BadCheckpoint =>
  new BadCheckpoint({
    path: "tokenizer.json",
    problem: `cannot be read (${problem})`,
    remedy: "Save it again with a current version of transformers."
  })

/** Reads a tokenizer whose shape was checked; anything that the library throws is a fault of its files. */
export const open = <A>(read: () => A): A => {
  try {
    return limited(read, longest)
  } catch (error) {
    if (error instanceof Abandoned) throw error
    throw unreadable(error instanceof Overran ? error.problem : (error as Error).message)
  }
}

/** The keys that a `tokenizer.json` may leave out. */
const absent: Json = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null }

/** The tokenizer of a `tokenizer.json`, made to agree with the Rust library where the package (0.2.0) does not. */
export const tokenizer = (json: Json, settings: Json): Tokenizer => {
  const made = new Tokenizer({ ...absent, ...json }, settings)
  keepBytes(made.decoder)
  dropUnknown(made.model)
  return made
}

/** The package's own types are lost on TypeScript: its declarations import files without extensions. */
export const encoding = (
  tokenizer: Tokenizer,
  text: string,
  special: boolean
): { readonly ids: ReadonlyArray<number>; readonly tokens: ReadonlyArray<string> } =>
  tokenizer.encode(text, { add_special_tokens: special })

/** Byte fallback: the package drops a byte-order mark and replaces broken UTF-8 in pieces, Rust one replacement a byte. */
const keepBytes = (decoder: unknown): void => {
  const step = decoder as { decoders?: ReadonlyArray<unknown>; config?: Json; text_decoder?: unknown } | null
  step?.decoders?.forEach(keepBytes)
  if (step?.config?.["type"] !== "ByteFallback") return
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  step.text_decoder = {
    decode: (bytes: Uint8Array): string => {
      try {
        return strict.decode(bytes)
      } catch {
        return "\uFFFD".repeat(bytes.length)
      }
    }
  }
}

/** BPE without an unknown token: a character that no token has is left out before merging, not after. */
const dropUnknown = (model: unknown): void => {
  const bpe = model as {
    config?: Json
    tokens_to_ids: ReadonlyMap<string, number>
    bpe?: (word: string) => ReadonlyArray<string>
  }
  const merge = bpe.bpe?.bind(bpe)
  const { byte_fallback: fallback, end_of_word_suffix: suffix, unk_token: unknown } = bpe.config ?? {}
  if (merge === undefined || fallback === true || suffix != null || unknown != null) return
  bpe.bpe = (word) => merge(Array.from(word).filter((character) => bpe.tokens_to_ids.has(character)).join(""))
}
