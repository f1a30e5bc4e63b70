/** Sums and comparisons of number literals in the type system. */
import { describe, expect, test } from "tstyche"
import type { Add, Exceeding, LessOrEqual } from "../../dsl/Arithmetic.ts"

describe("Add", () => {
  test("without and with carries, of different lengths", () => {
    expect<Add<0, 0>>().type.toBe<0>()
    expect<Add<0, 7>>().type.toBe<7>()
    expect<Add<4, 5>>().type.toBe<9>()
    expect<Add<5, 5>>().type.toBe<10>()
    expect<Add<9, 9>>().type.toBe<18>()
    expect<Add<99, 1>>().type.toBe<100>()
    expect<Add<1, 999>>().type.toBe<1000>()
    expect<Add<909, 191>>().type.toBe<1100>()
    expect<Add<6000, 3500>>().type.toBe<9500>()
    expect<Add<123456789, 987654321>>().type.toBe<1111111110>()
    expect<Add<9007199254740990, 1>>().type.toBe<9007199254740991>()
    expect<Add<1000000, 25>>().type.toBe<1000025>()
  })

  test("every pair of digits", () => {
    type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9
    type Table = { [A in Digit]: { [B in Digit]: Add<A, B> } }
    expect<Table[0]>().type.toBe<{ 0: 0; 1: 1; 2: 2; 3: 3; 4: 4; 5: 5; 6: 6; 7: 7; 8: 8; 9: 9 }>()
    expect<Table[1]>().type.toBe<{ 0: 1; 1: 2; 2: 3; 3: 4; 4: 5; 5: 6; 6: 7; 7: 8; 8: 9; 9: 10 }>()
    expect<Table[2]>().type.toBe<{ 0: 2; 1: 3; 2: 4; 3: 5; 4: 6; 5: 7; 6: 8; 7: 9; 8: 10; 9: 11 }>()
    expect<Table[3]>().type.toBe<{ 0: 3; 1: 4; 2: 5; 3: 6; 4: 7; 5: 8; 6: 9; 7: 10; 8: 11; 9: 12 }>()
    expect<Table[4]>().type.toBe<{ 0: 4; 1: 5; 2: 6; 3: 7; 4: 8; 5: 9; 6: 10; 7: 11; 8: 12; 9: 13 }>()
    expect<Table[5]>().type.toBe<{ 0: 5; 1: 6; 2: 7; 3: 8; 4: 9; 5: 10; 6: 11; 7: 12; 8: 13; 9: 14 }>()
    expect<Table[6]>().type.toBe<{ 0: 6; 1: 7; 2: 8; 3: 9; 4: 10; 5: 11; 6: 12; 7: 13; 8: 14; 9: 15 }>()
    expect<Table[7]>().type.toBe<{ 0: 7; 1: 8; 2: 9; 3: 10; 4: 11; 5: 12; 6: 13; 7: 14; 8: 15; 9: 16 }>()
    expect<Table[8]>().type.toBe<{ 0: 8; 1: 9; 2: 10; 3: 11; 4: 12; 5: 13; 6: 14; 7: 15; 8: 16; 9: 17 }>()
    expect<Table[9]>().type.toBe<{ 0: 9; 1: 10; 2: 11; 3: 12; 4: 13; 5: 14; 6: 15; 7: 16; 8: 17; 9: 18 }>()
  })

  test("distributes over unions, and gives up on what is no literal", () => {
    expect<Add<1 | 20, 9>>().type.toBe<10 | 29>()
    expect<Add<1 | 2, 10 | 20>>().type.toBe<11 | 12 | 21 | 22>()
    expect<Add<number, 1>>().type.toBe<number>()
    expect<Add<1, number>>().type.toBe<number>()
  })
})

describe("LessOrEqual", () => {
  test("by length, then by the first digit that differs", () => {
    expect<LessOrEqual<0, 0>>().type.toBe<true>()
    expect<LessOrEqual<0, 1>>().type.toBe<true>()
    expect<LessOrEqual<1, 0>>().type.toBe<false>()
    expect<LessOrEqual<9, 10>>().type.toBe<true>()
    expect<LessOrEqual<10, 9>>().type.toBe<false>()
    expect<LessOrEqual<6000, 6000>>().type.toBe<true>()
    expect<LessOrEqual<6001, 6000>>().type.toBe<false>()
    expect<LessOrEqual<5999, 6000>>().type.toBe<true>()
    expect<LessOrEqual<1999, 2000>>().type.toBe<true>()
    expect<LessOrEqual<2000, 1999>>().type.toBe<false>()
    expect<LessOrEqual<999999999, 1000000000>>().type.toBe<true>()
    expect<LessOrEqual<1000000000, 999999999>>().type.toBe<false>()
    expect<LessOrEqual<1234567890123, 1234567890122>>().type.toBe<false>()
    expect<LessOrEqual<1234567890123, 999>>().type.toBe<false>()
  })

  test("of a union is both, of what is no literal unknown and so let through", () => {
    expect<LessOrEqual<1 | 3, 2>>().type.toBe<boolean>()
    expect<LessOrEqual<number, 2>>().type.toBe<true>()
    expect<LessOrEqual<3, number>>().type.toBe<true>()
  })
})

test("Exceeding is what is too much", () => {
  expect<Exceeding<1 | 5 | 12 | 30, 11>>().type.toBe<12 | 30>()
  expect<[Exceeding<6000, 6000>]>().type.toBe<[never]>()
})
