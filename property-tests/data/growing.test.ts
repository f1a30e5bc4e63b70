import fc from "fast-check"
import { existsSync, readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { assert, describe, it } from "vitest"
import { growing } from "../../src/data/growing.ts"
import { placeIn } from "../../src/data/places.ts"

describe("an array that grows", () => {
  it("has the same values in memory and on disk, in any order, more than once, with their places", () =>
    fc.assert(
      fc.property(
        fc.array(fc.record({ text: fc.string({ unit: "grapheme" }), ids: fc.int32Array(), score: fc.double() }), {
          maxLength: 40
        }),
        fc.nat(3000),
        fc.array(fc.nat(100)),
        (values, most, order) => {
          const rows = growing<(typeof values)[number]>(most)
          values.forEach((value, i) => rows.push(value, value.text.length, { path: "a.jsonl", line: i + 1 }))
          const all = rows.all()
          assert.strictEqual(all.length, values.length)
          assert.deepStrictEqual([...all], values)
          assert.deepStrictEqual(all.map(({ score }) => score), values.map(({ score }) => score))
          for (const i of order) {
            const at = i % Math.max(1, values.length)
            assert.deepStrictEqual(all[at], values[at])
            if (values.length > 0) assert.deepStrictEqual(placeIn(all[at]!), { path: "a.jsonl", line: at + 1 })
          }
          assert.isUndefined(all[values.length])
        }
      )
    ))

  it("leaves no file behind, not even while it is there", () => {
    const left = () =>
      [tmpdir(), "/var/tmp"].map((folder) => existsSync(folder) ? readdirSync(folder) : []).flat()
        .filter((name) => name.startsWith("keel-rows-"))
    const before = left()
    const rows = growing<{ readonly n: number }>(0)
    for (let n = 0; n < 10; n++) rows.push({ n }, 1)
    assert.deepStrictEqual(rows.all()[7], { n: 7 })
    assert.deepStrictEqual(left(), before)
  })
})
