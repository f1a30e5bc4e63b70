import { type AnyRow, normalised, promptOf, writtenIn } from "./rows.ts"

/** The first of equal rows, or of rows with equal prompts; equal up to case and white space. */
export const deduplicate = <R extends AnyRow>(rows: ReadonlyArray<R>, by: "row" | "prompt"): ReadonlyArray<R> => {
  const seen = new Set<string>()
  return rows.filter((row) => {
    const said = by === "prompt" ? [promptOf(row)] : [promptOf(row), ...writtenIn(row)]
    const key = JSON.stringify(said.map(normalised))
    return seen.size < seen.add(key).size
  })
}
