import type { Backend, Ints, Tensor } from "../backend.ts"
import type { Aten } from "./aten.ts"
import type { Memory } from "./memory.ts"

/** Rows of a table by their number. */
export const embedding = (
  aten: Aten,
  memory: Memory
): Pick<Backend, "embed" | "embedBackward" | "gatherRows" | "scatterRows"> => {
  const { add, indexCopy, room, run, select } = aten
  const { index, int, output, real, upload, values, view } = memory
  const rowsOf = (kernel: string, name: string, of: Tensor, dim: number): number => {
    if (!(dim > 0) || of.length % dim !== 0) {
      memory.fail(kernel, `${name} has length ${of.length}, expected a multiple of ${dim}`)
    }
    return of.length / dim
  }
  const gather = (
    kernel: string,
    [outName, out]: readonly [string, Tensor],
    [name, table]: readonly [string, Tensor],
    [idsName, ids]: readonly [string, Ints],
    dim: number
  ): void => {
    const known = rowsOf(kernel, name, table, dim)
    const to = view(output(kernel, outName, out, ids.length * dim), [ids.length, dim])
    const from = view(real(kernel, name, table), [known, dim])
    const which = int(kernel, idsName, ids, known)
    run(kernel, [ids.length, dim], () => select(to, from, index(which)))
  }

  return {
    embed: (out, table, ids, dim) => gather("embed", ["out", out], ["table", table], ["ids", ids], dim),
    gatherRows: (out, x, rows, dim) => gather("gatherRows", ["out", out], ["x", x], ["rows", rows], dim),
    embedBackward: (dTable, dOut, ids, dim) => {
      const kernel = "embedBackward"
      const vocab = rowsOf(kernel, "dTable", dTable, dim)
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
      const all = rowsOf(kernel, "out", out, dim)
      const which = int(kernel, "rows", rows, all)
      if (new Set(values(which)).size !== rows.length) memory.fail(kernel, "rows are not distinct")
      const to = view(output(kernel, "out", out), [all, dim])
      const from = view(real(kernel, "x", x, rows.length * dim), [rows.length, dim])
      run(kernel, [rows.length, dim, all], () => {
        aten.zero(to)
        indexCopy(to, index(which), from)
      })
    }
  }
}
