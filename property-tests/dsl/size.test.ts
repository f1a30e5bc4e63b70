import fc from "fast-check"
import { assert, it } from "vitest"
import { size, sizes } from "../../dsl/Size.ts"

const units = ["B", "KiB", "MiB", "GiB", "TiB"]

it("a size for people is in the largest unit of which there is one, and no further from the bytes than half a tenth of it", () => {
  const anywhere = fc.tuple(fc.double({ min: 0, max: 52, noNaN: true }), fc.integer({ min: -2, max: 2 }))
    .map(([log, more]) => Math.max(0, Math.round(2 ** log) + more))
  const edges = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: -100, max: 100 }))
    .map(([k, more]) => 1024 ** k + more)
  fc.assert(
    fc.property(fc.oneof(anywhere, edges), (bytes) => {
      const [, n, unit] = /^(\d+(?:\.\d)?) (\w+)$/u.exec(size(bytes)) ?? []
      const k = units.indexOf(unit!)
      assert.isAtLeast(k, 0, size(bytes))
      assert.isAtMost(Math.abs(Number(n) * 1024 ** k - bytes), k === 0 ? 0 : 0.05001 * 1024 ** k)
      assert.isTrue(Number(n) < 1024 || unit === "TiB", size(bytes))
      assert.isTrue(Number(n) >= 1 || k === 0, size(bytes))
    }),
    { numRuns: 1000 }
  )
})

it("two sizes that differ are written apart, with a tenth where that suffices", () => {
  assert.deepStrictEqual(sizes(3 * 2 ** 20, 3 * 2 ** 20 + 9000), ["3.00 MiB", "3.01 MiB"])
  fc.assert(
    fc.property(fc.nat(2 ** 40), fc.integer({ min: -2000, max: 2000 }), (a, by) => {
      const b = Math.max(0, a + by)
      const [one, other] = sizes(a, b)
      assert.strictEqual(one === other, a === b)
      if (size(a) !== size(b)) assert.deepStrictEqual([one, other], [size(a), size(b)])
    })
  )
})
