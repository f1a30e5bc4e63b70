import type { Tensor } from "../../tensor/backend.ts"
import type { Divergence, Policy } from "../engine.ts"
import type { OpenedModel } from "./openModel.ts"
import type { HeadPasses } from "./passes.ts"
import type { Workspace } from "./workspace.ts"

/** Logits of either model that exist at once: 4 MiB of float32, and never fewer than 1 row. */
const blockLogits = 2 ** 20

const isTransformer = (policy: Policy): policy is Policy & { readonly opened: OpenedModel } => "opened" in policy

/** Reads neither distribution, so that a plan, which has no numbers, does not normalise any. */
export const noDivergence: Divergence = () => 0

/** Logits to log-probabilities, in double precision and in place. */
const normalize = (logits: Float64Array): Float64Array => {
  // By index: an iterator takes twice the time.
  const { length } = logits
  let max = -Infinity
  for (let v = 0; v < length; v++) max = Math.max(max, logits[v]!)
  let sum = 0
  for (let v = 0; v < length; v++) sum += Math.exp(logits[v]! - max)
  const lse = max + Math.log(sum)
  for (let v = 0; v < length; v++) logits[v]! -= lse
  return logits
}

/**
 * Reads a student's hidden states through a divergence from its teacher. The logits of a block of rows are products of the
 * backend; the softmaxes and the divergence are computed on the host in double precision, row by row, so any pure function of two
 * distributions serves. For each micro-batch the teacher runs once without gradient, and only its hidden states [outputs, d] stay.
 */
export const divergent = ({ backend, config, trainable }: OpenedModel, of: Policy, divergence: Divergence) => {
  if (!isTransformer(of)) throw new Error("The teacher is not a transformer: teacher and student share an engine.")
  const teacher = of.opened
  const { dim, vocab } = config
  if (teacher.trainable === trainable) throw new Error("A policy cannot be its own teacher: open it separately.")
  if (teacher.config.vocab !== vocab) {
    throw new Error(
      `The teacher's vocabulary has ${teacher.config.vocab} tokens, the student's ${vocab}: they must be equal.`
    )
  }
  const teacherDim = teacher.config.dim
  const size = Math.max(1, Math.floor(blockLogits / vocab))
  const [student, target] = [new Float64Array(vocab), new Float64Array(vocab)]

  return (into: Float64Array | null, dValues: Float64Array | null): HeadPasses => {
    /** Calls `each` with every row of a micro-batch, in blocks; then `after` with the student's logits and states of the block. */
    const inBlocks = (
      hidden: Tensor,
      teacherHidden: Tensor,
      rows: number,
      space: Workspace,
      each: (row: number, inBlock: number, logits: ArrayLike<number>) => void,
      after: (own: Tensor, states: Tensor, first: number, count: number) => void
    ): void => {
      const block = Math.min(rows, size) * vocab
      const logits = { student: space.reals("logits", block), teacher: space.reals("teacherLogits", block) }
      for (let first = 0; first < rows; first += size) {
        const count = Math.min(size, rows - first)
        const own = backend.slice(logits.student, 0, count * vocab)
        const theirs = backend.slice(logits.teacher, 0, count * vocab)
        const states = backend.slice(hidden, first * dim, count * dim)
        const teacherStates = backend.slice(teacherHidden, first * teacherDim, count * teacherDim)
        backend.linear(own, states, trainable.parameters.head, null, count, dim, vocab)
        teacher.backend.linear(theirs, teacherStates, teacher.trainable.parameters.head, null, count, teacherDim, vocab)
        if (config.logitCap > 0) backend.softcap(own, config.logitCap)
        if (teacher.config.logitCap > 0) teacher.backend.softcap(theirs, teacher.config.logitCap)
        if (divergence !== noDivergence) {
          const [a, b] = [backend.read(own), backend.read(theirs)]
          for (let i = 0; i < count; i++) {
            const logits = a.subarray(i * vocab, (i + 1) * vocab)
            student.set(logits)
            target.set(b.subarray(i * vocab, (i + 1) * vocab))
            normalize(student)
            normalize(target)
            each(first + i, i, logits)
          }
        }
        after(own, states, first, count)
      }
    }

    return {
      forward: (hidden, packed, space) => {
        const rows = packed.outputs.length
        const kept = space.reals("teacherHidden", rows * teacherDim)
        backend.copy(kept, teacher.passes.hidden(packed))
        if (into === null) return
        inBlocks(hidden, kept, rows, space, (row) => {
          into[packed.first + row] = divergence(student, target, null)
        }, () => {})
      },
      backward: (dHidden, hidden, packed, space) => {
        const rows = packed.outputs.length
        const kept = space.reals("teacherHidden", rows * teacherDim)
        const gradient = new Float64Array(vocab)
        const dLogits = new Float64Array(Math.min(rows, size) * vocab)
        inBlocks(hidden, kept, rows, space, (row, inBlock, logits) => {
          divergence(student, target, gradient)
          const scale = dValues![packed.first + row]!
          for (let v = 0; v < vocab; v++) {
            const slope = config.logitCap > 0 ? 1 - (logits[v]! / config.logitCap) ** 2 : 1
            dLogits[inBlock * vocab + v] = scale * slope * gradient[v]!
          }
        }, (dOut, states, first, count) => {
          backend.write(dOut, dLogits.subarray(0, count * vocab))
          const { gradients, parameters } = trainable
          const dX = backend.slice(dHidden, first * dim, count * dim)
          const sums = { dX, accumulate: false, dW: gradients().head, dBias: null }
          backend.linearBackward(sums, dOut, states, parameters.head, count, dim, vocab)
        })
      }
    }
  }
}
