import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { parseJson } from "../../src/model/json.ts"

describe("parseJson", () => {
  it("gives back any value that was written, with any spacing", () => {
    // Keys that V8 confuses with each other, and any others.
    const key = fc.oneof(fc.constantFrom("\\", '"', "\n", "a\\", 'a"', "__proto__", "0"), fc.string())
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.uniqueArray(key, { maxLength: 5 }),
        fc.constantFrom("", " ", "\n\t"),
        (value, keys, space) => {
          const whole = { value, keys: keys.map((name) => [name]) }
          assert.deepEqual(parseJson(JSON.stringify(whole, null, space)), JSON.parse(JSON.stringify(whole)))
          const text = `{${keys.map((name, i) => `${JSON.stringify(name)}:${i}`).join(",")}}`
          const read = new Map(
            Object.entries(parseJson(text, () => assert.fail("no key is repeated")) as Record<string, unknown>)
          )
          assert.deepEqual([...read.keys()].sort(), [...keys].sort())
          keys.forEach((name, i) => assert.strictEqual(read.get(name), i))
        }
      ),
      { numRuns: 300 }
    )
  })

  it("hears of keys written twice, however they are escaped", () => {
    const heard: Array<string> = []
    assert.deepEqual(parseJson('{"a":1,"\\u0061":{"b":[{}],"b":2}}', (key) => heard.push(key)), { a: { b: 2 } })
    assert.deepEqual(heard, ["a", "b"])
  })

  it("throws on what is not JSON", () => {
    for (const text of ["", "{", '{"a\\"}', "[1,]", '"\\x"', '{"\\\\":}']) {
      assert.throws(() => parseJson(text), SyntaxError)
    }
  })
})
