import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { beforeStop, stopsAt } from "../../src/sampling/stopTexts.ts"

const pieces = ["a", " b", "bc", " ", "c a", ".", "Q:"]
/** As sentencepiece: a space in front of the first token is dropped. */
const decode = (ids: Int32Array): string => Array.from(ids, (id) => pieces[id]!).join("").replace(/^ /u, "")

const texts = fc.array(fc.constantFrom("ab", "b b", "ca", " a", "Q:", ".", "aaa"), { minLength: 1, maxLength: 3 })
const tokens = fc.array(fc.nat({ max: pieces.length - 1 }), { minLength: 1, maxLength: 20 })

describe("stop texts", () => {
  it("end a completion with the token that completes the first of them, and are no part of it", () => {
    fc.assert(
      fc.property(texts, tokens, (stop, ids) => {
        const ends = stopsAt(stop, decode)
        const at = ids.findIndex((_, i) => ends(Int32Array.from(ids.slice(0, i + 1))))
        const first = ids.findIndex((_, i) =>
          stop.some((text) => decode(Int32Array.from(ids.slice(0, i + 1))).includes(text))
        )
        assert.strictEqual(at, first)
        const whole = decode(Int32Array.from(ids))
        const ended = beforeStop(stop, at < 0 ? whole : decode(Int32Array.from(ids.slice(0, at + 1))))
        assert.isFalse(stop.some((text) => ended.includes(text)))
        assert.isTrue(whole.startsWith(ended))
        // Ended early or cut afterwards, the text is the same.
        if (at < 0) assert.strictEqual(ended, whole)
      }),
      { numRuns: 500 }
    )
  })
})
