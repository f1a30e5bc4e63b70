/** Reads the fields of an untrusted JSON object, and collects all problems instead of stopping at the first. */
export interface FieldReader {
  readonly raw: Readonly<Record<string, unknown>>
  /** A field by itself; it counts as read. */
  readonly value: (key: string) => unknown
  /** Fields that were asked for. */
  readonly asked: ReadonlySet<string>
  readonly problems: ReadonlyArray<string>
  readonly wrong: (problem: string) => void
  /** A whole number, at least `min` (1). Required when there is no default. */
  readonly size: (key: string, otherwise?: number, max?: number, min?: number) => number
  readonly number: (key: string, otherwise?: number) => number
  readonly flag: (key: string, otherwise: boolean) => boolean
  readonly text: (key: string, otherwise: string) => string
  /** A token id below `vocab`, several, or none (null). */
  readonly ids: (key: string, otherwise: number | null, vocab: number) => ReadonlyArray<number>
  /** The fields of a nested object, their problems noted here too. */
  readonly nested: (raw: Readonly<Record<string, unknown>>) => FieldReader
}

const largest = 2 ** 31 - 1

/** Mistakes are kept once each, in the order they are found. */
export const fields = (raw: Readonly<Record<string, unknown>>, problems: Array<string> = []): FieldReader => {
  const wrong = (problem: string): void => {
    if (!problems.includes(problem)) problems.push(problem)
  }
  const asked = new Set<string>()
  const at = (key: string): unknown => {
    asked.add(key)
    return raw[key]
  }
  const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 60) ?? "missing"
  /** `stand` takes the place of a bad value so that reading can go on. */
  const read = <A>(
    key: string,
    otherwise: A | undefined,
    stand: A,
    is: (value: unknown) => value is A,
    what: string
  ): A => {
    const value = at(key)
    if (value === undefined && otherwise !== undefined) return otherwise
    if (is(value)) return value
    wrong(value === undefined ? `${key} is missing` : `${key} must be ${what}, not ${shown(value)}`)
    return otherwise ?? stand
  }
  return {
    raw,
    value: at,
    asked,
    problems,
    wrong,
    size: (key, otherwise, max = largest, min = 1) =>
      read(
        key,
        otherwise,
        min,
        (value): value is number => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
        `a whole number from ${min} to ${max}`
      ),
    number: (key, otherwise) => read(key, otherwise, 1, (value): value is number => Number.isFinite(value), "a number"),
    flag: (key, otherwise) =>
      read(key, otherwise, false, (value): value is boolean => typeof value === "boolean", "true or false"),
    text: (key, otherwise) =>
      read(key, otherwise, "", (value): value is string => typeof value === "string", "a string"),
    ids: (key, otherwise, vocab) => {
      const value = at(key) === undefined ? otherwise : raw[key]
      if (value === null) return []
      const list: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
      return list.filter((id): id is number => {
        // −1 is how some old files say "none".
        if (id === -1) return false
        const good = Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocab
        if (!good) wrong(`${key} ${shown(id)} is not a token id below vocab_size ${vocab}`)
        return good
      })
    },
    nested: (inner) => fields(inner, problems)
  }
}
