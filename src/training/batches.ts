import { type AnyRow, lengthIn } from "../data/rows.ts"
import type { Row } from "../engine/engine.ts"
import { stream } from "../sampling/random.ts"

/** The rows that the steps of a stage take: rows, pairs or groups, which may be encoded on access. */
export interface Taking {
  readonly count: number
  /** Rows of a step, on average. */
  readonly perStep: number
  /** The rows of step `n`. */
  readonly of: (n: number) => ReadonlyArray<number>
  /** Tokens of row `i`. */
  readonly tokens: (i: number) => number
  /** Characters of row `i`, counted without encoding it. */
  readonly characters: (i: number) => number
}

/** Orders of the last few epochs: consecutive steps mostly ask for the same order, and two at the turn of an epoch. */
const shuffles = new Map<string, Uint32Array>()
const remembered = 8
/** Of as many rows, no more than two orders are remembered. */
const many = 1e6

const orderOf = (key: string, count: number, epoch: number): Uint32Array => {
  const name = `${key}/epoch-${epoch}`
  const known = shuffles.get(`${count} ${name}`)
  if (known !== undefined) return known
  const order = stream(name).order(count)
  while (shuffles.size >= (count > many ? 2 : remembered)) shuffles.delete(shuffles.keys().next().value!)
  shuffles.set(`${count} ${name}`, order)
  return order
}

/**
 * The rows of step `n`. Every epoch is a fresh shuffle of all `count` rows, cut into batches; the rest of an epoch
 * opens the next one. The answer depends on the arguments alone, so you can ask for steps in any order.
 */
export const batchAt = (key: string, count: number, batchSize: number, n: number): ReadonlyArray<number> => {
  const batch: Array<number> = []
  const end = (n + 1) * batchSize
  for (let i = n * batchSize; i < end;) {
    const [epoch, first] = [Math.floor(i / count), i % count]
    const rows = orderOf(key, count, epoch).subarray(first, first + end - i)
    for (const row of rows) batch.push(row)
    i += rows.length
  }
  return batch
}

/** The length of a stage: the fields `passes` of `dsl/Training.ts`. */
export interface Passes {
  readonly epochs: number
  readonly steps?: number
}

/**
 * All batches of the passes, or of the steps, each of at most `size` rows with at most `tokens` tokens together. A batch ends
 * before the row that would overfill it, and may hold rows of two passes. Throws for a row that no batch can hold.
 */
export const batchesWithin = (
  key: string,
  lengths: ReadonlyArray<number>,
  { size, tokens }: { readonly size: number; readonly tokens: number },
  { epochs, steps }: Passes
): ReadonlyArray<ReadonlyArray<number>> => {
  const batches: Array<Array<number>> = []
  let held = Infinity
  for (let epoch = 0; steps === undefined ? epoch < epochs : batches.length <= steps; epoch++) {
    for (const row of orderOf(key, lengths.length, epoch)) {
      const length = lengths[row]!
      if (length > tokens) throw new Error(`row ${row} has ${length} tokens, more than the ${tokens} of a batch`)
      if (held + length > tokens || batches.at(-1)!.length === size) {
        if (batches.length === steps) return batches
        batches.push([])
        held = 0
      }
      batches.at(-1)!.push(row)
      held += length
    }
  }
  return batches
}

/** Optimiser steps of a stage over `count` rows; the last batch of the passes may hold rows of a further pass. */
export const stepsOf = (count: number, { batchSize, epochs, steps }: Passes & { readonly batchSize: number }): number =>
  steps ?? Math.max(1, Math.ceil((count * epochs) / batchSize))

/** The batches of `batchAt` as `Taking`; `tokens` gives the tokens of row `i`, encoded. */
export const inBatches = (
  key: string,
  rows: ReadonlyArray<AnyRow | Row>,
  batchSize: number,
  tokens: (i: number) => number
): Taking => ({
  count: rows.length,
  perStep: batchSize,
  of: (n) => batchAt(key, rows.length, batchSize, n),
  tokens,
  characters: (i) => lengthIn(rows[i]!)
})
