import * as Effect from "effect/Effect"
import { pairwise } from "../../dsl/Judge.ts"
import type { Judge } from "../../dsl/stages/Judge.ts"
import { type CompletionRow, groupedByPrompt, type PreferenceRow } from "../data/rows.ts"
import { pairsIn } from "../data/verdicts.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { chunked } from "../training/chunks.ts"
import { Compared, comparing, pairsOf } from "../training/comparing.ts"
import { dataStage } from "../training/dataStage.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** Prompts whose completions are compared at a time. */
const atOnce = 256

interface Wires {
  readonly completions: ReadonlyArray<CompletionRow>
  readonly judge: Weights | undefined
  readonly verdicts: ReadonlyArray<PreferenceRow> | undefined
}

/** Has every two different completions of each prompt compared; see `dsl/stages/Judge.ts`. */
export const judge = Effect.fn("judge")(function*(stage: Judge, wires: Wires, scope: Scope) {
  const { people } = stage
  const world = (yield* CurrentEngine).kind === "tabular"
  if (people !== undefined && !world) return yield* byPeople(people, wires, scope)
  const groups = groupedByPrompt(wires.completions)
  // People see the gold reward of a world, as every judge does.
  const comparison = yield* comparing(
    scope,
    people === undefined ? stage : { judge: pairwise({}) },
    wires.judge,
    people
  )
  const chunks = yield* chunked(scope, { comparisons: { items: groups.length, size: atOnce } })
  const compared = yield* chunks.rows("comparisons", {
    row: Compared,
    rowsPerItem: groups.reduce((sum, { length }) => sum + length * (length - 1) / 2, 0) / groups.length,
    make: Effect.fnUntraced(function*(from, to) {
      const pairs = groups.slice(from, to).flatMap((group, i) =>
        pairsOf(
          group[0]!,
          group.map(({ completion, ended }) => ({ text: completion, ended })),
          `${scope.stream}/${from + i}`
        )
      )
      return { ...(yield* comparison.of(pairs)), tokens: 0 }
    })
  })
  const kept = yield* comparison.kept(compared)
  yield* chunks.finished
  return kept
}, Effect.scoped)

/** The verdicts on pairs of the completions; a plan takes all, because it makes up the completions. */
const byPeople = Effect.fnUntraced(function*(people: string, { completions, verdicts = [] }: Wires, scope: Scope) {
  const planned = (yield* CurrentRehearsal) !== null
  const { pairs, unmatched } = planned ? { pairs: verdicts, unmatched: 0 } : pairsIn(completions, verdicts)
  return yield* dataStage(scope, pairs, () => ({
    problem: `of ${verdicts.length} verdicts of ${people} none is on two of its ${completions.length} completions`,
    remedy: "Have these completions judged, and write their texts into the verdicts as they are."
  }), () => ({
    "verdicts": verdicts.length,
    "verdicts/of_other_completions": unmatched
  }), { dropped: unmatched, rows: verdicts.length })
})
