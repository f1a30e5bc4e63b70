import type { Backend, Ints, Tensor } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

export const embedding = (
  tf: Tfjs,
  { accumulate, derived, fail, int, kernel, real, room, set }: Memory
): Pick<Backend, "embed" | "embedBackward" | "gatherRows" | "scatterRows"> => {
  const rowsOf = (name: string, of: string, tensor: Tensor, dim: number): number => {
    if (!(dim > 0) || tensor.length % dim !== 0) {
      fail(name, `${of} has length ${tensor.length}, expected a multiple of ${dim}`)
    }
    return tensor.length / dim
  }
  /** The rows named by `ints` as indices [n, 1]; GatherNd takes them as they are, where GatherV2 of tfjs-node reads them back. */
  const column = (name: string, of: string, ints: Ints, below: number): T => {
    const buffer = int(name, of, ints, below)
    return derived(buffer, "column", [], (own) => own(tf.tensor2d(buffer.values.slice(), [buffer.length, 1], "int32")))
  }
  const gather = (name: string, from: string, which: string, out: Tensor, x: Tensor, rows: Ints, dim: number): void => {
    const count = rowsOf(name, from, x, dim)
    const to = room(name, "out", out, rows.length * dim)
    const indices = column(name, which, rows, count)
    set(to, tf.gatherND(real(name, from, x, [count, dim]), indices))
  }
  return {
    embed: (out, table, ids, dim) => kernel(() => gather("embed", "table", "ids", out, table, ids, dim)),
    gatherRows: (out, x, rows, dim) => kernel(() => gather("gatherRows", "x", "rows", out, x, rows, dim)),
    embedBackward: (dTable, dOut, ids, dim) =>
      kernel(() => {
        const vocab = rowsOf("embedBackward", "dTable", dTable, dim)
        const indices = column("embedBackward", "ids", ids, vocab)
        const gradient = real("embedBackward", "dOut", dOut, [ids.length, dim])
        // ScatterND adds up the updates of a row.
        accumulate(room("embedBackward", "dTable", dTable), tf.scatterND(indices, gradient, [vocab, dim]))
      }),
    scatterRows: (out, x, rows, dim) =>
      kernel(() => {
        const count = rowsOf("scatterRows", "out", out, dim)
        const indices = column("scatterRows", "rows", rows, count)
        const from = real("scatterRows", "x", x, [rows.length, dim])
        set(room("scatterRows", "out", out), tf.scatterND(indices, from, [count, dim]))
      })
  }
}
