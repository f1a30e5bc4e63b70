/** A report of the reading, for people. */
export interface About {
  /** The path, list or pattern. */
  readonly name: string
  readonly files: number
  /** Rows by the layout in which they were found. */
  readonly layouts: ReadonlyArray<readonly [name: string, rows: number]>
  /** Bad rows that were left out; null where there were none. */
  readonly skipped: { readonly rows: number; readonly first: string } | null
}

export const count = (n: number): string => n.toLocaleString("en")

/** A line on the reading, and one on the bad rows that were left out. */
export const told = ({ files, layouts, name, skipped }: About): ReadonlyArray<string> => {
  const rows = layouts.map(([layout, rows]) => `${count(rows)} row${rows === 1 ? "" : "s"} of ${layout}`)
  return [
    `${name}: ${files === 1 ? "" : `${count(files)} files, `}${rows.join(", ")}`,
    ...(skipped === null
      ? []
      : [`${name}: ${count(skipped.rows)} bad row${skipped.rows === 1 ? "" : "s"} left out; first ${skipped.first}`])
  ]
}
