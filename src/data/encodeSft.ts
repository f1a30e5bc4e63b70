/** Demonstrations to token ids, with the spans that count in the loss. */
import type { Mask } from "../../dsl/Truncation.ts"
import type { Codec, Row } from "../engine/engine.ts"
import { cutRow, left, lengthOf, Unfit } from "./cut.ts"
import { answer, byCodec, type Encoding, endsByTemplate } from "./encode.ts"
import type { DemonstrationRow } from "./rows.ts"

/** A row with the weight of each completion token in the loss, 0 or 1. */
export interface Masked extends Row {
  readonly mask: Float64Array
}

/** The learned part of a demonstration. */
export type SftLoss = "completion" | "assistant" | "all"

const ones = (length: number): Float64Array => new Float64Array(length).fill(1)

/**
 * Every assistant turn counts, with the end of sequence after the last turn; contexts between turns do not. Turns and contexts are
 * encoded separately: a chat template divides them by special tokens, and a turn begins exactly as an answer of the model begins.
 */
const conversation = (codec: Codec, turns: NonNullable<DemonstrationRow["turns"]>): Masked => {
  const ids: Array<number> = []
  const mask: Array<number> = []
  const add = (tokens: Int32Array, weight: number): void => {
    ids.push(...tokens)
    for (let i = 0; i < tokens.length; i++) mask.push(weight)
  }
  turns.forEach((turn, i) => {
    if (i > 0) add(codec.encodeCompletion(turn.context, { end: false }), 0)
    add(codec.encodeCompletion(turn.answer, { end: i + 1 === turns.length }), 1)
  })
  return {
    prompt: codec.encodePrompt(turns[0]!.context),
    completion: Int32Array.from(ids),
    mask: Float64Array.from(mask)
  }
}

const whole = (codec: Codec, { completion, ended, prompt, turns }: DemonstrationRow, loss: SftLoss): Masked => {
  if (loss === "assistant" && turns !== undefined) {
    if (turns === null) {
      throw new Unfit(
        "its chat template rewrites earlier turns, so where they end cannot be told",
        'Take loss "completion", or a chat template that only ever appends.'
      )
    }
    return conversation(codec, turns)
  }
  const row = answer(codec, prompt, completion, ended)
  if (loss !== "all") return { ...row, mask: ones(row.completion.length) }
  const ids = Int32Array.of(...row.prompt, ...row.completion)
  return { prompt: ids.slice(0, 1), completion: ids.slice(1), mask: ones(ids.length - 1) }
}

export const masked = byCodec((codec, loss: SftLoss, unlearnt?: Mask): Encoding<DemonstrationRow, Masked> => ({
  encode: (row) => {
    const encoded = whole(codec, row, loss)
    if (endsByTemplate(codec, encoded, unlearnt)) encoded.mask[encoded.mask.length - 1] = 0
    return encoded
  },
  tokens: lengthOf,
  cut: (row, most, keep) => {
    const cut = cutRow(row, most, keep)
    const mask = row.mask.slice(cut.from, cut.to)
    return left({ ...cut.row, mask }, most, mask.includes(1))
  }
}))
