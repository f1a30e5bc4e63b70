import * as Context from "effect/Context"

/** Whether rows are encoded when they are first looked at, instead of all of them before a stage begins: a plan looks at a few. */
export const EncodeWhenRead = Context.Reference<boolean>("keel/EncodeWhenRead", { defaultValue: () => false })

/** The array of `at(0)` … `at(length − 1)`, each made when it is first looked at. */
export const lazyArray = <A>(length: number, at: (i: number) => A): ReadonlyArray<A> => {
  const made = new Array<A>(length)
  return proxied(made, (i) => i in made ? made[i]! : made[i] = at(i))
}

/** The same, each made whenever it is looked at, and not kept. */
export const viewed = <A>(length: number, at: (i: number) => A): ReadonlyArray<A> => {
  const empty: Array<A> = []
  empty.length = length
  return proxied(empty, at)
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

/** Each element `times` times. */
export const repeated = <A>(all: ReadonlyArray<A>, times: number): ReadonlyArray<A> =>
  lazyArray(times * all.length, (i) => all[Math.floor(i / times)]!)
