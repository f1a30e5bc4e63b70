import { assert, describe, it } from "vitest"
import { devices } from "../../src/bench/devices.ts"
import {
  knownError,
  published,
  publishedErrors,
  publishedNote,
  publishedRows
} from "../../src/planning/cost/published.ts"
import { markdown } from "../../src/report/table.ts"
import { golden } from "../cli/keel.ts"

describe("what others published", () => {
  it("stands beside what is planned of it, with the error", () => {
    const rows = publishedRows((name) => devices[name])
    assert.lengthOf(rows, published.length + 1)
    // Plans for devices print these.
    const range = (column: number): ReadonlyArray<number> => {
      const errors = rows.slice(1).map((row) => Number(row[column]!.replace("−", "-").replace("%", "")))
      return [Math.min(...errors), Math.max(...errors)]
    }
    assert.deepStrictEqual<unknown>({ rate: range(5), peak: range(8) }, publishedErrors)
    assert.match(knownError, /^Of 7 published training steps, .* −64 % to \+196 % .* −66 % to \+543 %/u)
    golden("published.txt", `${markdown(rows)}\n\n${publishedNote}\n`)
  }, 60_000)
})
