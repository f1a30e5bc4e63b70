/** Demonstrations to token ids, with the spans that count in the loss; truncation only on request. */
import type { Row } from "../engine/engine.ts"
import { answer, encodeAll, type For, lengthOf, Unfit } from "./encode.ts"
import type { DemonstrationRow } from "./rows.ts"

/** A row with the weight of each completion token in the loss, 0 or 1. */
export interface Masked extends Row {
  readonly mask: Float64Array
}

export interface SftEncoding {
  readonly loss: "completion" | "assistant" | "all"
  /** Longest prompt + completion, tokens; the context when left out. */
  readonly maxLength?: number
  readonly truncation: "error" | "keep-start" | "keep-end"
}

const ones = (length: number): Float64Array => new Float64Array(length).fill(1)

/**
 * Every assistant turn counts, with the end of sequence after the last turn; contexts between turns do not. Turns and contexts are
 * encoded separately: a chat template divides them by special tokens, and a turn begins exactly as an answer of the model begins.
 */
const conversation = ({ codec }: For, turns: NonNullable<DemonstrationRow["turns"]>): Masked => {
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

const whole = (use: For, { completion, ended, prompt, turns }: DemonstrationRow, loss: SftEncoding["loss"]): Masked => {
  if (loss === "assistant" && turns !== undefined) {
    if (turns === null) {
      throw new Unfit(
        "its chat template rewrites earlier turns, so where they end cannot be told",
        'Take loss "completion", or a chat template that only ever appends.'
      )
    }
    return conversation(use, turns)
  }
  const row = answer(use.codec, prompt, completion, ended)
  if (loss !== "all") return { ...row, mask: ones(row.completion.length) }
  const ids = Int32Array.of(...row.prompt, ...row.completion)
  return { prompt: ids.slice(0, 1), completion: ids.slice(1), mask: ones(ids.length - 1) }
}

/** At most `most` tokens: the end cut off, or the beginning. The first token that is left is never predicted. */
const truncated = (row: Masked, most: number, mode: SftEncoding["truncation"]): Masked => {
  const excess = lengthOf(row) - most
  if (excess <= 0 || mode === "error") return row
  const { completion, mask, prompt } = row
  if (mode === "keep-start") {
    const kept = Math.max(0, completion.length - excess)
    return { prompt, completion: completion.slice(0, kept), mask: mask.slice(0, kept) }
  }
  if (excess < prompt.length) return { ...row, prompt: prompt.slice(excess) }
  const first = excess - prompt.length
  return {
    prompt: completion.slice(first, first + 1),
    completion: completion.slice(first + 1),
    mask: mask.slice(first + 1)
  }
}

export const encodeSft = (use: For, rows: ReadonlyArray<DemonstrationRow>, options: SftEncoding) => {
  const most = Math.min(use.context, options.maxLength ?? Infinity)
  return encodeAll({ ...use, context: most }, rows, (row): Masked => {
    const one = whole(use, row, options.loss)
    const cut = truncated(one, most, options.truncation)
    if (cut !== one && !cut.mask.includes(1)) {
      throw new Unfit(`cut off at ${most} tokens, nothing of its answer is left`, "Raise maxLength, or leave it out.")
    }
    return cut
  }, lengthOf)
}
