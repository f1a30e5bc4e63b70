/** log softmax of `count` numbers of `logits` from `at`. */
export const logSoftmax = (logits: Float64Array, at: number, count: number): Float64Array => {
  const row = logits.slice(at, at + count)
  const max = row.reduce((most, z) => Math.max(most, z), -Infinity)
  const lse = max + Math.log(row.reduce((sum, z) => sum + Math.exp(z - max), 0))
  return row.map((z) => z - lse)
}

/** −Σ p log p, nats; the term of a token with probability 0 is 0. */
export const entropy = (logps: Float64Array): number =>
  logps.reduce((sum, logp) => logp === -Infinity ? sum : sum - Math.exp(logp) * logp, 0)
