import type { Backend, Ints, Tensor } from "../backend.ts"
import type { Compiled } from "./compiled.ts"
import { adding, moving } from "./compiled.ts"

/** Rows of a table by their number. */
export const embedding = (
  { int, integers, need, real, rowsOf, run }: Compiled
): Pick<Backend, "embed" | "embedBackward" | "gatherRows" | "scatterRows"> => {
  const gather = (
    kernel: string,
    out: Tensor,
    table: Tensor,
    name: string,
    ids: Ints,
    idsName: string,
    dim: number
  ) => {
    const known = rowsOf(kernel, name, table, dim)
    run("gather_rows", moving * ids.length * dim, [
      real(kernel, "out", out, ids.length * dim),
      real(kernel, name, table),
      int(kernel, idsName, ids, known),
      ids.length,
      dim
    ])
  }

  return {
    embed: (out, table, ids, dim) => gather("embed", out, table, "table", ids, "ids", dim),
    embedBackward: (dTable, dOut, ids, dim) => {
      const vocab = rowsOf("embedBackward", "dTable", dTable, dim)
      run("embed_backward", adding * ids.length * dim, [
        real("embedBackward", "dTable", dTable),
        real("embedBackward", "dOut", dOut, ids.length * dim),
        int("embedBackward", "ids", ids, vocab),
        ids.length,
        dim
      ])
    },
    gatherRows: (out, x, rows, dim) => gather("gatherRows", out, x, "x", rows, "rows", dim),
    scatterRows: (out, x, rows, dim) => {
      const kernel = "scatterRows"
      const to = int(kernel, "rows", rows, rowsOf(kernel, "out", out, dim))
      need(new Set(integers(kernel, "rows", rows).values).size === rows.length, kernel, () => "rows are not distinct")
      const pointer = real(kernel, "out", out)
      const from = real(kernel, "x", x, rows.length * dim)
      run("zero", moving * out.length, [pointer, out.length])
      run("scatter_rows", moving * x.length, [pointer, from, to, rows.length, dim])
    }
  }
}
