import * as Effect from "effect/Effect"
import type { Row } from "../engine/engine.ts"
import { encodeWithin, type Encoding, type For, lengthOf } from "./encode.ts"
import type { TextRow } from "./rows.ts"

/** A text in pieces that fit into the context. */
export interface Windowed {
  /** Every token of the text is in one completion. */
  readonly rows: ReadonlyArray<Row>
  /** Of the text in UTF-8. */
  readonly bytes: number
}

/**
 * Texts for their likelihood, each token once: after the token that begins a sequence (else the end token), in windows as long as the
 * context. A window begins with one token of the window before; the last has as much context as fits
 * (lm-evaluation-harness, `get_rolling_token_windows`). The end of a text is no part of it.
 */
export const encodeWindows = (use: For, texts: ReadonlyArray<TextRow>) => {
  const { codec, context } = use
  const encode = ({ text }: TextRow): Windowed => {
    const [ids, [begin]] = [codec.encodePrompt(text), codec.encodePrompt("")]
    const all = begin !== undefined && ids[0] === begin ? ids : Int32Array.of(codec.stop[0]!, ...ids)
    const rows: Array<Row> = []
    for (let done = 1; done < all.length;) {
      const end = Math.min(all.length, done + context - 1)
      rows.push({ prompt: all.slice(Math.max(0, end - context), done), completion: all.slice(done, end) })
      done = end
    }
    return { rows, bytes: Buffer.byteLength(text) }
  }
  const encoding: Encoding<TextRow, Windowed> = {
    encode,
    tokens: ({ rows }) => Math.max(0, ...rows.map(lengthOf)),
    cut: (windowed) => windowed
  }
  return Effect.map(encodeWithin(use, texts, encoding), ({ encoded }) => encoded)
}
