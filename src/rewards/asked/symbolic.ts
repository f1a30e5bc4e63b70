import { ComputeEngine, type Expression } from "@cortex-js/compute-engine"
import type { Question } from "./ask.ts"

/** Equality of formulas: the compute engine's own verdict, and as a second opinion their values at several points. */
let engine: ComputeEngine | undefined
let busy = false

/** Makes the engine, and makes it anew after a question that it did not finish. */
export const prepare = (): void => {
  if (busy) engine = undefined
  busy = false
  if (engine !== undefined) return
  engine = new ComputeEngine()
  // The engine makes most of itself at the first use, which is not the question's time.
  compare(engine, "\\frac{x}{2}", "\\sqrt{x}", 0, false)
}

/** Values of the variables at each point: irrational, on both sides of 0 and of 1. */
const points = [[0.37, 0.81], [1.618, -0.73], [2.2361, 1.31], [-1.3717, 0.577], [0.2718, 2.71]] as const
const valuesAt = (names: ReadonlyArray<string>, [start, step]: readonly [number, number]): Record<string, number> =>
  Object.fromEntries(names.map((name, i) => [name, start + step * i]))

interface Complex {
  readonly re: number
  readonly im: number
}

const valueAt = (
  expression: Expression,
  names: ReadonlyArray<string>,
  point: readonly [number, number]
): Complex | null => {
  const value = expression.subs(valuesAt(names, point)).N()
  const [re, im] = [value.re, value.im]
  return Number.isFinite(re) && Number.isFinite(im) ? { re, im } : null
}

const distance = (a: Complex, b: Complex): number => Math.hypot(a.re - b.re, a.im - b.im)
const size = (a: Complex): number => Math.hypot(a.re, a.im)
const near = (a: Complex, b: Complex, within: number): boolean =>
  distance(a, b) <= Math.max(within, 1e-9 * Math.max(size(a), size(b)))

const quotient = (a: Complex, b: Complex): Complex => {
  const d = b.re * b.re + b.im * b.im
  return { re: (a.re * b.re + a.im * b.im) / d, im: (a.im * b.re - a.re * b.im) / d }
}

export const equal = (
  { first, second, upToFactor, within = 0 }: Extract<Question, { readonly kind: "equal" }>
): boolean => {
  busy = true
  const answer = compare(engine!, first, second, within, upToFactor === true)
  busy = false
  return answer
}

const compare = (
  engine: ComputeEngine,
  first: string,
  second: string,
  within: number,
  upToFactor: boolean
): boolean => {
  const [a, b] = [engine.parse(first), engine.parse(second)]
  if (!a.isValid || !b.isValid) return false
  if (!upToFactor && a.isSame(b)) return true
  const names = [...new Set([...a.unknowns, ...b.unknowns])].toSorted()
  const at = names.length === 0 ? points.slice(0, 1) : points
  const pairs = at.flatMap((point) => {
    const [x, y] = [valueAt(a, names, point), valueAt(b, names, point)]
    return x === null && y === null ? [] : [[x, y] as const]
  })
  // Undefined at most points: nothing was compared.
  if (pairs.length * 2 <= at.length || pairs.some(([x, y]) => x === null || y === null)) {
    return !upToFactor && a.isEqual(b) === true
  }
  if (upToFactor) {
    const factor = pairs.map(([x, y]) => quotient(x!, y!))
    return factor.every((one) => size(one) > 0 && near(one, factor[0]!, 0))
  }
  return pairs.every(([x, y]) => near(x!, y!, within)) || a.isEqual(b) === true
}
