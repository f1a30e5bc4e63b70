/** Units at the end of an answer, and money in front of it. */
import { type Rational, rational } from "./rational.ts"

/** Each quantity, with its units in terms of the first. */
const quantities: ReadonlyArray<Readonly<Record<string, string>>> = [
  { m: "1", meter: "1", metre: "1", km: "1000", kilometer: "1000", cm: "1/100", centimeter: "1/100", mm: "1/1000" },
  { foot: "1", feet: "1", ft: "1", inch: "1/12", in: "1/12", yard: "3", yd: "3", mile: "5280", mi: "5280" },
  { gram: "1", g: "1", kg: "1000", kilogram: "1000", mg: "1/1000" },
  { pound: "1", lb: "1", ounce: "1/16", oz: "1/16", ton: "2000" },
  {
    second: "1",
    sec: "1",
    s: "1",
    minute: "60",
    min: "60",
    hour: "3600",
    hr: "3600",
    h: "3600",
    day: "86400",
    week: "604800"
  },
  { month: "1", year: "12", yr: "12" },
  { liter: "1", litre: "1", l: "1", ml: "1/1000", milliliter: "1/1000" },
  { dollar: "1", "$": "1", usd: "1", cent: "1/100", "¢": "1/100" },
  { euro: "1", "€": "1" },
  { "£": "1" },
  { degree: "1", "°": "1" }
]

export interface Unit {
  /** A unit that is not known has no quantity and is not compared. */
  readonly quantity?: number
  readonly scale?: Rational
  readonly percent?: true
}

/** Areas, volumes, speeds: not of the quantities above, and not told apart. */
const composedOf = -1

const known = new Map<string, Unit>(
  quantities.flatMap((units, quantity) =>
    Object.entries(units).map(([name, scale]) => [name, { quantity, scale: rational(scale)! }] as const)
  )
)
known.set("inche", known.get("inch")!)

const unitOf = (written: string): Unit => {
  const name = written.trim().toLowerCase().replace(/\.$/u, "")
  if (name === "%" || name === "percent") return { percent: true }
  return known.get(name) ?? known.get(name.replace(/s$/u, "")) ?? {}
}

/** Names of functions and constants, which are no units. */
const mathematical = /^(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|mod|and|or|if|for)\b/iu
const ending =
  /^(.*?)\s*(?:\\text\{\s*([^{}]*?)\s*\}((?:\s*\^\s*\{?[23]\}?)?)|([°%¢])|(?<=[\d}\])])\s+([A-Za-z]{2,}\.?(?:[ /][A-Za-z]+)*(?:\s*\^\s*\{?[23]\}?)?)|(?<=\d)\s*(cm|mm|km|kg|ft|in|mph|hours|dollars|cents|degrees))\.?$/su

/** An answer without its unit; null where it has none. */
export const withoutUnit = (text: string): { readonly core: string; readonly unit: Unit | null } => {
  const money = /^(?:US\s?)?([$€£])\s*(?=[\d.])/u.exec(text)
  const core = money === null ? text : text.slice(money[0].length)
  const match = ending.exec(core)
  const [, before = "", worded, power, sign, words, joined] = match ?? []
  const named = worded ?? sign ?? words ?? joined
  if (named === undefined || !/[\d}a-z)]/iu.test(before) || mathematical.test(named)) {
    return { core, unit: money === null ? null : unitOf(money[1]!) }
  }
  const composed = power !== undefined && power !== "" || /[a-z][ /^]/iu.test(named.trim())
  return { core: before, unit: composed ? { quantity: composedOf } : unitOf(named) }
}
