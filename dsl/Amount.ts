/**
 * How much of a resource: a whole number of the smallest unit, with the unit in the type, so hours do not fit where
 * bytes are expected. Constructors do not throw: `check` reports an amount that is no whole number above 0.
 *
 * Money is counted in millionths of a named currency (`{ currency: "USD", micros: 5_000_000 }` is 5 dollars): price per
 * hour times milliseconds is no whole number of cents. Amounts up to 2⁵³ are exact; FLOPs beyond are rounded.
 */
export type Unit = "bytes" | "flops" | "tokens" | "prompts" | "seconds" | "money"

export interface Amount<out U extends Unit> {
  readonly unit: U
  readonly amount: number
}

export interface Money extends Amount<"money"> {
  /** ISO 4217, e.g. `USD`: the one of the price table. */
  readonly currency: string
}

const of = <U extends Unit>(unit: U, amount: number): Amount<U> => ({ unit, amount })

/** n times a larger unit: 2.49 × 10⁶ is a whole number that floating point misses. */
const times = (n: number, size: number): number => {
  const [exact, whole] = [n * size, Math.round(n * size)]
  return Math.abs(exact - whole) <= 1e-12 * Math.abs(whole) ? whole : exact
}

export const bytes = (n: number): Amount<"bytes"> => of("bytes", n)
export const KiB = (n: number): Amount<"bytes"> => of("bytes", times(n, 2 ** 10))
export const MiB = (n: number): Amount<"bytes"> => of("bytes", times(n, 2 ** 20))
export const GiB = (n: number): Amount<"bytes"> => of("bytes", times(n, 2 ** 30))
export const TiB = (n: number): Amount<"bytes"> => of("bytes", times(n, 2 ** 40))

/** Floating-point operations, as `keel plan` counts them: 2 · rows · inputs · outputs of each matrix product, and attention. */
export const flops = (n: number): Amount<"flops"> => of("flops", n)
export const gigaflops = (n: number): Amount<"flops"> => of("flops", times(n, 1e9))
export const teraflops = (n: number): Amount<"flops"> => of("flops", times(n, 1e12))
export const petaflops = (n: number): Amount<"flops"> => of("flops", times(n, 1e15))
export const exaflops = (n: number): Amount<"flops"> => of("flops", times(n, 1e18))

export const tokens = (n: number): Amount<"tokens"> => of("tokens", n)
export const prompts = (n: number): Amount<"prompts"> => of("prompts", n)

export const seconds = (n: number): Amount<"seconds"> => of("seconds", n)
export const minutes = (n: number): Amount<"seconds"> => of("seconds", times(n, 60))
export const hours = (n: number): Amount<"seconds"> => of("seconds", times(n, 3600))
export const days = (n: number): Amount<"seconds"> => of("seconds", times(n, 86_400))

/**
 * `n` of a currency, e.g. `money("EUR", 12.5)`.
 *
 * ```ts
 * import * as Amount from "../dsl/Amount.ts"
 * Amount.money("EUR", 12.5).amount // => 12500000
 * ```
 */
export const money = (currency: string, n: number): Money => ({ ...of("money", times(n, 1e6)), currency })
/** US dollars. */
export const dollars = (n: number): Money => money("USD", n)
/** Hundredths of a US dollar. */
export const cents = (n: number): Money => ({ ...of("money", times(n, 1e4)), currency: "USD" })
