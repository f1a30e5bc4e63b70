/** Canonical JSON: keys sorted by UTF-16 code unit, no white space (RFC 8785 for the values that a description can hold). */
import type { Schema } from "effect"

export const canonical = (value: Schema.Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (typeof value === "object" && value !== null) {
    const record = value as { readonly [key: string]: Schema.Json }
    const members = Object.keys(record).sort().map((key) => `${JSON.stringify(key)}:${canonical(record[key]!)}`)
    return `{${members.join(",")}}`
  }
  return JSON.stringify(value)
}
