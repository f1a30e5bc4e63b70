/** Where rows come from, for messages: a row stays the same object on its way through operations on data. */
export interface Place {
  readonly path: string
  /** From 1. */
  readonly line: number
}

const places = new WeakMap<object, Place>()

/** The same row, read from a line of a file (1 for the first line). */
export const placed = <Row extends object>(row: Row, path: string, line: number): Row => {
  places.set(row, { path, line })
  return row
}

/** The place of a row that comes from a file. */
export const placeIn = (row: object): Place | undefined => places.get(row)

/** `file:line` of a row, or its number where it comes from no file. */
export const placeOf = (row: unknown, index: number): string => {
  const place = typeof row === "object" && row !== null ? places.get(row) : undefined
  return place === undefined ? `row ${index + 1}` : `${place.path}:${place.line}`
}

/** `row`, made of `of`, has its place. */
export const placedAs = <Row extends object>(row: Row, of: object): Row => {
  const place = places.get(of)
  if (place !== undefined) places.set(row, place)
  return row
}
