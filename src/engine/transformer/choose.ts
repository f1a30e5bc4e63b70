import { distribution, draw } from "../../sampling/draw.ts"
import type { Random } from "../../sampling/random.ts"
import type { Host } from "../../tensor/backend.ts"
import type { Sampling } from "../engine.ts"

/** A token and its log-probability at temperature 1 without truncation, nats. */
export interface Choice {
  token: number
  logp: number
}

/**
 * Chooses the next token from `logits[at … at + vocab]` in double precision. Greedy and plain temperature, the hot path of
 * reinforcement learning, allocate nothing; they choose exactly what `draw(distribution(…))` does.
 */
export const chooser = (vocab: number, sampling: Sampling): (logits: Host, at: number, random: Random) => Choice => {
  const { temperature, topK, topP } = sampling
  const scratch = new Float64Array(vocab)
  const choice: Choice = { token: 0, logp: 0 }
  const truncated = (topK > 0 && topK < vocab) || topP < 1

  /** scratch = exp((logits − max) / by); returns its sum. */
  const exponentials = (logits: Host, at: number, max: number, by: number): number => {
    let total = 0
    for (let i = 0; i < vocab; i++) total += scratch[i] = Math.exp((logits[at + i]! - max) / by)
    return total
  }
  const greedy = (logits: Host, at: number): number => {
    let best = at
    for (let i = at + 1; i < at + vocab; i++) if (logits[i]! > logits[best]!) best = i
    return best - at
  }
  /** The token that `u` falls on in `scratch`, which adds up to `total`. */
  const inverse = (u: number, total: number): number => {
    let cumulative = 0
    let last = 0
    for (let i = 0; i < vocab; i++) {
      const p = scratch[i]! / total
      if (!(p > 0)) continue
      cumulative += p
      last = i
      if (u < cumulative) return i
    }
    return last
  }

  return (logits, at, random) => {
    let max = -Infinity
    for (let i = at; i < at + vocab; i++) max = Math.max(max, logits[i]!)
    const total = exponentials(logits, at, max, 1)
    choice.token = temperature === 0
      ? greedy(logits, at)
      : truncated
      ? draw(distribution(logits.subarray(at, at + vocab), sampling), random.next())
      : inverse(random.next(), temperature === 1 ? total : exponentials(logits, at, max, temperature))
    choice.logp = logits[at + choice.token]! - max - Math.log(total)
    return choice
  }
}
