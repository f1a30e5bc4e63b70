import type { Backend, HeadShape } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Memory, Real } from "./memory.ts"
import { matrixAt, matrixOf, type Products, turn } from "./products.ts"

/** Logits that exist at once: 2 MiB stay in the cache of a processor; a GPU wants more of them. Never fewer than 64 rows. */
const mostLogits = { cpu: 2 ** 19, cuda: 2 ** 25 } as const

/** The vocabulary: log-probabilities and their gradient, in blocks of rows. */
export const head = (
  aten: Aten,
  memory: Memory,
  { accumulate, into }: Products
): Pick<Backend, "head" | "headBackward"> => {
  const { as, constant, copy, mul, room, run } = aten
  const { check, int, output, real, view } = memory
  const inBlocks = ({ rows, vocab }: HeadShape, each: (first: number, count: number, logits: Handle) => void): void => {
    const block = Math.min(rows, Math.max(64, Math.floor(mostLogits[memory.device.kind] / vocab)))
    const logits = room([block, vocab])
    for (let first = 0; first < rows; first += block) {
      const count = Math.min(block, rows - first)
      each(first, count, count === block ? logits : as(logits, [count, vocab]))
    }
  }
  const column = (of: Real, first: number, count: number): Handle => view(of, [count, 1], [1, 1], first)

  return {
    head: (out, h, w, targets, shape) => {
      check.head("head", shape)
      const { cap, dim, rows, temperature, vocab } = shape
      const logps = output("head", "logps", out.logps, rows)
      const lse = output("head", "lse", out.lse, rows)
      const entropy = output("head", "entropy", out.entropy, rows)
      const hidden = real("head", "h", h, rows * dim)
      const weight = matrixOf(memory, real("head", "w", w, vocab * dim), vocab, dim)
      const ids = int("head", "targets", targets, vocab, rows)
      run("head", [rows, dim, vocab], () => {
        const target = memory.index(ids)
        const ones = as(memory.ones(vocab), [vocab])
        inBlocks(shape, (first, count, logits) => {
          into(
            matrixAt(aten, logits, count, vocab),
            matrixOf(memory, hidden, count, dim, first * dim),
            turn(weight),
            null
          )
          if (cap > 0) aten.softcap(logits, cap)
          if (temperature !== 1) mul(logits, logits, constant(1 / temperature))
          const which = as(target, [count, 1], [1, 1], first)
          const logp = column(logps, first, count)
          const sums = column(lse, first, count)
          const left = column(entropy, first, count)
          const chosen = room([count, 1])
          aten.gather(chosen, logits, which)
          const all = room([count, vocab])
          aten.logSoftmax(all, logits)
          aten.gather(logp, all, which)
          // lse = z − log p of the target; entropy = −Σ p log p.
          copy(sums, chosen)
          aten.addcmul(sums, logp, aten.one, -1)
          aten.exp(logits, all)
          mul(all, all, logits)
          mul(left, as(aten.timesVector(all, ones, 2), [count, 1]), constant(-1))
        })
      })
    },
    headBackward: (out, dLogps, h, w, targets, lse, shape) => {
      const kernel = "headBackward"
      check.head(kernel, shape)
      const { cap, dim, rows, temperature, vocab } = shape
      const dH = output(kernel, "dH", out.dH, rows * dim)
      const dW = out.dW === null ? null : matrixOf(memory, output(kernel, "dW", out.dW, vocab * dim), vocab, dim)
      const gradient = real(kernel, "dLogps", dLogps, rows)
      const hidden = real(kernel, "h", h, rows * dim)
      const weight = matrixOf(memory, real(kernel, "w", w, vocab * dim), vocab, dim)
      const ids = int(kernel, "targets", targets, vocab, rows)
      const sums = real(kernel, "lse", lse, rows)
      run(kernel, [rows, dim, vocab], () => {
        const target = memory.index(ids)
        inBlocks(shape, (first, count, logits) => {
          const dZ = matrixAt(aten, logits, count, vocab)
          const input = matrixOf(memory, hidden, count, dim, first * dim)
          into(dZ, input, turn(weight), null)
          const slope = cap > 0 ? room([count, vocab]) : null
          if (slope !== null) {
            aten.softcap(logits, cap)
            copy(slope, logits)
            aten.oneLessSquare(slope, cap)
          }
          if (temperature !== 1) mul(logits, logits, constant(1 / temperature))
          // dZ = dLogp (1[target] − e^(z − lse)) / temperature
          const [up, down] = [room([count, 1]), room([count, 1])]
          mul(up, column(gradient, first, count), constant(1 / temperature))
          mul(down, up, constant(-1))
          aten.addcmul(logits, column(sums, first, count), aten.one, -1)
          aten.exp(logits, logits)
          mul(logits, logits, down)
          aten.scatterAdd(logits, as(target, [count, 1], [1, 1], first), up)
          if (slope !== null) mul(logits, logits, slope)
          into(matrixOf(memory, dH, count, dim, first * dim), dZ, weight, null)
          if (dW !== null) accumulate(dW, dZ, input)
        })
      })
    }
  }
}
