/** The array of `at(0)` … `at(length − 1)`, each made when it is first looked at. */
export const lazily = <A>(length: number, at: (i: number) => A): ReadonlyArray<A> => {
  const made = new Array<A>(length)
  const known = (key: string | symbol): number => {
    if (typeof key !== "string") return -1
    const i = Number(key)
    return Number.isInteger(i) && i >= 0 && i < length ? i : -1
  }
  return new Proxy(made, {
    has: (target, key) => known(key) >= 0 || Reflect.has(target, key),
    get: (target, key) => {
      const i = known(key)
      if (i < 0) return Reflect.get(target, key) as unknown
      if (!(i in target)) target[i] = at(i)
      return target[i]
    }
  })
}

/** Each element `times` times. */
export const repeated = <A>(all: ReadonlyArray<A>, times: number): ReadonlyArray<A> =>
  lazily(times * all.length, (i) => all[Math.floor(i / times)]!)

/** The concatenation of several arrays. */
export const inTurn = <A>(parts: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<A> =>
  lazily(parts.reduce((sum, { length }) => sum + length, 0), (i) => {
    let at = i
    for (const part of parts) {
      if (at < part.length) return part[at]!
      at -= part.length
    }
    throw new RangeError(`there is no row ${i}`)
  })
