/** Small harm to real files: a value of JSON replaced, a byte flipped, a tail cut off. All of it follows from a stream. */
import type { Random } from "../../src/sampling/random.ts"

export const pick = <A>(random: Random, from: ReadonlyArray<A>): A => from[random.int(from.length)]!

/** JSON texts that a reader may not expect. */
const values: ReadonlyArray<(random: Random) => string> = [
  "null",
  "true",
  "false",
  "0",
  "-1",
  "0.5",
  "1e308",
  "1e999",
  "-1e9",
  "2147483647",
  "4294967296",
  "9007199254740993",
  '""',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"\\ufeff"',
  '"../../outside"',
  '"/dev/zero"',
  '"__proto__"',
  '"(a+)+$"',
  '"["',
  "[]",
  "{}",
  "[null]",
  '[["a"]]',
  "[-1, 1.5]",
  '{"a": {"b": []}}',
  '{"__proto__": {"a": 1}}',
  '{"type": "Sequence"}'
].map((text) => () => text)

const nested = (depth: number): string =>
  depth % 2 === 0 ? "[".repeat(depth) + "]".repeat(depth) : '{"a":'.repeat(depth) + "0" + "}".repeat(depth)

/** Not JSON, or more of it than anyone writes. */
const excesses: ReadonlyArray<(random: Random) => string> = [
  () => "NaN",
  () => "-Infinity",
  () => "",
  (random) => nested(90 + random.int(30)),
  (random) => nested(20_000 + random.int(2)),
  (random) => JSON.stringify("a".repeat(random.int(100_000))),
  (random) => "9".repeat(1 + random.int(400)),
  (random) => String((random.next() - 0.5) * 10 ** random.int(20))
]

const hostile = (random: Random): string => pick(random, random.int(6) === 0 ? excesses : values)(random)

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

const isNode = (value: Json): value is ReadonlyArray<Json> | { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null

/** Stands in a text for JSON that `JSON.stringify` does not write. */
const mark = "\u{f8ff}"

/** Changes a place of the value; deeper places are as likely as higher ones. */
const changed = (value: Json, random: Random, harm: () => Json): Json => {
  if (!isNode(value) || random.int(8) === 0) return harm()
  const keys = Object.keys(value)
  if (Array.isArray(value)) {
    const list = [...value as ReadonlyArray<Json>]
    const at = random.int(list.length + 1)
    const way = random.int(8)
    if (way === 0 || at === list.length) list.splice(at, 0, list.length > 0 && way < 4 ? pick(random, list) : harm())
    else if (way === 1) list.splice(at, 1)
    else list[at] = changed(list[at]!, random, harm)
    return list
  }
  const entries = Object.entries(value)
  const at = random.int(keys.length + 1)
  const way = random.int(10)
  if (at === keys.length) return { ...value, [pick(random, [...keys, "constructor", "toString", "x"])]: harm() }
  if (way === 0) entries.splice(at, 1)
  else if (way === 1) entries[at] = [pick(random, [...keys, "", "length", "constructor"]), entries[at]![1]]
  else entries[at] = [entries[at]![0], changed(entries[at]![1], random, harm)]
  return Object.fromEntries(entries)
}

/** The JSON text with one to three of its values changed. */
export const mutateJson = (text: string, random: Random): string => {
  let value = JSON.parse(text) as Json
  const raws: Array<string> = []
  const harm = (): Json => `${mark}${raws.push(hostile(random)) - 1}${mark}`
  for (let i = random.int(3); i >= 0; i--) value = changed(value, random, harm)
  return JSON.stringify(value).replace(new RegExp(`"${mark}(\\d+)${mark}"`, "gu"), (_, at) => raws[Number(at)]!)
}

const inserts = ["\0", "\n", "\r\n", "\ufeff", "{", "}", '"', "[", ",", "%}", "{{", "{%", "(", "*"].map((text) =>
  Buffer.from(text)
)
const bytes = [Buffer.of(0xff), Buffer.of(0xed, 0xa0, 0x80), Buffer.of(0xc0), Buffer.of(0x1f, 0x8b)]

/** The bytes with a few flipped, cut, repeated or put in. */
export const mutateBytes = (from: Buffer, random: Random): Buffer => {
  let made = Buffer.from(from)
  for (let i = random.int(4); i >= 0; i--) {
    const at = random.int(made.length + 1)
    switch (random.int(6)) {
      case 0:
        if (at < made.length) made[at]! ^= 1 << random.int(8)
        break
      case 1:
        made = made.subarray(0, at)
        break
      case 2:
        made = Buffer.concat([made.subarray(0, at), pick(random, [...inserts, ...bytes]), made.subarray(at)])
        break
      case 3:
        made = Buffer.concat([made.subarray(0, at), made.subarray(Math.min(made.length, at + random.int(20)))])
        break
      case 4:
        made = Buffer.concat([made.subarray(0, at), made.subarray(Math.max(0, at - random.int(200)))])
        break
      default:
        if (at < made.length) made[at] = random.int(256)
    }
  }
  return made
}

/** By structure where the text is JSON, else or sometimes by bytes. */
export const mutate = (from: Buffer, isJson: boolean, random: Random): Buffer =>
  isJson && random.int(5) > 0 ? Buffer.from(mutateJson(from.toString(), random)) : mutateBytes(from, random)
