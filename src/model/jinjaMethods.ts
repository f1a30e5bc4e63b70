/** The methods of Python's `str`. */
import { isList, isText, list, numberOf, text, truth, tuple, type Value, whole } from "./jinjaValues.ts"

/** White space of Python's `str.strip` and `str.split`. */
const space = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
const spaces = { start: new RegExp(`^[${space}]+`, "u"), end: new RegExp(`[${space}]+$`, "u") }
export const stripped = (of: string, chars: string | undefined, sides: "start" | "end" | "both"): string => {
  const set = chars === undefined ? null : new Set(chars)
  const letters = Array.from(of)
  let [from, to] = [0, letters.length]
  const goes = (one: string): boolean => set === null ? spaces.start.test(one) : set.has(one)
  if (sides !== "end") { while (from < to && goes(letters[from]!)) from++ }
  if (sides !== "start") { while (to > from && goes(letters[to - 1]!)) to-- }
  return letters.slice(from, to).join("")
}

const splitting = (
  of: string,
  separator: string | undefined,
  most: number,
  fromRight: boolean
): ReadonlyArray<string> => {
  const limit = most < 0 ? Infinity : most
  const apart = separator === undefined
    ? stripped(of, undefined, "both").split(new RegExp(`[${space}]+`, "u")).filter((one) => one !== "")
    : of.split(separator)
  if (separator === "") throw new RangeError("it splits at an empty text")
  if (apart.length - 1 <= limit) return apart
  if (separator !== undefined) {
    return fromRight
      ? [apart.slice(0, apart.length - limit).join(separator), ...apart.slice(apart.length - limit)]
      : [...apart.slice(0, limit), apart.slice(limit).join(separator)]
  }
  // The rest keeps its own white space.
  let rest = stripped(of, undefined, fromRight ? "end" : "start")
  const taken = fromRight ? apart.slice(apart.length - limit) : apart.slice(0, limit)
  for (const one of fromRight ? [...taken].reverse() : taken) {
    rest = stripped(
      fromRight ? rest.slice(0, -one.length) : rest.slice(one.length),
      undefined,
      fromRight ? "end" : "start"
    )
  }
  return fromRight ? [rest, ...taken] : [...taken, rest]
}

export const capitalised = (of: string): string => {
  const [first = "", ...others] = Array.from(of)
  return first.toUpperCase() + others.join("").toLowerCase()
}
/** As `str.title`: a word is a run of letters. */
const titled = (of: string): string => of.replaceAll(/\p{L}+/gu, capitalised)
/** As the filter: words begin after white space and - ( { [ <. */
export const titledByFilter = (of: string): string =>
  of.split(/([-\s({[<]+)/u).map((one, i) => i % 2 === 0 ? capitalised(one) : one).join("")

export const replaced = (of: string, old: string, by: string, most: number): string => {
  if (most < 0) return of.replaceAll(old === "" ? /(?:)/gu : old, () => by)
  if (old === "") throw new TypeError("it replaces an empty text some times")
  const parts = of.split(old)
  return parts.slice(0, most + 1).join(by) + parts.slice(most + 1).map((one) => old + one).join("")
}

export const given = (value: Value | undefined): string | undefined => {
  if (value === undefined || value.type === "NullValue") return undefined
  if (isText(value)) return value.value
  throw new TypeError(`it gives a ${value.type} where a text belongs`)
}
export const needed = (value: Value | undefined): string => {
  const one = given(value)
  if (one === undefined) throw new TypeError("it leaves out a text")
  return one
}
export const count = (value: Value | undefined, otherwise = -1): number => {
  if (value === undefined || value.type === "NullValue") return otherwise
  if (value.type === "IntegerValue") return numberOf(value)
  throw new TypeError(`it gives a ${value.type} where a whole number belongs`)
}
const placed = (of: string, at: number): Value => whole(at < 0 ? -1 : Array.from(of.slice(0, at)).length)
const begins = (by: Value | undefined, is: (one: string) => boolean): Value => {
  if (by?.type === "TupleValue") return truth((by.value as ReadonlyArray<Value>).some((one) => is(needed(one))))
  return truth(is(needed(by)))
}
const cased = (of: string, to: string, other: string): Value => truth(of === to && to !== other)

type Method = (of: string, args: ReadonlyArray<Value>) => Value

/** The methods of Python's `str` that templates may call. */
export const methods: Readonly<Record<string, Method>> = {
  strip: (of, [chars]) => text(stripped(of, given(chars), "both")),
  lstrip: (of, [chars]) => text(stripped(of, given(chars), "start")),
  rstrip: (of, [chars]) => text(stripped(of, given(chars), "end")),
  upper: (of) => text(of.toUpperCase()),
  lower: (of) => text(of.toLowerCase()),
  capitalize: (of) => text(capitalised(of)),
  title: (of) => text(titled(of)),
  split: (of, [by, most]) => list(splitting(of, given(by), count(most), false).map(text)),
  rsplit: (of, [by, most]) => list(splitting(of, given(by), count(most), true).map(text)),
  splitlines: (of) => list((of === "" ? [] : of.replace(/(?:\r\n|[\n\r])$/u, "").split(/\r\n|[\n\r]/u)).map(text)),
  replace: (of, [old, by, most]) => text(replaced(of, needed(old), needed(by), count(most))),
  startswith: (of, [by]) => begins(by, (one) => of.startsWith(one)),
  endswith: (of, [by]) => begins(by, (one) => of.endsWith(one)),
  find: (of, [one]) => placed(of, of.indexOf(needed(one))),
  rfind: (of, [one]) => placed(of, of.lastIndexOf(needed(one))),
  count: (of, [one]) => whole(of.split(needed(one)).length - 1),
  join: (of, [all]) => {
    if (all === undefined || !isList(all)) throw new TypeError("it joins what is no list")
    return text(all.value.map(needed).join(of))
  },
  removeprefix: (of, [one]) => text(of.startsWith(needed(one)) ? of.slice(needed(one).length) : of),
  removesuffix: (of, [one]) =>
    text(needed(one) !== "" && of.endsWith(needed(one)) ? of.slice(0, -needed(one).length) : of),
  partition: (of, [by]) => {
    const at = of.indexOf(needed(by))
    return tuple((at < 0 ? [of, "", ""] : [of.slice(0, at), needed(by), of.slice(at + needed(by).length)]).map(text))
  },
  isdigit: (of) => truth(/^[0-9]+$/u.test(of)),
  isalpha: (of) => truth(/^\p{L}+$/u.test(of)),
  isspace: (of) => truth(of !== "" && stripped(of, undefined, "both") === ""),
  islower: (of) => cased(of, of.toLowerCase(), of.toUpperCase()),
  isupper: (of) => cased(of, of.toUpperCase(), of.toLowerCase())
}
