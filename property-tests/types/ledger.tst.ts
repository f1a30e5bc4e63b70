/** A bound, a cap and a measurement are three types: nothing but bounds can be added, and only to bounds of their own kind. */
import { describe, expect, test } from "tstyche"
import * as Bounds from "../../src/ledger/bounds.ts"
import * as Renyi from "../../src/ledger/renyi.ts"
import * as Variation from "../../src/ledger/variation.ts"
import type { LedgerCap, LedgerMeasurement } from "../../src/report/ledger.ts"

declare const [bound, cap, measured]: [Bounds.Bound, LedgerCap, LedgerMeasurement]
declare const [renyi, variation]: [Renyi.RenyiBound, Variation.VariationBound]

describe("what the ledger holds", () => {
  test("bounds on D∞ add, of whatever step", () => {
    expect(Bounds.chain).type.toBeCallableWith(bound, Bounds.bestOfN(8), Bounds.tilt(1, 0.1))
    expect(Renyi.chain).type.toBeCallableWith(renyi, null)
    expect(Variation.chain).type.toBeCallableWith(variation, Variation.fromKl(0.3))
  })

  test("a cap, a measurement and a plain number add to none of them", () => {
    for (const add of [Bounds.chain, Bounds.either]) {
      expect(add).type.not.toBeCallableWith(bound, cap)
      expect(add).type.not.toBeCallableWith(bound, measured)
      expect(add).type.not.toBeCallableWith(bound, 0.5)
    }
    expect(Renyi.chain).type.not.toBeCallableWith(renyi, measured)
    expect(Variation.chain).type.not.toBeCallableWith(variation, measured)
    expect(Variation.chain).type.not.toBeCallableWith(variation, cap)
  })

  test("nor does one kind of bound to another", () => {
    expect(Bounds.chain).type.not.toBeCallableWith(bound, variation)
    expect(Bounds.chain).type.not.toBeCallableWith(bound, renyi)
    expect(Renyi.chain).type.not.toBeCallableWith(renyi, bound)
    expect(Variation.chain).type.not.toBeCallableWith(variation, bound)
  })

  test("by no operator", () => {
    // @ts-expect-error Operator '+' cannot be applied to types 'Bound' and 'LedgerCap'
    void (bound + cap)
    // @ts-expect-error Operator '+' cannot be applied to types 'Bound' and 'LedgerMeasurement'
    void (bound + measured)
    // @ts-expect-error Operator '+' cannot be applied to types 'LedgerCap' and 'LedgerMeasurement'
    void (cap + measured)
    // @ts-expect-error Operator '+' cannot be applied to types 'RenyiBound' and 'VariationBound'
    void (renyi + variation)
  })

  test("and none stands where another is wanted", () => {
    expect<Bounds.Bound>().type.not.toBeAssignableFrom<LedgerCap>()
    expect<LedgerCap>().type.not.toBeAssignableFrom<Bounds.Bound>()
    expect<Bounds.Bound>().type.not.toBeAssignableFrom<LedgerMeasurement>()
    expect<LedgerCap>().type.not.toBeAssignableFrom<LedgerMeasurement>()
  })
})
