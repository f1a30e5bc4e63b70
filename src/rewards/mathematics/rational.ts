/** Rational numbers, exact to the last digit, as they are written: decimals, fractions, mixed numbers, powers of ten. */

export interface Rational {
  readonly n: bigint
  /** Above 0; not always in lowest terms. */
  readonly d: bigint
  /** Of a decimal fraction, the value of one in its last digit, and how many digits say something. */
  readonly decimal?: { readonly unit: number; readonly digits: number }
}

const decimalForm = /^([+-]?)\s*(\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.(\d*))?$/u

const decimal = (text: string): Rational | undefined => {
  const match = decimalForm.exec(text)
  if (match === null) return undefined
  const [, sign, whole = "", decimals = ""] = match
  const digits = whole.replaceAll(",", "") + decimals
  const n = BigInt(digits)
  return {
    n: sign === "-" ? -n : n,
    d: 10n ** BigInt(decimals.length),
    ...(decimals === "" ? {} : {
      decimal: { unit: 10 ** -decimals.length, digits: digits.replace(/^0+/u, "").length }
    })
  }
}

const over = (a: Rational | undefined, b: Rational | undefined): Rational | undefined => {
  if (a === undefined || b === undefined || b.n === 0n) return undefined
  const [n, d] = [a.n * b.d, a.d * b.n]
  return d < 0n ? { n: -n, d: -d } : { n, d }
}

const fractionForm = /^([+-]?)\s*(?:(\d+)\s*)?\\frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}$/u
const slashForm = /^([+-]?)\s*(?:(\d+)\s+)?([+-]?[\d.,]+)\s*\/\s*([\d.,]+)$/u
const powerForm = /^(.+?)\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*(?:\{\s*([+-]?\d{1,4})\s*\}|([+-]?\d{1,4}))$/u
const exponentForm = /^([+-]?[\d.]+)[eE]([+-]?\d{1,4})$/u

export const rational = (written: string): Rational | undefined => {
  const text = /^\{[^{}]*\}$|^\([^()]*\)$/u.test(written) ? written.slice(1, -1).trim() : written
  const plain = decimal(text)
  if (plain !== undefined) return plain
  const fraction = fractionForm.exec(text) ?? slashForm.exec(text)
  if (fraction !== null) {
    const [, sign, whole = "0", above = "", below = ""] = fraction
    const part = over(decimal(above), decimal(below))
    if (part === undefined) return undefined
    const n = BigInt(whole) * part.d + part.n
    return { n: sign === "-" ? -n : n, d: part.d }
  }
  const power = powerForm.exec(text) ?? exponentForm.exec(text)
  if (power === null) return undefined
  const [base, exponent] = [rational(power[1]!), Number(power[2] ?? power[3])]
  if (base === undefined) return undefined
  const scale = 10n ** BigInt(Math.abs(exponent))
  return exponent < 0 ? { n: base.n, d: base.d * scale } : { n: base.n * scale, d: base.d }
}

export const scaled = (a: Rational, by: Rational): Rational => ({ n: a.n * by.n, d: a.d * by.d })

/** As a number: the quotient of large integers, without overflow. */
export const valueOf = ({ d, n }: Rational): number => {
  const [a, b] = [Number(n), Number(d)]
  return Number.isFinite(a) && Number.isFinite(b) ? a / b : Number(n * 10n ** 20n / d) / 1e20
}

/** A decimal with this many digits may stand for a number with no last digit. */
export const enoughDigits = 4

/** Whether the decimal `a` is `b` rounded or cut off, where `b` has no finite decimal form. */
const approximates = (a: Rational, b: Rational): boolean => {
  if (a.decimal === undefined || a.decimal.digits < enoughDigits || b.decimal !== undefined) return false
  const places = a.d
  const difference = a.n * b.d - b.n * places
  // |a − b| < 1 / places, and b is no decimal of as many places.
  return difference !== 0n && (difference < 0n ? -difference : difference) < b.d && !terminates(b.d / common(b.n, b.d))
}

const common = (a: bigint, b: bigint): bigint => {
  let [x, y] = [a < 0n ? -a : a, b]
  while (y !== 0n) [x, y] = [y, x % y]
  return x === 0n ? 1n : x
}

const terminates = (d: bigint): boolean => {
  let rest = d
  for (const p of [2n, 5n]) while (rest % p === 0n) rest /= p
  return rest === 1n
}

export const sameNumber = (a: Rational, b: Rational): boolean =>
  a.n * b.d === b.n * a.d || approximates(a, b) || approximates(b, a)
