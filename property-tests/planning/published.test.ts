import { assert, describe, it } from "vitest"
import { devices } from "../../src/bench/devices.ts"
import { published, publishedNote, publishedRows } from "../../src/planning/cost/published.ts"
import { markdown } from "../../src/report/table.ts"
import { golden } from "../cli/keel.ts"

describe("what others published", () => {
  it("stands beside what is planned of it, with the error", () => {
    const rows = publishedRows((name) => devices[name])
    assert.lengthOf(rows, published.length + 1)
    golden("published.txt", `${markdown(rows)}\n\n${publishedNote}\n`)
  }, 60_000)
})
