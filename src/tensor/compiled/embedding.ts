import type { Backend } from "../backend.ts"
import { adding, type Compiled, moving } from "./compiled.ts"

/** Rows of a table by their number. */
export const embedding = (
  { check, int, integers, real, run }: Compiled
): Pick<Backend, "embed" | "embedBackward" | "gatherRows" | "scatterRows"> => {
  const gather = (kernel: string, from: string, which: string): Backend["embed"] => (out, table, ids, dim) => {
    const known = check.rowsOf(kernel, from, table, dim)
    run("gather_rows", moving * ids.length * dim, [
      real(kernel, "out", out, ids.length * dim),
      real(kernel, from, table),
      int(kernel, which, ids, known),
      ids.length,
      dim
    ])
  }

  return {
    embed: gather("embed", "table", "ids"),
    embedBackward: (dTable, dOut, ids, dim) => {
      const vocab = check.rowsOf("embedBackward", "dTable", dTable, dim)
      run("embed_backward", adding * ids.length * dim, [
        real("embedBackward", "dTable", dTable),
        real("embedBackward", "dOut", dOut, ids.length * dim),
        int("embedBackward", "ids", ids, vocab),
        ids.length,
        dim
      ])
    },
    gatherRows: gather("gatherRows", "x", "rows"),
    scatterRows: (out, x, rows, dim) => {
      const kernel = "scatterRows"
      const to = int(kernel, "rows", rows, check.rowsOf(kernel, "out", out, dim))
      check.distinct(kernel, integers(kernel, "rows", rows).values)
      const pointer = real(kernel, "out", out)
      const from = real(kernel, "x", x, rows.length * dim)
      run("zero", moving * out.length, [pointer, out.length])
      run("scatter_rows", moving * x.length, [pointer, from, to, rows.length, dim])
    }
  }
}
