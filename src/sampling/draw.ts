/** How the next-token distribution is changed before a token is drawn from it. */
export interface Truncation {
  /** Logits are divided by this; 0 is greedy. */
  readonly temperature: number
  /** Keep the k most likely tokens; 0 for all. */
  readonly topK: number
  /** Keep the smallest set of most likely tokens that has at least this probability; 1 for all. */
  readonly topP: number
}

/** Most likely token, the lowest id of equals. */
const argmax = (logits: Float64Array | Float32Array): number => {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}

/** softmax(logits / temperature), in double precision, shifted by the maximum so that large logits stay finite. */
const softmax = (logits: Float64Array | Float32Array, temperature: number): Float64Array => {
  const probs = new Float64Array(logits.length)
  let max = -Infinity
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i]!)
  let total = 0
  for (let i = 0; i < logits.length; i++) total += probs[i] = Math.exp((logits[i]! - max) / temperature)
  for (let i = 0; i < logits.length; i++) probs[i]! /= total
  return probs
}

/**
 * The distribution the next token is drawn from: temperature, then top-k, then top-p of the rest (Holtzman et al. 2020,
 * arXiv 1904.09751), renormalised; the order of Hugging Face `transformers`. Of equally likely tokens the lower id goes
 * first, so exactly k tokens survive top-k, and greedy takes the lowest. Non-finite logits come through as NaN.
 */
export const distribution = (logits: Float64Array | Float32Array, sampling: Truncation): Float64Array => {
  const { temperature, topK, topP } = sampling
  const vocab = logits.length
  if (temperature === 0) {
    const probs = new Float64Array(vocab)
    probs[argmax(logits)] = 1
    return probs
  }
  const probs = softmax(logits, temperature)
  const limit = topK > 0 && topK < vocab ? topK : vocab
  if (limit === vocab && topP >= 1) return probs
  // By logit, not by probability: two different logits can round to the same probability.
  const order = Array.from(probs.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
  let mass = 0
  for (let i = 0; i < limit; i++) mass += probs[order[i]!]!
  const wanted = topP >= 1 ? Infinity : topP * mass
  // The kept set is the shortest prefix of `order`, itself at most `limit` long, with topP of the mass of the first `limit`.
  let kept = 0
  let keptMass = 0
  while (kept < limit && (kept === 0 || keptMass < wanted)) keptMass += probs[order[kept++]!]!
  for (let i = 0; i < vocab; i++) probs[order[i]!] = i < kept ? probs[order[i]!]! / keptMass : 0
  return probs
}

/**
 * The token a uniform number `u` in [0, 1) falls on: the first whose cumulative probability exceeds it. Never a token of
 * probability 0; of probabilities that are all NaN, token 0 (its log-probability is NaN too, which stops the stage).
 */
export const draw = (probs: Float64Array, u: number): number => {
  let cumulative = 0
  let last = 0
  for (let i = 0; i < probs.length; i++) {
    if (!(probs[i]! > 0)) continue
    cumulative += probs[i]!
    last = i
    if (u < cumulative) return i
  }
  // Rounding can leave the total a little below 1.
  return last
}
