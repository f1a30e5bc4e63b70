/** Demonstrations to token ids, with the spans that count in the loss. */
import type { Mask } from "../../dsl/Truncation.ts"
import type { Codec, Row } from "../engine/engine.ts"
import { cutRow, left, lengthOf, Unfit } from "./cut.ts"
import { answer, begun, byCodec, divided, type Encoding, endsByTemplate, untilStop } from "./encode.ts"
import type { DemonstrationRow } from "./rows.ts"

/** A row with the weight of each completion token in the loss, 0 or 1. */
export interface Masked extends Row {
  readonly mask: Float64Array
}

/** The learned part of a demonstration. */
export type SftLoss = "completion" | "assistant" | "all"

const ones = (length: number): Float64Array => new Float64Array(length).fill(1)

/**
 * Every assistant turn counts until sampling would have stopped, with the end of sequence after the last turn; contexts between turns do
 * not.
 */
const conversation = (codec: Codec, turns: NonNullable<DemonstrationRow["turns"]>): Masked => {
  const [prompt, ...parts] = divided(codec, turns.flatMap(({ answer, context }) => [context, answer]), true) as [
    Int32Array,
    ...Array<Int32Array>
  ]
  // Parts are answers at even places, contexts between them.
  const lengths = parts.map((ids, i) => i % 2 === 0 ? untilStop(codec, ids) : 0)
  const last = parts.length - 1
  const completion = Int32Array.from(parts.flatMap((ids, i) => [...i === last ? ids.subarray(0, lengths[i]) : ids]))
  const mask = new Float64Array(completion.length)
  let at = 0
  parts.forEach((ids, i) => {
    mask.fill(1, at, at + lengths[i]!)
    at += ids.length
  })
  return begun<Masked>({ prompt, completion, mask }, (row, completion) => ({
    ...row,
    completion,
    mask: row.mask.slice(1)
  }))
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
