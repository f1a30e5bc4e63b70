/**
 * A rehearsal: the real code of a stage, of which a few steps stand for all of them. `plan` provides one; where nobody does,
 * every step is made.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { lazily } from "../data/lazily.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"

/** What steps take: some of `count` rows, pairs or groups, which may be encoded when they are looked at. */
export interface Taking {
  readonly count: number
  /** How many of them a step takes, on average. */
  readonly perStep: number
  /** Which of them step `n` takes. */
  readonly of: (n: number) => ReadonlyArray<number>
  /** Tokens of one of them. */
  readonly tokens: (i: number) => number
  /** Characters of one of them, which it need not be encoded for. */
  readonly characters?: (i: number) => number
}

export interface Rehearsal {
  /**
   * Makes a few of the steps 0 … `count` − 1 in order, each for its share of them. Steps are alike but for their data, except that
   * another kind of step begins at each of `turns`. By what they are `taking`, steps are chosen, and stand for others.
   */
  readonly steps: <E, R>(
    count: number,
    once: (n: number) => Effect.Effect<unknown, E, R>,
    turns: ReadonlyArray<number>,
    taking?: Taking
  ) => Effect.Effect<void, E, R>
  /**
   * Does `once` what the stage does `times` times in all; within another, the innermost says. What it asks of models belongs to
   * `phase`, or each verb to its own when left out.
   */
  readonly times: <A, E, R>(times: number, once: Effect.Effect<A, E, R>, phase?: Phase) => Effect.Effect<A, E, R>
}

export const CurrentRehearsal = Context.Reference<Rehearsal | null>("keel/Rehearsal", { defaultValue: () => null })

/** Makes the steps 0 … `count` − 1 one after the other, of which the last may be shorter; a few of them in a rehearsal. */
export const each = <E, R>(
  count: number,
  once: (n: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, E, R> =>
  Effect.flatMap(CurrentRehearsal, (rehearsal) =>
    rehearsal === null
      ? Effect.forEach(Array.from({ length: count }, (_, n) => n), once, { discard: true })
      : rehearsal.steps(count, once, [count - 1]))

/** Rows that were made; in a rehearsal, in which not all of them were, those there are again and again. */
export const whole = <A>(rows: ReadonlyArray<A>, count: number): Effect.Effect<ReadonlyArray<A>> =>
  Effect.map(CurrentRehearsal, (rehearsal) =>
    rehearsal === null || rows.length === 0 || rows.length >= count
      ? rows
      : lazily(count, (i) => rows[i % rows.length]!))
