import type { Take } from "../../dsl/stages/Mix.ts"
import { stream } from "../sampling/random.ts"

/**
 * How many rows each part gives: `weights` over their sum times `count`, rounded down; the remaining rows go to the largest
 * remainders (the earlier name of equals).
 */
export const shares = (weights: Readonly<Record<string, number>>, count: number): Readonly<Record<string, number>> => {
  const names = Object.keys(weights).sort()
  const total = names.reduce((sum, name) => sum + weights[name]!, 0)
  const exact = names.map((name) => count * weights[name]! / total)
  const given = exact.map(Math.floor)
  const left = count - given.reduce((sum, n) => sum + n, 0)
  const order = names.map((_, i) => i).sort((a, b) => (exact[b]! - given[b]!) - (exact[a]! - given[a]!) || a - b)
  for (const i of order.slice(0, left)) given[i]!++
  return Object.fromEntries(names.map((name, i) => [name, given[i]!]))
}

/** `count` rows: a shuffle of all, then another, until there are enough. No row twice before every row once. */
const draw = <A>(rows: ReadonlyArray<A>, count: number, key: string): ReadonlyArray<A> => {
  const drawn: Array<A> = []
  for (let pass = 0; rows.length > 0 && drawn.length < count; pass++) {
    drawn.push(...stream(`${key}/${pass}`).shuffle(rows).slice(0, count - drawn.length))
  }
  return drawn
}

/** The parts in the order of their names, each with the rows that `take` gives it. */
export const mix = <A>(
  parts: Readonly<Record<string, ReadonlyArray<A>>>,
  take: Take,
  key: string
): ReadonlyArray<A> => {
  const names = Object.keys(parts).sort()
  if (take._tag === "Whole") return names.flatMap((name) => parts[name]!)
  const counts = take._tag === "Counts" ? take.counts : shares(take.weights, take.count)
  return names.flatMap((name) => draw(parts[name]!, counts[name] ?? 0, `${key}/${name}`))
}
