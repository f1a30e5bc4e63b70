import { distribution, draw } from "../../sampling/draw.ts"
import type { Random } from "../../sampling/random.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { Sampling } from "../engine.ts"
import type { Workspace } from "./workspace.ts"

/** Tokens, and their log-probabilities at temperature 1 without truncation (nats), of some rows. */
export interface Chosen {
  readonly tokens: ArrayLike<number>
  readonly logps: ArrayLike<number>
}

/** Chooses a token for each of `rows` from logits [rows, vocab], with a number of the row's own stream. */
export type Choose = (logits: Tensor, rows: ReadonlyArray<{ readonly random: Random }>) => Chosen

/** u in two parts of 24 bits, each exact in a float32. The rest of its 53 bits is less than 2⁻⁴⁸. */
const split = (u: number, into: Float64Array, at: number): void => {
  const high = Math.floor(u * 2 ** 24) / 2 ** 24
  into[at] = high
  into[at + 1] = Math.floor((u - high) * 2 ** 48) / 2 ** 48
}

/**
 * Greedy and plain temperature, the hot path of reinforcement learning, choose in the backend, so that only tokens and
 * log-probabilities come back and never the logits. Top-k and top-p choose here, in double precision.
 */
export const chooseToken = (
  { backend, space, vocab }: { readonly backend: Backend; readonly space: Workspace; readonly vocab: number },
  sampling: Sampling
): Choose => {
  const { temperature, topK, topP } = sampling
  if (temperature > 0 && ((topK > 0 && topK < vocab) || topP < 1)) {
    return (logits, rows) => {
      const all = backend.read(logits)
      const tokens = new Int32Array(rows.length)
      const logps = rows.map(({ random }, n) => {
        const row = Float64Array.from(all.subarray(n * vocab, (n + 1) * vocab))
        const token = tokens[n] = draw(distribution(row, sampling), random.next())
        const max = row.reduce((most, z) => Math.max(most, z), -Infinity)
        return row[token]! - max - Math.log(row.reduce((sum, z) => sum + Math.exp(z - max), 0))
      })
      return { tokens, logps }
    }
  }
  let numbers = new Float64Array(0)
  return (logits, rows) => {
    const count = rows.length
    if (numbers.length < 2 * count) numbers = new Float64Array(2 * count)
    if (temperature > 0) { for (let n = 0; n < count; n++) split(rows[n]!.random.next(), numbers, 2 * n) }
    const uniforms = space.reals("uniforms", 2 * count)
    backend.write(uniforms, numbers.subarray(0, 2 * count))
    const out = { tokens: space.reals("chosenTokens", count), logps: space.reals("chosenLogps", count) }
    backend.sample(out, logits, uniforms, { rows: count, vocab, temperature })
    return { tokens: backend.read(out.tokens), logps: backend.read(out.logps) }
  }
}
