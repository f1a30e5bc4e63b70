import type { Backend, Ints } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { T, Tfjs } from "./pieces.ts"

export const embedding = (
  tf: Tfjs,
  { accumulate, check, derived, int, kernel, real, room, set }: Memory
): Pick<Backend, "embed" | "embedBackward" | "gatherRows" | "scatterRows"> => {
  /** The rows named by `ints` as indices [n, 1]; GatherNd takes them as they are, where GatherV2 of tfjs-node reads them back. */
  const column = (name: string, of: string, ints: Ints, below: number): T => {
    const buffer = int(name, of, ints, below)
    return derived(buffer, "column", [], (own) => own(tf.tensor2d(buffer.values.slice(), [buffer.length, 1], "int32")))
  }
  const gather = (name: string, from: string, which: string): Backend["embed"] => (out, table, ids, dim) =>
    kernel(() => {
      const count = check.rowsOf(name, from, table, dim)
      const to = room(name, "out", out, ids.length * dim)
      const indices = column(name, which, ids, count)
      set(to, tf.gatherND(real(name, from, table, [count, dim]), indices))
    })
  return {
    embed: gather("embed", "table", "ids"),
    gatherRows: gather("gatherRows", "x", "rows"),
    embedBackward: (dTable, dOut, ids, dim) =>
      kernel(() => {
        const vocab = check.rowsOf("embedBackward", "dTable", dTable, dim)
        const indices = column("embedBackward", "ids", ids, vocab)
        const gradient = real("embedBackward", "dOut", dOut, [ids.length, dim])
        // ScatterND adds up the updates of a row.
        accumulate(room("embedBackward", "dTable", dTable), tf.scatterND(indices, gradient, [vocab, dim]))
      }),
    scatterRows: (out, x, rows, dim) =>
      kernel(() => {
        const count = check.rowsOf("scatterRows", "out", out, dim)
        const indices = column("scatterRows", "rows", rows, count)
        const from = real("scatterRows", "x", x, [rows.length, dim])
        set(room("scatterRows", "out", out), tf.scatterND(indices, from, [count, dim]))
      })
  }
}
