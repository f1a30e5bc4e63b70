import type { Backend } from "../backend.ts"
import type { Aten } from "./aten.ts"
import type { Memory } from "./memory.ts"

/** Rows of a table by their number. */
export const embedding = (
  aten: Aten,
  memory: Memory
): Pick<Backend, "embed" | "embedBackward" | "gatherRows" | "scatterRows"> => {
  const { add, indexCopy, room, run, select } = aten
  const { check, index, int, output, real, upload, values, view } = memory
  const gather = (kernel: string, from: string, which: string): Backend["embed"] => (out, table, ids, dim) => {
    const known = check.rowsOf(kernel, from, table, dim)
    const to = view(output(kernel, "out", out, ids.length * dim), [ids.length, dim])
    const rows = view(real(kernel, from, table), [known, dim])
    const chosen = int(kernel, which, ids, known)
    run(kernel, [ids.length, dim], () => select(to, rows, index(chosen)))
  }

  return {
    embed: gather("embed", "table", "ids"),
    gatherRows: gather("gatherRows", "x", "rows"),
    embedBackward: (dTable, dOut, ids, dim) => {
      const kernel = "embedBackward"
      const vocab = check.rowsOf(kernel, "dTable", dTable, dim)
      const to = view(output(kernel, "dTable", dTable), [vocab, dim])
      const from = view(real(kernel, "dOut", dOut, ids.length * dim), [ids.length, dim])
      const which = int(kernel, "ids", ids, vocab)
      run(kernel, [ids.length, dim, vocab], () => {
        // Only the rows that occur, each summed in a fixed order: the same bits every time, and no second table.
        const [distinct, place] = memory.derived(which, "distinct", () => {
          const of = new Map<number, number>()
          const places = BigInt64Array.from(values(which), (id) => {
            if (!of.has(id)) of.set(id, of.size)
            return BigInt(of.get(id)!)
          })
          return [upload(BigInt64Array.from(of.keys(), BigInt), [of.size]), upload(places, [places.length])]
        })
        const count = new Set(values(which)).size
        const sums = aten.embeddingBackward(from, place!, count)
        const old = room([count, dim])
        select(old, to, distinct!)
        add(old, sums)
        indexCopy(to, distinct!, old)
      })
    },
    scatterRows: (out, x, rows, dim) => {
      const kernel = "scatterRows"
      const all = check.rowsOf(kernel, "out", out, dim)
      const which = int(kernel, "rows", rows, all)
      check.distinct(kernel, values(which))
      const to = view(output(kernel, "out", out), [all, dim])
      const from = view(real(kernel, "x", x, rows.length * dim), [rows.length, dim])
      run(kernel, [rows.length, dim, all], () => {
        aten.zero(to)
        indexCopy(to, index(which), from)
      })
    }
  }
}
