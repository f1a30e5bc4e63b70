import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { canonical, settled } from "../../dsl/Canonical.ts"

/** JSON values with awkward keys, without −0, which JSON writes as 0. */
const json = fc.jsonValue({ stringUnit: "binary" }).map((value) => JSON.parse(JSON.stringify(value)))

const reversed = (value: any): any =>
  Array.isArray(value) ?
    value.map(reversed)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).toReversed().map(([key, inner]) => [key, reversed(inner)]))
    : value

describe("canonical", () => {
  it("is JSON of the same value", () => {
    fc.assert(fc.property(json, (value) => assert.deepStrictEqual(JSON.parse(canonical(value)), value)))
  })

  it("does not depend on the order of keys, and has no white space outside strings", () => {
    fc.assert(fc.property(json, (value) => assert.strictEqual(canonical(reversed(value)), canonical(value))))
    assert.strictEqual(canonical({ b: [1, { d: null, c: "x y" }], a: true }), '{"a":true,"b":[1,{"c":"x y","d":null}]}')
  })

  it("sorts keys by UTF-16 code unit, as RFC 8785 §3.2.3 does", () => {
    const keys = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7 }
    assert.deepStrictEqual(
      canonical(keys).match(/\d(?=[,}])/g),
      ["2", "4", "6", "7", "1", "5", "3"]
    )
  })

  it("tells different values apart", () => {
    fc.assert(
      fc.property(json, json, (a, b) => {
        let same = true
        try {
          assert.deepStrictEqual(a, b)
        } catch {
          same = false
        }
        assert.strictEqual(canonical(a) === canonical(b), same)
      })
    )
    assert.notStrictEqual(canonical([1, 2]), canonical([12]))
    assert.notStrictEqual(canonical("\ud800"), canonical("\ufffd"))
  })
})

describe("settled", () => {
  it("is the same value in canonical order, frozen throughout", () => {
    const frozen = (value: unknown): boolean =>
      typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen))
    fc.assert(
      fc.property(json, (value) => {
        const own = settled(value)
        assert.deepStrictEqual(own, value)
        assert.isTrue(frozen(own))
        assert.strictEqual(JSON.stringify(own), JSON.stringify(settled(reversed(value))))
      })
    )
  })
})
