/**
 * Estimates the tokens of rows from their characters: all rows are measured in characters, a few hundred are encoded.
 * Each class of length has its own ratio, so a few long rows among many short rows have their full weight.
 */
import type { Taking } from "../training/batches.ts"

/** The most rows that are encoded, and the most rows whose characters are read, evenly spread. */
const [encoded, measured] = [256, 2 ** 16]
/** Of long rows fewer are encoded, which say as much: of so many characters, but a few at least. */
const [enoughCharacters, few] = [2 ** 22, 16]

export interface RowTokens {
  /** Mean over all rows. */
  readonly mean: number
  /** Estimated tokens of row `i`. */
  readonly of: (i: number) => number
  /** The size of all text relative to the encoded text. */
  readonly times: number
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0)

/** `some` of the numbers 0 … `count` − 1, evenly spread; all numbers if there are no more. */
export const spread = (count: number, some: number): ReadonlyArray<number> =>
  Array.from({ length: Math.min(count, some) }, (_, i) => some >= count ? i : Math.floor((i + 0.5) * count / some))

export const rowTokens = (
  { characters, count, tokens }: Pick<Taking, "characters" | "count" | "tokens">
): RowTokens => {
  // An empty row has tokens too.
  const size = (i: number): number => characters(i) + 1
  /** Rows of a class differ in length by at most a sixth. */
  const classOf = (size: number): number => Math.ceil(4.5 * Math.log2(size))
  const classes = new Map<number, Array<{ readonly i: number; readonly size: number }>>()
  const rows = spread(count, measured).map((i) => ({ i, size: size(i) }))
  for (const row of rows) {
    const own = classOf(row.size)
    if (classes.has(own)) classes.get(own)!.push(row)
    else classes.set(own, [row])
  }
  const sizes = (of: typeof rows): number => sum(of.map((row) => row.size))
  const all = sizes(rows)
  const most = Math.min(encoded, Math.max(few, Math.floor(enoughCharacters * rows.length / all)))
  let [known, total] = [0, 0]
  const ratios = new Map([...classes].map(([own, members]) => {
    const share = sizes(members)
    const some = spread(members.length, Math.ceil(most * share / all)).map((j) => members[j]!)
    const read = sizes(some)
    const ratio = sum(some.map(({ i }) => tokens(i))) / read
    known += read
    total += ratio * share
    return [own, ratio]
  }))
  return {
    mean: total / rows.length,
    of: (i) => size(i) * (ratios.get(classOf(size(i))) ?? total / all),
    times: all * count / rows.length / known
  }
}
