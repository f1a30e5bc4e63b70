/** Encoded rows that are too long, cut at one end. */
import type { Row } from "../engine/engine.ts"

export type Keep = "keep-start" | "keep-end"

/** Thrown for a row that can be encoded and does not fit its purpose. */
export class Unfit extends Error {
  readonly remedy: string
  constructor(problem: string, remedy: string) {
    super(problem)
    this.remedy = remedy
  }
}

export const lengthOf = ({ completion, prompt }: Row): number => prompt.length + completion.length

/** A row after the cut, and the completion tokens that are left of it: from `from` until before `to`. */
interface Cut {
  readonly row: Row
  readonly from: number
  readonly to: number
}

/** A row with a part of its completion. */
const part = ({ completion, given }: Row, prompt: Int32Array, from: number, to: number): Row => ({
  prompt,
  completion: completion.slice(from, to),
  ...(given === undefined ? {} : { given: given.slice(from, to) })
})

/** At most `most` tokens. The first token that is left is never predicted, so it becomes the prompt. */
export const cutRow = (row: Row, most: number, keep: Keep): Cut => {
  const { completion, prompt } = row
  const excess = lengthOf(row) - most
  if (excess <= 0) return { row, from: 0, to: completion.length }
  if (keep === "keep-start") {
    const to = Math.max(0, completion.length - excess)
    return { row: part(row, prompt, 0, to), from: 0, to }
  }
  if (excess < prompt.length) {
    return { row: { ...row, prompt: prompt.slice(excess) }, from: 0, to: completion.length }
  }
  const from = excess - prompt.length + 1
  return {
    row: part(row, completion.slice(from - 1, from), from, completion.length),
    from,
    to: completion.length
  }
}

/**
 * The answers to one prompt, each of at most `most` tokens. They keep one prompt: the longest of them decides how much of it is left,
 * at least a token, and only an answer that is longer still loses its beginning.
 */
export const cutAnswers = (rows: ReadonlyArray<Row>, most: number, keep: Keep): ReadonlyArray<Row> => {
  const excess = Math.max(...rows.map(lengthOf)) - most
  return rows.map((row) => {
    const { prompt } = row
    if (keep === "keep-start" || lengthOf(row) - most >= Math.max(1, prompt.length)) return cutRow(row, most, keep).row
    return excess <= 0 ? row : { ...row, prompt: prompt.slice(Math.max(0, Math.min(excess, prompt.length - 1))) }
  })
}

/** An encoded row, if something is left to learn from. */
export const left = <A>(encoded: A, most: number, something: boolean): A => {
  if (something) return encoded
  throw new Unfit(
    `cut off at ${most} tokens, nothing of its answer is left`,
    'Raise maxLength, or leave such rows out: truncation "drop".'
  )
}
