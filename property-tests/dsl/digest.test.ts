import fc from "fast-check"
import { createHash } from "node:crypto"
import { assert, describe, it } from "vitest"
import { sha256 } from "../../dsl/Digest.ts"

const oracle = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex")

describe("sha256", () => {
  it("has the values of FIPS 180-4's examples", () => {
    assert.strictEqual(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert.strictEqual(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  })

  it("is node:crypto's on any text", () => {
    for (const unit of ["grapheme", "binary", "binary-ascii"] as const) {
      fc.assert(
        fc.property(fc.string({ unit, maxLength: 300 }), (text) => assert.strictEqual(sha256(text), oracle(text)))
      )
    }
    // Lone surrogates become U+FFFD in both.
    assert.strictEqual(sha256("\ud800x"), oracle("\ud800x"))
  })

  it("is node:crypto's at every length around the padding", () => {
    for (let n = 0; n <= 260; n++) assert.strictEqual(sha256("a".repeat(n)), oracle("a".repeat(n)))
    assert.strictEqual(sha256("é".repeat(1_000_000)), oracle("é".repeat(1_000_000)))
  })
})
