/**
 * Sums and comparisons of natural-number literals in the type system, so that allotting more KL than the cap is a compile
 * error that names the numbers. Digits are added right to left with a carry; anything that is not a literal (`number`)
 * stays `number` and is checked at run time by `check`. Unions distribute: a union of totals stands for the totals along
 * several paths.
 */

/** 0 … 9 as tuples of that length, plus one for the carry. */
type Tuple = {
  "0": []
  "1": [0]
  "2": [0, 0]
  "3": [0, 0, 0]
  "4": [0, 0, 0, 0]
  "5": [0, 0, 0, 0, 0]
  "6": [0, 0, 0, 0, 0, 0]
  "7": [0, 0, 0, 0, 0, 0, 0]
  "8": [0, 0, 0, 0, 0, 0, 0, 0]
  "9": [0, 0, 0, 0, 0, 0, 0, 0, 0]
}
type Digit = keyof Tuple

type DigitSum<A extends Digit, B extends Digit, Carry extends Array<0>> =
  & [...Tuple[A], ...Tuple[B], ...Carry]["length"]
  & number

/** Digits, least significant first. */
type Digits<S extends string> = S extends `${infer Head extends Digit}${infer Tail}` ? [...Digits<Tail>, Head] : []

type AddDigits<
  A extends Array<Digit>,
  B extends Array<Digit>,
  Carry extends Array<0> = [],
  Done extends string = ""
> = [A, B] extends [[], []] ? Carry extends [0] ? `1${Done}` : Done
  : A extends [infer X extends Digit, ...infer RestA extends Array<Digit>]
    ? B extends [infer Y extends Digit, ...infer RestB extends Array<Digit>]
      ? Next<DigitSum<X, Y, Carry>, RestA, RestB, Done>
    : Next<DigitSum<X, "0", Carry>, RestA, [], Done>
  : B extends [infer Y extends Digit, ...infer RestB extends Array<Digit>]
    ? Next<DigitSum<"0", Y, Carry>, [], RestB, Done>
  : never

type Next<N extends number, A extends Array<Digit>, B extends Array<Digit>, Done extends string> = `${N}` extends
  `1${infer Unit extends Digit}` ? AddDigits<A, B, [0], `${Unit}${Done}`> : AddDigits<A, B, [], `${N}${Done}`>

/** A + B for natural-number literals. */
export type Add<A extends number, B extends number> = number extends A ? number
  : number extends B ? number
  : A extends number ? B extends number ? Parse<AddDigits<Digits<`${A}`>, Digits<`${B}`>>> : never
  : never

type Parse<S extends string> = S extends `${infer N extends number}` ? N : never

type Length<S extends string, Count extends Array<0> = []> = S extends `${string}${infer Tail}`
  ? Length<Tail, [...Count, 0]>
  : Count["length"]

type LessDigit<A extends string, B extends string> = A extends B ? false
  : "0123456789" extends `${string}${A}${string}${B}${string}` ? true
  : false

type LessOrEqualSameLength<A extends string, B extends string> = A extends `${infer X}${infer RestA}`
  ? B extends `${infer Y}${infer RestB}` ? X extends Y ? LessOrEqualSameLength<RestA, RestB> : LessDigit<X, Y>
  : false
  : true

/** `true`, `false`, or `boolean` when a union of A holds both; `true` when either is not a literal. */
export type LessOrEqual<A extends number, B extends number> = number extends A ? true
  : number extends B ? true
  : A extends number ? Length<`${A}`> extends Length<`${B}`> ? LessOrEqualSameLength<`${A}`, `${B}`>
    : LessOrEqual<Length<`${A}`>, Length<`${B}`>>
  : never

/** The members of the union A that exceed B. */
export type Exceeding<A extends number, B extends number> = A extends number
  ? LessOrEqual<A, B> extends true ? never : A
  : never
