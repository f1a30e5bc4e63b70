/**
 * Ragged rows in flat arrays. *Token* arrays have one number for each completion token: row i owns
 * `offsets[i] … offsets[i + 1]`. *Position* arrays (a scalar head's output) have one more in each row, the number after its
 * last token: row i owns `offsets[i] + i … offsets[i + 1] + i + 1`. `offsets` always count tokens.
 */

/** Sum of each row of a token array. */
export const sumRows = (tokens: Float64Array, offsets: Int32Array): Float64Array => {
  const sums = new Float64Array(offsets.length - 1)
  for (let row = 0; row < sums.length; row++) {
    for (let t = offsets[row]!; t < offsets[row + 1]!; t++) sums[row]! += tokens[t]!
  }
  return sums
}

/** Positions → tokens: of each token the number before it (`shift` 0) or after it (1). */
const gather = (shift: 0 | 1) => (positions: Float64Array, offsets: Int32Array): Float64Array => {
  const tokens = new Float64Array(offsets[offsets.length - 1]!)
  for (let row = 0; row + 1 < offsets.length; row++) {
    for (let t = offsets[row]!; t < offsets[row + 1]!; t++) tokens[t] = positions[t + row + shift]!
  }
  return tokens
}

/** Transpose of `gather`: a gradient over tokens → over positions, 0 elsewhere. */
const scatter = (shift: 0 | 1) => (tokens: Float64Array, offsets: Int32Array): Float64Array => {
  const positions = new Float64Array(tokens.length + offsets.length - 1)
  for (let row = 0; row + 1 < offsets.length; row++) {
    for (let t = offsets[row]!; t < offsets[row + 1]!; t++) positions[t + row + shift] = tokens[t]!
  }
  return positions
}

/** The number *before* each token: positions → tokens. For a value model, V of the state before the token. */
export const beforeTokens = gather(0)

/** Transpose of `beforeTokens`: a gradient over tokens → over positions, 0 after the last token of each row. */
export const beforeTokensBackward = scatter(0)

/** The number *after* each token: positions → tokens. For an outcome reward model, its judgement of the token. */
export const afterTokens = gather(1)

/** Transpose of `afterTokens`: a gradient over tokens → over positions, 0 before the first token of each row. */
export const afterTokensBackward = scatter(1)

/** The number *after* the last token of each row: positions → rows. For a reward model, the score of the completion. */
export const afterLast = (positions: Float64Array, offsets: Int32Array): Float64Array => {
  const rows = new Float64Array(offsets.length - 1)
  for (let row = 0; row < rows.length; row++) rows[row] = positions[offsets[row + 1]! + row]!
  return rows
}

/** Transpose of `afterLast`: a gradient over rows → over positions, 0 everywhere else. */
export const afterLastBackward = (rows: Float64Array, offsets: Int32Array): Float64Array => {
  const positions = new Float64Array(offsets[offsets.length - 1]! + rows.length)
  for (let row = 0; row < rows.length; row++) positions[offsets[row + 1]! + row] = rows[row]!
  return positions
}

/** Numbers of rows, one after the other. */
export const joinedTokens = (rows: ReadonlyArray<Float64Array>): Float64Array => {
  const all = new Float64Array(rows.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const row of rows) {
    all.set(row, at)
    at += row.length
  }
  return all
}
