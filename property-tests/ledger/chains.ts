/** Random chains of described steps on a few outcomes, every step applied exactly: what the ledger's bounds are held against. */
import * as Bounds from "../../src/ledger/bounds.ts"
import * as Renyi from "../../src/ledger/renyi.ts"
import { distribution } from "../../src/sampling/draw.ts"
import { stream } from "../../src/sampling/random.ts"
import { mixtureBound, mixtureRenyi } from "./mixture.ts"

export type Distribution = ReadonlyArray<number>

export const normalised = (weights: ReadonlyArray<number>): Distribution => {
  const total = weights.reduce((sum, x) => sum + x, 0)
  return weights.map((x) => x / total)
}
export const kl = (p: Distribution, q: Distribution): number =>
  p.reduce((sum, x, i) => x === 0 ? sum : sum + x * Math.log(x / q[i]!), 0)
export const maxDivergence = (p: Distribution, q: Distribution): number =>
  p.reduce((most, x, i) => x === 0 ? most : Math.max(most, Math.log(x / q[i]!)), -Infinity)
export const variation = (p: Distribution, q: Distribution): number =>
  p.reduce((sum, x, i) => sum + Math.abs(x - q[i]!), 0) / 2
export const renyi = (p: Distribution, q: Distribution, order: number): number =>
  order === 1
    ? kl(p, q)
    : order === Infinity
    ? maxDivergence(p, q)
    : Math.log(p.reduce((sum, x, i) => x === 0 ? sum : sum + x ** order * q[i]! ** (1 - order), 0)) / (order - 1)

/** The law of the score's quantiles pushed through `cumulative`: equal scores share in proportion. */
const reordered = (p: Distribution, score: ReadonlyArray<number>, cumulative: (u: number) => number): Distribution =>
  p.map((x, i) => {
    const below = p.reduce((sum, y, j) => score[j]! < score[i]! ? sum + y : sum, 0)
    const equal = p.reduce((sum, y, j) => score[j] === score[i] ? sum + y : sum, 0)
    return x === 0 ? 0 : x / equal * (cumulative(Math.min(1, below + equal)) - cumulative(below))
  })

/** Best of n: Fⁿ − F₋ⁿ. */
export const bestOf = (p: Distribution, score: ReadonlyArray<number>, n: number): Distribution =>
  reordered(p, score, (u) => u ** n)

/** One at random of the better k of N: the j-th best is at most u when at most j of N lie above it. */
export const topOf = (p: Distribution, score: ReadonlyArray<number>, kept: number, of: number): Distribution =>
  reordered(p, score, (u) => {
    let [term, atMost, sum] = [u ** of, 0, 0]
    for (let j = 0; j < kept; j++) {
      atMost += term
      sum += atMost / kept
      term = u === 0 ? (j + 1 === of ? 1 : 0) : term * (of - j) / (j + 1) * (1 - u) / u
    }
    return sum
  })

export const kinds = [
  "bestOfN",
  "topOf",
  "filter",
  "tilt",
  "temperature",
  "topK",
  "topP",
  "sampling",
  "mixture",
  "geometricMerge",
  "linearMerge",
  "restart"
] as const
export type Kind = typeof kinds[number]

/** One step, as it is and as the ledger knows it; null: a restart, after which the chain begins again. */
export interface Link {
  readonly kind: Kind
  readonly before: Distribution
  readonly after: Distribution
  readonly bound: Bounds.Bound
  readonly renyi: Renyi.RenyiBound | null
}

export const chainsOf = (seed: string) => {
  const random = stream(seed)
  const uniform = (): number => random.next()
  const of = <A>(all: ReadonlyArray<A>): A => all[random.int(all.length)]!
  const weights = (n: number): ReadonlyArray<number> => Array.from({ length: n }, () => uniform() ** 3 + 1e-4)

  const step = (p: Distribution, initial: Distribution, kind: Kind): Link => {
    const score = p.map(() => Math.round(4 * uniform()))
    const link = (after: Distribution, bound: Bounds.Bound, renyi = Renyi.ofBound(bound)): Link => ({
      kind,
      before: p,
      after,
      bound,
      renyi
    })
    switch (kind) {
      case "bestOfN": {
        const n = 1 + random.int(16)
        return link(bestOf(p, score, n), Bounds.bestOfN(n), Renyi.bestOfN(n))
      }
      case "topOf": {
        const of = 1 + random.int(8)
        const kept = 1 + random.int(of)
        return link(topOf(p, score, kept, of), Bounds.topOf(kept, of))
      }
      case "filter": {
        const threshold = of(score)
        const passing = p.map((x, i) => score[i]! >= threshold ? x : 0)
        const accepted = passing.reduce((sum, x) => sum + x, 0)
        return accepted === 0
          ? link(p, Bounds.still)
          : link(normalised(passing), Bounds.acceptFilter(accepted), Renyi.acceptFilter(accepted))
      }
      case "tilt": {
        const beta = 0.2 + 3 * uniform()
        const span = Math.max(...score) - Math.min(...score)
        const after = normalised(p.map((x, i) => x * Math.exp(score[i]! / beta)))
        return link(after, Bounds.tilt(span, beta), Renyi.tilt(span, beta))
      }
      case "temperature":
      case "topK":
      case "topP":
      case "sampling": {
        // As the engine draws a token of these outcomes.
        const how = {
          temperature: kind === "topK" || kind === "topP" ? 1 : of([0, uniform(), uniform(), 1 + uniform() / 4]),
          topK: kind === "topK" || kind === "sampling" ? random.int(p.length + 2) : 0,
          topP: kind === "topP" || kind === "sampling" ? 1 - uniform() : 1
        }
        const after = [...distribution(Float64Array.from(p, Math.log), how)]
        return link(after, Bounds.sampled(how, { tokens: 1, vocabulary: p.length }))
      }
      case "mixture": {
        const n = 2 + random.int(6)
        const weight = uniform()
        const best = bestOf(p, score, n)
        return link(
          p.map((x, i) => weight * x + (1 - weight) * best[i]!),
          mixtureBound([{ weight, bound: Bounds.still }, { weight: 1 - weight, bound: Bounds.bestOfN(n) }]),
          mixtureRenyi([
            { weight, bound: Renyi.ofBound(Bounds.still) },
            { weight: 1 - weight, bound: Renyi.bestOfN(n) }
          ])
        )
      }
      case "geometricMerge":
      case "linearMerge": {
        const other = normalised(weights(p.length))
        const merged = kind === "linearMerge"
          ? p.map((x, i) => (x + other[i]!) / 2)
          : normalised(p.map((x, i) => Math.sqrt(x * other[i]!)))
        return link(merged, Bounds.unknown)
      }
      case "restart":
        return link(initial, Bounds.still)
    }
  }

  /** A chain of up to `longest` steps from a random distribution. */
  return (longest: number, among: ReadonlyArray<Kind> = kinds) => {
    const initial = normalised(weights(2 + random.int(5)))
    let [at, links]: [Distribution, Array<Link>] = [initial, []]
    for (let i = 1 + random.int(longest); i > 0; i--) {
      const link = step(at, initial, of(among))
      at = link.after
      links = link.kind === "restart" ? [] : [...links, link]
    }
    return { initial, last: at, links }
  }
}
