/**
 * JSON text to a value, as `JSON.parse` (it throws `SyntaxError`). Text that is nested deeper than `deepest` is refused: functions that
 * call themselves would fail on its value.
 */
export const parsePlain = (text: string): unknown => {
  const value: unknown = JSON.parse(text)
  if (isDeep(value, deepest)) throw new SyntaxError(`it is nested more than ${deepest} levels deep`)
  return value
}

/**
 * The same for text whose keys may be any string.
 *
 * V8 sometimes reads an escaped key as another one: after `{"\\": 0}`, the key of `{"\"": 0}` becomes a backslash
 * (nodejs/node#63785; Node 24 and 26). Vocabularies hold both, so text with a backslash is read here. Of equal keys of an object
 * the last counts; `repeated` hears of the others.
 */
export const parseJson = (text: string, repeated?: (key: string) => void): unknown => {
  const value = parsePlain(text)
  return repeated === undefined && !text.includes("\\") ? value : read(text, repeated)
}

/** Levels of lists and objects; files of models have about ten. */
const deepest = 100

const isDeep = (value: unknown, most: number): boolean =>
  typeof value === "object" && value !== null &&
  (most === 0 || Object.values(value).some((inner) => isDeep(inner, most - 1)))

const token = /[{}[\]]|"(?:[^"\\]|\\.)*"|[^\s"{}[\]:,]+/gy
const between = /[\s:,]*/y

/** Reads text that is known to be valid. */
const read = (text: string, repeated: ((key: string) => void) | undefined): unknown => {
  let at = 0
  const next = (): string => {
    between.lastIndex = at
    between.test(text)
    token.lastIndex = between.lastIndex
    const found = token.exec(text)![0]
    at = token.lastIndex
    return found
  }
  const string = (literal: string): string =>
    literal.includes("\\") ? JSON.parse(literal) as string : literal.slice(1, -1)
  const value = (first: string): unknown => {
    if (first === "{") {
      const entries = new Map<string, unknown>()
      for (let one = next(); one !== "}"; one = next()) {
        const key = string(one)
        if (entries.has(key)) repeated?.(key)
        entries.set(key, value(next()))
      }
      return Object.fromEntries(entries)
    }
    if (first === "[") {
      const list: Array<unknown> = []
      for (let one = next(); one !== "]"; one = next()) list.push(value(one))
      return list
    }
    return first[0] === '"' ? string(first) : JSON.parse(first)
  }
  return value(next())
}
