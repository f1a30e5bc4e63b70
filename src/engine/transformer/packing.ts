import { type Batch, ownCount, ownTokens, type Row } from "../engine.ts"

/**
 * Some rows of a batch as the kernels take them: sequences one after the other, no padding. `outputs` are the token rows
 * whose hidden state the head reads; they stand in the order of the batch's per-token numbers, from number `first` on.
 */
export interface Packed {
  readonly ids: Int32Array
  readonly positions: Int32Array
  /** Token row where each sequence begins, and the number of token rows at the end. */
  readonly starts: Int32Array
  readonly outputs: Int32Array
  /** The token each output predicts; empty for a scorer. */
  readonly targets: Int32Array
  readonly first: number
}

export interface PassLimits {
  readonly vocab: number
  /** Longest prompt + completion. */
  readonly context: number
  /** Most tokens in one micro-batch; a longer sequence is a micro-batch by itself. */
  readonly microBatchTokens: number
}

const checkIds = (ids: Int32Array, row: number, vocab: number): void => {
  for (let i = 0; i < ids.length; i++) {
    if (!(ids[i]! >= 0 && ids[i]! < vocab)) {
      throw new Error(
        `Row ${row} has token id ${ids[i]}, outside the vocabulary of ${vocab}: was the text encoded for another model?`
      )
    }
  }
}

/** Throws for a row that the model cannot take: no prompt, too long, or unknown token ids. */
export const checkRow = ({ completion, prompt }: Row, i: number, { context, vocab }: PassLimits): void => {
  if (prompt.length === 0) {
    throw new Error(`Row ${i} has an empty prompt: nothing comes before its first token. Begin the prompt with bos.`)
  }
  const length = prompt.length + completion.length
  if (length > context) {
    throw new Error(
      `Row ${i} has ${length} tokens (prompt ${prompt.length}, completion ${completion.length}), more than the model's `
        + `context of ${context}. Shorten it or leave it out.`
    )
  }
  checkIds(prompt, i, vocab)
  checkIds(completion, i, vocab)
}

/** The rows of each micro-batch of a batch, with the number of its token rows. */
export const cut = (batch: Batch, head: "tokens" | "values", limits: Pick<PassLimits, "microBatchTokens">) => {
  const groups: Array<{ rows: Array<number>; tokens: number; outputs: number; first: number }> = []
  const extra = head === "values" ? 1 : 0
  let first = 0
  batch.forEach((row, i) => {
    const length = row.prompt.length + row.completion.length
    const outputs = ownCount(row) + extra
    if (outputs === 0) return
    const tokens = length - 1 + extra
    let group = groups.at(-1)
    if (group === undefined || group.tokens + tokens > limits.microBatchTokens) {
      groups.push(group = { rows: [], tokens: 0, outputs: 0, first })
    }
    group.rows.push(i)
    group.tokens += tokens
    group.outputs += outputs
    first += outputs
  })
  return groups
}

/**
 * Cuts a batch into micro-batches of whole sequences. `head` "tokens" reads the states that predict own tokens (the
 * last token of a sequence is then not computed at all), "values" also the state after the last token.
 */
export const pack = (batch: Batch, head: "tokens" | "values", limits: PassLimits): ReadonlyArray<Packed> => {
  batch.forEach((row, i) => checkRow(row, i, limits))
  const extra = head === "values" ? 1 : 0
  return cut(batch, head, limits).map((group) => {
    const ids = new Int32Array(group.tokens)
    const positions = new Int32Array(group.tokens)
    const starts = new Int32Array(group.rows.length + 1)
    const outputs = new Int32Array(group.outputs)
    const targets = new Int32Array(head === "tokens" ? group.outputs : 0)
    let at = 0
    let out = 0
    group.rows.forEach((index, b) => {
      const { completion, given, prompt } = batch[index]!
      ids.set(prompt, at)
      ids.set(extra === 1 ? completion : completion.subarray(0, completion.length - 1), at + prompt.length)
      const length = prompt.length + completion.length - 1 + extra
      for (let t = 0; t < length; t++) positions[at + t] = t
      if (head === "tokens") targets.set(ownTokens(batch[index]!), out)
      for (let t = prompt.length - 1; t < length; t++) {
        if (given?.[t + 1 - prompt.length] !== 1) outputs[out++] = at + t
      }
      at += length
      starts[b + 1] = at
    })
    return { ids, positions, starts, outputs, targets, first: group.first }
  })
}

/** The length of the sequence of each row; asked for in the order of the rows. */
export const lengthsOf = ({ starts }: Pick<Packed, "starts">): (row: number) => number => {
  let b = 1
  return (row) => {
    while (row >= starts[b]!) b++
    return starts[b]! - starts[b - 1]!
  }
}
