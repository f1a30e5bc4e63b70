import { stream } from "../sampling/random.ts"
import { selected } from "./lazyArray.ts"
import { type AnyRow, normalised, promptOf } from "./rows.ts"

/** The rows of a part; prompts that are equal up to case and white space are in the same part. */
export const split = <R extends AnyRow>(rows: ReadonlyArray<R>, options: {
  readonly fraction: number
  readonly part: "first" | "rest"
  readonly seed: number
}): ReadonlyArray<R> =>
  selected(rows, (row) => {
    const first = stream(`split/${options.seed}/${normalised(promptOf(row))}`).next() < options.fraction
    return first === (options.part === "first")
  })
