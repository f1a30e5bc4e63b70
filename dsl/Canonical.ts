/** Canonical JSON: keys sorted by UTF-16 code unit, no white space (RFC 8785 for the values that a description can hold). */
import type * as Schema from "effect/Schema"

export const canonical = (value: Schema.Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (typeof value === "object" && value !== null) {
    const record = value as { readonly [key: string]: Schema.Json }
    const members = Object.keys(record).sort().map((key) => `${JSON.stringify(key)}:${canonical(record[key]!)}`)
    return `{${members.join(",")}}`
  }
  return JSON.stringify(value)
}

/** Most levels of lists and objects in a description: functions on it call themselves for each. */
export const deepest = 100

export const isDeep = (value: unknown, most = deepest): boolean =>
  typeof value === "object" && value !== null &&
  (most === 0 || Object.values(value).some((inner) => isDeep(inner, most - 1)))

/** The same value with the keys of every object in canonical order, frozen throughout. */
export const settled = (value: Schema.Json): Schema.Json => {
  if (Array.isArray(value)) return Object.freeze(value.map(settled))
  if (typeof value !== "object" || value === null) return value
  const record = value as { readonly [key: string]: Schema.Json }
  return Object.freeze(Object.fromEntries(Object.keys(record).sort().map((key) => [key, settled(record[key]!)])))
}
