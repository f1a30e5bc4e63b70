/**
 * Formats of others, field by field. A field is read, or never changes what is computed, or is in use at some values alone; every other
 * value, and every field that is not in the table, is refused by name.
 */

/** How a field is read. `neutral`: whether a value changes nothing; `why`: what it would change. */
export type Reading =
  | { readonly read: true }
  | { readonly never: string }
  | { readonly neutral: (value: unknown) => boolean; readonly at: string; readonly why: string }

/** The fields that an owner writes into a file, by name. */
export interface FieldTable {
  /** The class that writes the file, with its version. */
  readonly owner: string
  readonly file: string
  readonly fields: Readonly<Record<string, Reading>>
}

/** The field decides what is computed, and is used. */
export const read: Reading = { read: true }

/** The field never changes what is computed from the file. */
export const never = (because: string): Reading => ({ never: because })

/** The field is refused except at these values, at which it changes nothing. */
export const only = (values: ReadonlyArray<unknown>, why: string): Reading => {
  const spelled = values.map((value) => JSON.stringify(value))
  return { neutral: (value) => spelled.includes(JSON.stringify(value)), at: spelled.join(", "), why }
}

/** A value that switches nothing on: null, false, an empty list or object. */
export const isEmpty = (value: unknown): boolean =>
  value === null || value === false || (typeof value === "object" && Object.keys(value).length === 0)

/** The field is refused unless it is null, false or empty. */
export const off = (why: string): Reading => ({ neutral: isEmpty, at: "null, false, empty", why })

const shown = (value: unknown): string => {
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** A line for each field whose value would change the result and is not read. */
export const refused = (
  { fields, owner }: FieldTable,
  json: Readonly<Record<string, unknown>>
): ReadonlyArray<string> =>
  Object.entries(json).flatMap(([name, value]) => {
    const reading = Object.hasOwn(fields, name) ? fields[name]! : undefined
    if (reading === undefined) {
      return isEmpty(value) ? [] : [`${name} is ${shown(value)}, and Keel does not know this field (${owner})`]
    }
    if (!("neutral" in reading) || reading.neutral(value)) return []
    return [`${name} is ${shown(value)}: ${reading.why}; Keel reads ${reading.at} alone`]
  })
