/** A look at every row as token ids: which are too long, cannot be encoded, are left; a message a mistake, not a row. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Codec } from "../engine/engine.ts"
import { Abandoned, Overran, unwatched, windows } from "../model/foreign.ts"
import { type Keep, Unfit } from "./cut.ts"
import { lazyArray, picked } from "./lazyArray.ts"
import { placeOf } from "./places.ts"
import { type AnyRow, longestIn } from "./rows.ts"
import type { Told } from "./told.ts"
import { unknownTo } from "./unknownWords.ts"
import { withoutPrompt } from "./withoutPrompt.ts"

/** A mistake that some rows have, with their count and the first of them. */
export interface Trouble {
  readonly problem: string
  readonly remedy: string
}

export interface Survey {
  readonly rows: number
  /** Rows that are left. */
  readonly kept: number
  readonly truncated: number
  readonly dropped: number
  /** Most tokens of a row that is left. */
  readonly most: number
  /** Of whole rows, before they are cut or dropped. */
  readonly tokens: { readonly mean: number; readonly longest: number; readonly place: string }
  readonly troubles: ReadonlyArray<Trouble>
}

interface Within<A, B> {
  readonly encode: (row: A) => B
  readonly tokens: (encoded: B) => number
  readonly cut: (encoded: B, most: number, keep: Keep) => B
  readonly most: number
  readonly context: number
  readonly room: number
  readonly truncation: Keep | "error" | "drop"
}

const count = (n: number): string => n.toLocaleString("en-US")

/** A row as token ids, perhaps cut; only the number of its tokens where it is too long. */
type Fitted<B> =
  | { readonly fits: true; readonly tokens: number; readonly encoded: B; readonly cut: boolean }
  | { readonly fits: false; readonly tokens: number }

const fitted = <A, B>(row: A, { cut, encode, most, tokens, truncation }: Within<A, B>): Fitted<B> => {
  const encoded = encode(row)
  const length = tokens(encoded)
  if (length <= most) return { fits: true, tokens: length, encoded, cut: false }
  if (truncation === "error" || truncation === "drop") return { fits: false, tokens: length }
  return { fits: true, tokens: length, encoded: cut(encoded, most, truncation), cut: true }
}

/** A row that cannot be used, in words. */
const unfit = (error: unknown): Trouble => {
  if (error instanceof Abandoned) throw error
  if (error instanceof Unfit) return { problem: error.message, remedy: error.remedy }
  if (error instanceof Overran) return { problem: error.problem, remedy: error.remedy }
  const problem = error instanceof Error ? error.message : String(error)
  return { problem: `cannot be encoded: ${problem}`, remedy: "Use text that the model's tokenizer knows." }
}

const tooLong = (
  { context, most, room }: Pick<Within<never, never>, "context" | "most" | "room">,
  long: { readonly rows: number; readonly first: string; readonly tokens: number; readonly longest: string },
  all: number
): Trouble => {
  const limit = most < context - Math.min(1, room)
    ? `maxLength is ${most}`
    : `the context is ${context}`
  const asks = room > 0 ? " and needs room for 1 more" : ""
  return {
    problem: long.rows === 1
      ? `${long.first} has ${long.tokens} tokens${asks}; ${limit}`
      : `${count(long.rows)} of ${
        count(all)
      } rows are too long, first ${long.first}; the longest, ${long.longest}, has ${
        count(long.tokens)
      } tokens${asks}; ${limit}`,
    remedy: 'Where it trains on them, set truncation: "drop", "keep-start" or "keep-end"; elsewhere leave them out, ' +
      "Filter.make({ of, tokenizer }, { maxTokens }), or take a model with a longer context."
  }
}

/** Looks at every row and gives those that fit, as `within` says, to `keep`. */
export const survey = <A extends object, B>(
  rows: ReadonlyArray<A>,
  within: Within<A, B>,
  keep: (row: A, encoded: B, place: number) => void
): Effect.Effect<Survey> =>
  Effect.suspend(() => {
    let [at, sum, kept, truncated, over] = [0, 0, 0, 0, 0]
    let firstOver = ""
    const longest = { tokens: 0, place: "" }
    /** By their remedies: the same mistake differs from row to row in its details. */
    const unfits = new Map<string, { readonly first: string; readonly problem: string; rows: number }>()
    const bad = (error: unknown): void => {
      const { problem, remedy } = unfit(error)
      const known = unfits.get(remedy)
      if (known === undefined) unfits.set(remedy, { first: placeOf(rows[at], at), problem, rows: 1 })
      else known.rows++
    }
    const piece = (): Result.Result<"more" | "done"> => {
      const row = rows[at]
      if (row === undefined) return Result.succeed("done")
      try {
        const one = fitted(row, within)
        sum += one.tokens
        if (one.tokens > longest.tokens) Object.assign(longest, { tokens: one.tokens, place: placeOf(row, at) })
        if (!one.fits) {
          if (over++ === 0) firstOver = placeOf(row, at)
        } else {
          if (one.cut) truncated++
          kept++
          keep(row, one.encoded, at)
        }
      } catch (error) {
        if (error instanceof Overran) throw error
        bad(error)
      }
      at++
      return Result.succeed("more")
    }
    const found = (): Survey => {
      const drops = within.truncation === "drop"
      const troubles = [...unfits].map(([remedy, { first, problem, rows }]): Trouble => ({
        problem: `${first}${problem.startsWith("cannot") ? " " : ": "}${problem}${
          rows === 1 ? "" : ` (and ${count(rows - 1)} other row${rows === 2 ? "" : "s"} like it)`
        }`,
        remedy
      }))
      if (over > 0 && !drops) {
        const long = { rows: over, first: firstOver, tokens: longest.tokens, longest: longest.place }
        troubles.unshift(tooLong(within, long, rows.length))
      }
      if (kept === 0 && rows.length > 0 && troubles.length === 0) {
        troubles.push({
          problem: `all ${count(rows.length)} rows are longer than ${within.most} tokens and were dropped`,
          remedy: 'Raise maxLength, or cut them: truncation "keep-start" or "keep-end".'
        })
      }
      return {
        rows: rows.length,
        kept,
        truncated,
        dropped: drops ? over : 0,
        most: within.most,
        tokens: { mean: sum / Math.max(1, at), longest: longest.tokens, place: longest.place },
        troubles
      }
    }
    // A text that takes too long ends the look: others may take as long.
    return windows(piece, (error) => error).pipe(
      Effect.catch((error) => Effect.sync(() => bad(error))),
      Effect.map(found)
    )
  })

/** A survey, the rows that are left of those that it looked at, and lines about them. */
export interface Surveyed<A> {
  readonly survey: Survey
  readonly rows: ReadonlyArray<A>
  readonly told: ReadonlyArray<Told>
}

/** By the rows, how they were encoded, and the limits. */
const surveys = new WeakMap<ReadonlyArray<object>, Map<unknown, Map<string, Surveyed<any>>>>()

const keyOf = (
  { context, most, room, truncation }: Pick<Within<never, never>, "context" | "most" | "room" | "truncation">,
  count: number
): string => [count, most, context, room, truncation].join(" ")

/** An earlier survey of the same rows. */
export const surveyedBefore = <A extends object, B>(
  rows: ReadonlyArray<A>,
  within: Within<A, B>
): Surveyed<A> | undefined => surveys.get(rows)?.get(within.encode)?.get(keyOf(within, rows.length))

/** A survey that gives its encoded rows to `keep`, and is remembered as long as the rows. */
export const surveyed = Effect.fnUntraced(function*<A extends object, B>(
  rows: ReadonlyArray<A>,
  within: Within<A, B>,
  codec: Codec,
  keep: (encoded: B) => void = () => {}
) {
  const told = [unknownTo(codec), withoutPrompt(codec)]
  const places = new Uint32Array(within.truncation === "drop" ? rows.length : 0)
  let count = 0
  const found = yield* survey(rows, within, (row, encoded, place) => {
    for (const one of told) one.add(row, encoded)
    if (within.truncation === "drop") places[count++] = place
    keep(encoded)
  })
  const left = found.dropped === 0 ? rows : picked(rows, places.slice(0, count))
  const all = surveys.get(rows) ?? new Map<unknown, Map<string, Surveyed<any>>>()
  const encoded = all.get(within.encode) ?? new Map<string, Surveyed<any>>()
  const made: Surveyed<A> = { survey: found, rows: left, told }
  surveys.set(rows, all.set(within.encode, encoded.set(keyOf(within, rows.length), made)))
  return made
})

/** A row that an earlier survey found fit, as token ids. */
export const encodedAgain = <A extends object, B>(row: A, within: Within<A, B>): B =>
  unwatched(() => {
    const one = fitted(row, within)
    if (!one.fits) throw new Error("a row that was fit is too long")
    return one.encoded
  })

/** Rows of which a plan tells how many are dropped. */
const estimating = 256

/**
 * Rows for a plan, each encoded when it is first looked at; one that cannot be used throws `broken` then. Rows that are dropped are told by
 * their characters, with the tokens of a character as some rows have them: one that is dropped by mistake, or kept, is near the limit.
 */
export const readWhenAsked = <A extends object, B>(
  rows: ReadonlyArray<A>,
  within: Within<A, B>,
  broken: (trouble: Trouble) => Error
): { readonly rows: ReadonlyArray<A>; readonly encoded: ReadonlyArray<B> } => {
  const kept = within.truncation === "drop" ? likelyKept(rows, within) : rows
  const cutting: Within<A, B> = within.truncation === "drop" ? { ...within, truncation: "keep-start" } : within
  const at = (i: number): B => {
    let one: Fitted<B>
    try {
      one = fitted(kept[i]!, cutting)
    } catch (error) {
      const { problem, remedy } = unfit(error)
      throw broken({ problem: `${placeOf(kept[i], i)}: ${problem}`, remedy })
    }
    if (one.fits) return one.encoded
    const place = placeOf(kept[i], i)
    throw broken(tooLong(within, { rows: 1, first: place, tokens: one.tokens, longest: place }, 1))
  }
  return { rows: kept, encoded: lazyArray(kept.length, at) }
}

const likelyKept = <A extends object, B>(
  rows: ReadonlyArray<A>,
  { encode, most, tokens }: Within<A, B>
): ReadonlyArray<A> => {
  const characters = (row: A): number => longestIn(row as unknown as AnyRow)
  let [read, made] = [1, 1]
  for (let i = 0; i < rows.length; i += Math.ceil(rows.length / estimating)) {
    try {
      made += tokens(encode(rows[i]!))
      read += characters(rows[i]!)
    } catch (error) {
      unfit(error)
    }
  }
  const kept = rows.filter((row) => characters(row) * made / read <= most)
  return kept.length === 0 ? rows.slice(0, 1) : kept
}
