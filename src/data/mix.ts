import { type Mix, rowsOf } from "../../dsl/stages/Mix.ts"
import { stream } from "../sampling/random.ts"
import { concatenated, picked } from "./lazyArray.ts"
import { placesByPrompt } from "./rows.ts"

/**
 * How many rows each part gives: `weights` over their sum times `count`, rounded down; the remaining rows go to the largest
 * remainders (the earlier name of equals).
 */
export const shares = (weights: Readonly<Record<string, number>>, count: number): Readonly<Record<string, number>> => {
  const names = Object.keys(weights).sort()
  const total = names.reduce((sum, name) => sum + weights[name]!, 0)
  const exact = names.map((name) => total === 0 ? 0 : count * weights[name]! / total)
  const given = exact.map(Math.floor)
  const left = total === 0 ? 0 : count - given.reduce((sum, n) => sum + n, 0)
  const order = names.map((_, i) => i).sort((a, b) => (exact[b]! - given[b]!) - (exact[a]! - given[a]!) || a - b)
  for (const i of order.slice(0, left)) given[i]!++
  return Object.fromEntries(names.map((name, i) => [name, given[i]!]))
}

/** `count` rows: a shuffle of all, then another, until there are enough. No row twice before every row once. */
const draw = <A>(rows: ReadonlyArray<A>, count: number, key: string): ReadonlyArray<A> => {
  const places = new Uint32Array(rows.length === 0 ? 0 : count)
  for (let [pass, at] = [0, 0]; at < places.length; pass++, at += rows.length) {
    places.set(stream(`${key}/${pass}`).order(rows.length).subarray(0, count - at), at)
  }
  return picked(rows, places)
}

/** Rows that each part gives, by its name; see `dsl/stages/Mix.ts`. */
const given = (sizes: Readonly<Record<string, number>>, take: Mix["take"]): Readonly<Record<string, number>> => {
  const each = (f: (size: number, name: string) => number) =>
    Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, f(size, name)]))
  switch (take._tag) {
    case "Whole":
    case "PerPrompt":
      return sizes
    case "Counts":
      return take.counts
    case "Epochs":
      return each((size, name) => rowsOf(size, take.epochs[name] ?? 0))
    case "Weights":
      return shares(take.weights, take.count)
    case "Temperature":
      return shares(each((size) => size ** (1 / take.temperature)), take.count)
  }
}

/** At most `most` rows of each prompt, drawn without replacement out of all parts; each part keeps its order. */
const ofEachPrompt = <A>(
  parts: ReadonlyArray<ReadonlyArray<A>>,
  most: number,
  key: string,
  promptOf: (row: A) => string
): ReadonlyArray<ReadonlyArray<A>> => {
  const kept = parts.map(({ length }) => new Uint8Array(length))
  placesByPrompt(concatenated(parts), promptOf).forEach((places, n) => {
    for (const place of stream(`${key}/prompt ${n}`).shuffle(places).slice(0, most)) {
      let [part, row] = [0, place]
      while (row >= kept[part]!.length) row -= kept[part++]!.length
      kept[part]![row] = 1
    }
  })
  return parts.map((rows, part) => picked(rows, Uint32Array.from(rows.keys()).filter((i) => kept[part]![i] === 1)))
}

/** The parts in the order of their names, each with the rows that the mixture takes of it, and how many different rows it has for that. */
export const mix = <A>(
  parts: Readonly<Record<string, ReadonlyArray<A>>>,
  { atMost = {}, take }: Pick<Mix, "atMost" | "take">,
  key: string,
  promptOf: (row: A) => string = String
): {
  readonly rows: ReadonlyArray<A>
  readonly taken: Readonly<Record<string, { readonly rows: number; readonly of: number }>>
} => {
  const names = Object.keys(parts).sort()
  const pools = Object.fromEntries(names.map((name) => {
    const [all, most] = [parts[name]!, atMost[name] ?? Infinity]
    return [name, all.length <= most ? all : draw(all, most, `${key}/${name}/at most`)]
  }))
  const counts = given(Object.fromEntries(names.map((name) => [name, pools[name]!.length])), take)
  const rows = take._tag === "PerPrompt" ?
    ofEachPrompt(names.map((name) => pools[name]!), take.perPrompt, key, promptOf) :
    names.map((name) => take._tag === "Whole" ? pools[name]! : draw(pools[name]!, counts[name] ?? 0, `${key}/${name}`))
  return {
    rows: concatenated(rows),
    taken: Object.fromEntries(names.map((name, i) => [name, { rows: rows[i]!.length, of: pools[name]!.length }]))
  }
}
