/** Which experts a token goes to, and the gradient of that choice's weights. */
import type { Host } from "../../tensor/backend.ts"

/** The experts of every token: slots (token, expert) in the order of the experts, and of the tokens within one. */
export interface Chosen {
  readonly token: Int32Array
  readonly expert: Int32Array
  /** Of the expert's output in the token's. */
  readonly weight: Float64Array
  /** The slots of expert e are from `starts[e]` to `starts[e + 1]`. */
  readonly starts: Int32Array
  /** Softmax of each token's logits [tokens, experts]. */
  readonly probabilities: Float64Array
}

export interface Routing {
  readonly experts: number
  /** Experts of a token. */
  readonly active: number
  /** Weights of a token's experts are divided by their sum. */
  readonly renormalised: boolean
}

/**
 * The `active` experts of highest probability of each token; the lower number first where two are equal. None is dropped. A token's
 * choice depends on its own logits alone. A backend that reads no values gets an even spread.
 */
export const choose = (
  logits: Host,
  tokens: number,
  { active, experts, renormalised }: Routing,
  even = false
): Chosen => {
  const probabilities = new Float64Array(tokens * experts)
  const of = Array.from({ length: experts }, (): Array<number> => [])
  const weights = new Float64Array(tokens * experts)
  for (let t = 0; t < tokens; t++) {
    const at = t * experts
    const row = Array.from({ length: experts }, (_, e) => even ? 0 : logits[at + e]!)
    const most = Math.max(...row)
    const sum = row.reduce((total, z) => total + Math.exp(z - most), 0)
    row.forEach((z, e) => (probabilities[at + e] = Math.exp(z - most) / sum))
    const order = row.map((_, e) => even ? (e + t * active) % experts : e)
    const best = (even ? order : order.sort((a, b) => row[b]! - row[a]! || a - b)).slice(0, active)
    const total = renormalised ? best.reduce((s, e) => s + probabilities[at + e]!, 0) : 1
    for (const e of best) {
      of[e]!.push(t)
      weights[at + e] = probabilities[at + e]! / total
    }
  }
  const starts = new Int32Array(experts + 1)
  of.forEach((own, e) => (starts[e + 1] = starts[e]! + own.length))
  const token = Int32Array.from(of.flat())
  const expert = Int32Array.from(of.flatMap((own, e) => own.map(() => e)))
  return {
    token,
    expert,
    starts,
    probabilities,
    weight: Float64Array.from(token, (t, s) => weights[t * experts + expert[s]!]!)
  }
}

/** Gradient of the logits from that of each slot's weight: through the softmax, over all experts or the chosen ones. */
export const chosenBackward = (
  { expert, probabilities, token, weight }: Chosen,
  dWeight: Float64Array,
  { experts, renormalised }: Routing
): Float64Array => {
  const dLogits = new Float64Array(probabilities.length)
  const mean = new Float64Array(probabilities.length / experts)
  token.forEach((t, s) => (mean[t] = mean[t]! + weight[s]! * dWeight[s]!))
  if (!renormalised) probabilities.forEach((p, i) => (dLogits[i] = -p * mean[Math.floor(i / experts)]!))
  token.forEach((t, s) => {
    const i = t * experts + expert[s]!
    dLogits[i] = dLogits[i]! + weight[s]! * (dWeight[s]! - (renormalised ? mean[t]! : 0))
  })
  return dLogits
}
