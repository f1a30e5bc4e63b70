/** Rows without a prompt, where the tokenizer puts no token in front: their first token is given as context. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Codec } from "../engine/engine.ts"
import type { Told } from "./told.ts"

export const withoutPrompt = (codec: Codec): Told => {
  let [lacking, rows] = [0, 0]
  let bare: boolean | undefined
  return {
    add: (row) => {
      rows++
      if ((row as { readonly prompt?: unknown }).prompt !== "") return
      bare ??= codec.encodePrompt("").length === 0
      if (bare) lacking++
    },
    tell: (stage) =>
      lacking === 0
        ? Effect.void
        : Console.error(
          `! ${stage}  ${lacking} of ${rows} rows have no prompt: the first token of each is its context, and is not learnt`
        )
  }
}
