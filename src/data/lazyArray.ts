import * as Context from "effect/Context"

/** Whether rows are encoded when they are first looked at, instead of all of them before a stage begins: a plan looks at a few. */
export const EncodeWhenRead = Context.Reference<boolean>("keel/EncodeWhenRead", { defaultValue: () => false })

/** The array of `at(0)` … `at(length − 1)`, each made when it is first looked at. */
export const lazyArray = <A>(length: number, at: (i: number) => A): ReadonlyArray<A> => {
  const made = new Array<A>(length)
  return proxied(made, (i) => i in made ? made[i]! : made[i] = at(i))
}

const views = new WeakSet<ReadonlyArray<unknown>>()

/** The same, each made whenever it is looked at, and not kept. */
export const viewed = <A>(length: number, at: (i: number) => A): ReadonlyArray<A> => {
  const empty: Array<A> = []
  empty.length = length
  const view = proxied(empty, at)
  views.add(view)
  return view
}

const proxied = <A>(target: Array<A>, at: (i: number) => A): ReadonlyArray<A> => {
  const { length } = target
  const known = (key: string | symbol): number => {
    if (typeof key !== "string") return -1
    const i = Number(key)
    return Number.isInteger(i) && i >= 0 && i < length ? i : -1
  }
  return new Proxy(target, {
    has: (target, key) => known(key) >= 0 || Reflect.has(target, key),
    get: (target, key) => {
      const i = known(key)
      return i < 0 ? Reflect.get(target, key) as unknown : at(i)
    }
  })
}

/** `all` at these places, in their order. Of a view it is a view: 4 bytes an element. */
export const picked = <A>(all: ReadonlyArray<A>, places: Uint32Array): ReadonlyArray<A> =>
  views.has(all) ? viewed(places.length, (i) => all[places[i]!]!) : Array.from(places, (place) => all[place]!)

/** For each of `groups`, `all` at its places; of a view it is a view, whose groups are made whenever they are looked at. */
export const gathered = <A>(
  all: ReadonlyArray<A>,
  groups: ReadonlyArray<ReadonlyArray<number>>
): ReadonlyArray<ReadonlyArray<A>> => {
  const group = (g: number) => groups[g]!.map((place) => all[place]!)
  return views.has(all) ? viewed(groups.length, group) : groups.map((_, g) => group(g))
}

/** The elements for which `test` holds, in their order; of a view it is a view. */
export const selected = <A>(all: ReadonlyArray<A>, test: (one: A, place: number) => boolean): ReadonlyArray<A> => {
  if (!views.has(all)) return all.filter(test)
  const places = new Uint32Array(all.length)
  let count = 0
  for (let i = 0; i < all.length; i++) if (test(all[i]!, i)) places[count++] = i
  return picked(all, places.slice(0, count))
}

/** `of` each element; of a view it is a view, whose elements are made whenever they are looked at. */
export const mapped = <A, B>(all: ReadonlyArray<A>, of: (one: A, place: number) => B): ReadonlyArray<B> =>
  views.has(all) ? viewed(all.length, (i) => of(all[i]!, i)) : all.map(of)

/** One array after the other; with a view among them it is a view. */
export const concatenated = <A>(parts: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<A> => {
  if (!parts.some((part) => views.has(part))) return parts.flat()
  let length = 0
  const ends = parts.map((part) => length += part.length)
  return viewed(length, (i) => {
    const part = ends.findIndex((end) => i < end)
    return parts[part]![i - ends[part]! + parts[part]!.length]!
  })
}

/** Each element `times` times. */
export const repeated = <A>(all: ReadonlyArray<A>, times: number): ReadonlyArray<A> =>
  lazyArray(times * all.length, (i) => all[Math.floor(i / times)]!)
