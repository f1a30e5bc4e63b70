/**
 * Rows of files, in order: each is found in its file, recognised, and made a row of its role. All bad rows are counted. Memory does not
 * depend on the size of the files (`growing.ts`).
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { windows } from "../model/foreign.ts"
import { sizeOf } from "../model/regularFile.ts"
import { type About, count } from "./about.ts"
import { BadData } from "./badData.ts"
import type { Role, RowsOf } from "./dataset.ts"
import { Unfit } from "./encode.ts"
import * as formats from "./formats.ts"
import { growing } from "./growing.ts"
import { kindOf, recordsIn } from "./kinds.ts"
import { recognising } from "./layouts.ts"
import { type Named, nameOf, pathsOf } from "./paths.ts"
import { rankingRow, stepwiseRow } from "./rankingFormats.ts"
import type { Found } from "./record.ts"

export interface Options extends formats.RowFormat {
  /** Leaves out this many rows first. */
  readonly offset?: number
  /** Reads at most this many rows after them. */
  readonly limit?: number
  /** Rows that cannot be used: an error, or left out and counted. */
  readonly onBadRow?: "fail" | "skip"
  /** All rows that there are to be. */
  readonly all?: number
}

export interface Read<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly about: About
}

/** How a record becomes a row of a role; in a file of plain text a line is a record. Throws `Unfit`. */
export interface Reader<Row> {
  /** Null: rows of their own columns. */
  readonly role: Role | null
  readonly row: (json: formats.Json, format: formats.RowFormat) => Row
  readonly plain?: (text: string) => Row
}

type Readers = { readonly [R in Role]: Reader<RowsOf<R>[number]> & { readonly role: R } }

export const readers: Readers = {
  Text: { role: "Text", row: formats.textRow, plain: (text) => ({ text }) },
  Prompts: { role: "Prompts", row: formats.promptRow, plain: (prompt) => ({ prompt }) },
  Demonstrations: { role: "Demonstrations", row: formats.demonstrationRow },
  Preferences: { role: "Preferences", row: formats.preferenceRow },
  Rankings: { role: "Rankings", row: rankingRow },
  UnpairedPreferences: { role: "UnpairedPreferences", row: formats.unpairedPreferenceRow },
  Stepwise: { role: "Stepwise", row: stepwiseRow },
  Completions: { role: "Completions", row: formats.completionRow },
  ScoredCompletions: { role: "ScoredCompletions", row: formats.scoredRow }
}

/** Bad rows that an error shows. */
const shownRows = 5

interface BadRow {
  readonly path: string
  readonly line: number
  readonly error: Unfit
}

/** Bad rows as an error: the first with its remedy, the number of others, and some of them. */
const badRows = ([first, ...others]: ReadonlyArray<BadRow>, all: number): BadData => {
  const { error, line, path } = first!
  const shown = others.map((other) =>
    `${other.path === path ? "line " : `${other.path}:`}${other.line}: ${other.error.message.slice(0, 80)}`
  )
  if (all - 1 > others.length) shown.push("…")
  const more = all === 1
    ? ""
    : `; ${count(all - 1)} other row${all === 2 ? " is" : "s are"} bad (${shown.join("; ")})`
  return new BadData({ path, line, problem: `${error.message}${more}`, remedy: error.remedy })
}

const unreadable = (path: string) => (error: unknown): BadData => {
  if (error instanceof BadData) return error
  const { code, message } = error as NodeJS.ErrnoException
  const bad = (problem: string, remedy: string) => new BadData({ path, line: 0, problem, remedy })
  return code === "ENOENT"
    ? bad("no such file", "Check the path.")
    : bad(`cannot be read: ${message}`, "Check that it is a file, and who may read it.")
}

/** That it is a regular file, of any size. */
const regular = (path: string) =>
  sizeOf(path, Infinity).pipe(
    Effect.catchTag("Unreadable", ({ problem, remedy }) => new BadData({ path, line: 0, problem, remedy })),
    Effect.catchReason("PlatformError", "NotFound", () => Effect.fail(unreadable(path)({ code: "ENOENT" }))),
    Effect.catchTag("PlatformError", (error) => Effect.fail(unreadable(path)(error)))
  )

/** All rows of the files, or the mistakes in them. */
export const read = <Row extends object>({ plain, role, row }: Reader<Row>) =>
  Effect.fn("data.read")(function*(named: Named, options: Options = {}) {
    const { all: stated, limit = Infinity, offset = 0, onBadRow = "fail" } = options
    const paths = yield* pathsOf(named)
    const recognised = recognising(role, options)
    const rows = growing<Row>()
    const layouts = new Map<string, number>()
    const bad: Array<BadRow> = []
    let [good, wrong] = [0, 0]
    const full = () => good + (onBadRow === "fail" ? wrong : 0) >= offset + limit
    const made = (value: formats.Json | string, note?: string): Row => {
      if (typeof value !== "string") {
        const { as, name } = recognised(value)
        const one = formats.rowIn(row, as(value), options)
        const layout = note === undefined ? name : `${name}, ${note}`
        layouts.set(layout, (layouts.get(layout) ?? 0) + 1)
        return one
      }
      if (plain === undefined) {
        throw new Unfit("a line of plain text has no fields", "Give a .jsonl file, one object a line.")
      }
      return plain(value)
    }
    for (const path of paths) {
      if (full()) break
      if (kindOf(path) !== undefined) yield* regular(path)
      let line = 0
      // Rows of conversations are rendered by the model's template, so that this runs within its limits.
      const all = (batch: ReadonlyArray<Found>) => {
        let at = 0
        return (): Result.Result<"more" | "done", BadData> => {
          const found = batch[at]
          if (found === undefined || full()) return Result.succeed("done")
          line = found.line
          try {
            const value = found.value()
            if (value !== undefined) {
              const one = made(value, found.note)
              if (good++ >= offset && (wrong === 0 || onBadRow === "skip")) {
                rows.push(one, found.bytes, { path, line })
              }
            }
          } catch (error) {
            if (!(error instanceof Unfit)) throw error
            if (wrong++ < shownRows) bad.push({ path, line, error })
          }
          at++
          return Result.succeed("more")
        }
      }
      yield* Effect.acquireUseRelease(
        Effect.try({ try: () => recordsIn(path, options.fields ?? {}), catch: unreadable(path) }),
        Effect.fnUntraced(function*(records) {
          while (!full()) {
            const next = yield* Effect.tryPromise({ try: () => records.next(), catch: unreadable(path) })
            if (next.done === true) break
            if (next.value.length === 0) continue
            yield* windows(all(next.value), ({ problem, remedy }) => new BadData({ path, line, problem, remedy }))
          }
        }),
        (records) => Effect.promise(() => records.return(undefined))
      )
    }
    const whole = (problem: string, remedy: string) => new BadData({ path: nameOf(named), line: 0, problem, remedy })
    if (wrong > 0 && (onBadRow === "fail" || good === 0)) return yield* badRows(bad, wrong)
    if (good === 0) return yield* whole("no rows in it", "Give a file with at least one row.")
    if (stated !== undefined && !full() && good + wrong !== stated) {
      return yield* whole(
        `it has ${count(good + wrong)} rows, and its description says ${count(stated)}`,
        "Give the version (revision, split, file) that has as many, or correct rows in the description."
      )
    }
    if (rows.length() === 0) {
      return yield* whole(`no rows are left after the first ${offset}`, "Lower offset or give a file with more rows.")
    }
    const [first] = bad
    return {
      rows: rows.all(),
      about: {
        name: nameOf(named),
        files: paths.length,
        layouts: [...layouts].sort(([, a], [, b]) => b - a),
        skipped: first === undefined ? null : {
          rows: wrong,
          first: `${first.path}:${first.line}: ${first.error.message}`
        }
      }
    } satisfies Read<Row> as Read<Row>
  })
