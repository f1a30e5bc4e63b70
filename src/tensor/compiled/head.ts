import type { Backend, HeadShape } from "../backend.ts"
import { type Compiled, exponential } from "./compiled.ts"
import type { Block } from "./machine.ts"
import type { Products } from "./linear.ts"

/** Logits that exist at once in the head: 2 MiB, and never fewer than 64 rows. */
const headLogits = 2 ** 19

/** The vocabulary: log-probabilities, their gradient, and the choice of tokens. */
export const head = (
  { check, int, machine, real, run }: Compiled,
  { inputGradient, product, weightGradient }: Products
): Pick<Backend, "head" | "headBackward" | "sample"> => {
  /** Room for logits, kept: a block of this size costs more to get from the system than to fill. */
  let room: Block = { pointer: 0, bytes: 0 }

  /** Logits of a block of rows. */
  const logitsInto = (
    to: number,
    hidden: number,
    weight: number,
    count: number,
    { cap, dim, vocab }: HeadShape
  ): void => {
    product("linear", to, hidden, weight, 0, 0, count, dim, vocab)
    if (cap > 0) run("softcap", exponential * count * vocab, [to, count * vocab, cap, 1 / cap])
  }

  /** Calls `each` with blocks of rows and the address of room for their logits. */
  const inBlocks = ({ rows, vocab }: HeadShape, each: (logits: number, first: number, count: number) => void): void => {
    const block = Math.min(rows, Math.max(64, Math.floor(headLogits / vocab)))
    if (room.bytes < 4 * block * vocab) {
      if (room.bytes > 0) machine.free(room)
      room = machine.allocate(4 * block * vocab)
    }
    for (let first = 0; first < rows; first += block) each(room.pointer, first, Math.min(block, rows - first))
  }

  return {
    head: (out, h, w, targets, shape) => {
      check.head("head", shape)
      const { dim, rows, temperature, vocab } = shape
      const logps = real("head", "logps", out.logps, rows)
      const lse = real("head", "lse", out.lse, rows)
      const entropy = real("head", "entropy", out.entropy, rows)
      const hidden = real("head", "h", h, rows * dim)
      const weight = real("head", "w", w, vocab * dim)
      const ids = int("head", "targets", targets, vocab, rows)
      inBlocks(shape, (logits, first, count) => {
        const at = 4 * first
        logitsInto(logits, hidden + at * dim, weight, count, shape)
        run("head_rows", exponential * count * vocab, [
          logps + at,
          lse + at,
          entropy + at,
          logits,
          ids + at,
          count,
          vocab,
          1 / temperature
        ])
      })
    },
    headBackward: (out, dLogps, h, w, targets, lse, shape) => {
      const kernel = "headBackward"
      check.head(kernel, shape)
      const { cap, dim, rows, temperature, vocab } = shape
      const dH = real(kernel, "dH", out.dH, rows * dim)
      const dW = out.dW === null ? 0 : real(kernel, "dW", out.dW, vocab * dim)
      const gradient = real(kernel, "dLogps", dLogps, rows)
      const hidden = real(kernel, "h", h, rows * dim)
      const weight = real(kernel, "w", w, vocab * dim)
      const ids = int(kernel, "targets", targets, vocab, rows)
      const sums = real(kernel, "lse", lse, rows)
      inBlocks(shape, (logits, first, count) => {
        const at = 4 * first
        logitsInto(logits, hidden + at * dim, weight, count, shape)
        run("head_rows_backward", exponential * count * vocab, [
          logits,
          gradient + at,
          ids + at,
          sums + at,
          count,
          vocab,
          1 / temperature,
          cap > 0 ? 1 / cap : 0
        ])
        inputGradient(dH + at * dim, logits, weight, false, count, dim, vocab)
        if (dW !== 0) weightGradient(dW, logits, hidden + at * dim, count, dim, vocab)
      })
    },

    sample: (out, logits, uniforms, shape) => {
      const kernel = "sample"
      check.sample(shape)
      const { rows, temperature, vocab } = shape
      machine.reserve(machine.ask("sample_rows_scratch", vocab))
      run("sample_rows", exponential * rows * vocab, [
        real(kernel, "tokens", out.tokens, rows),
        real(kernel, "logps", out.logps, rows),
        real(kernel, "logits", logits, rows * vocab),
        real(kernel, "uniforms", uniforms, 2 * rows),
        rows,
        vocab,
        temperature
      ])
    }
  }
}
