import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { passAtK } from "../../src/evaluation/passAtK.ts"

/** The share of the subsets of k of n completions, the first `passed` of which passed, with at least one that passed. */
const enumerated = (n: number, passed: number, k: number): number => {
  let [all, some] = [0, 0]
  for (let subset = 0; subset < 2 ** n; subset++) {
    const members = Array.from({ length: n }, (_, i) => i).filter((i) => (subset & (1 << i)) !== 0)
    if (members.length !== k) continue
    all++
    if (members.some((i) => i < passed)) some++
  }
  return some / all
}

const counts = fc.integer({ min: 1, max: 9 }).chain((n) =>
  fc.record({ n: fc.constant(n), passed: fc.nat({ max: n }), k: fc.integer({ min: 1, max: n }) })
)

describe("pass@k", () => {
  it("is the share of subsets that pass", () => {
    fc.assert(fc.property(counts, ({ k, n, passed }) => {
      assert.closeTo(passAtK(n, passed, k), enumerated(n, passed, k), 1e-12)
    }))
  })

  it("is unbiased: over n completions that each pass with chance p, its mean is 1 − (1 − p)^k", () => {
    const choose = (n: number, c: number): number => c === 0 ? 1 : choose(n, c - 1) * (n - c + 1) / c
    fc.assert(fc.property(counts, fc.double({ min: 0, max: 1, noNaN: true }), ({ k, n }, p) => {
      let mean = 0
      for (let c = 0; c <= n; c++) mean += choose(n, c) * p ** c * (1 - p) ** (n - c) * passAtK(n, c, k)
      assert.closeTo(mean, 1 - (1 - p) ** k, 1e-12)
    }))
  })

  it("rises in k and in what passed, and stays in [0, 1] where binomials overflow", () => {
    fc.assert(fc.property(
      fc.integer({ min: 2, max: 100_000 }).chain((n) =>
        fc.record({ n: fc.constant(n), passed: fc.nat({ max: n - 1 }), k: fc.integer({ min: 1, max: n - 1 }) })
      ),
      ({ k, n, passed }) => {
        const at = passAtK(n, passed, k)
        assert.isTrue(at >= 0 && at <= 1)
        assert.isAtMost(at, passAtK(n, passed, k + 1) + 1e-12)
        assert.isAtMost(at, passAtK(n, passed + 1, k) + 1e-12)
      }
    ))
  })
})
