/** The operations that make rows out of rows of the same kind: one line each; the work is in `src/data`. */
import * as Effect from "effect/Effect"
import type { Decontaminate } from "../../dsl/stages/Decontaminate.ts"
import type { Deduplicate } from "../../dsl/stages/Deduplicate.ts"
import type { Filter } from "../../dsl/stages/Filter.ts"
import type { Mix } from "../../dsl/stages/Mix.ts"
import type { Split } from "../../dsl/stages/Split.ts"
import type { Dataset } from "../data/dataset.ts"
import { decontaminate } from "../data/decontaminate.ts"
import { deduplicate } from "../data/deduplicate.ts"
import { filter } from "../data/filter.ts"
import { mix } from "../data/mix.ts"
import type { AnyRow } from "../data/rows.ts"
import { split } from "../data/split.ts"
import { CurrentEngine } from "../engine/current.ts"
import { accepted } from "../ledger/acceptance.ts"
import type { Metrics } from "../store/runLog.ts"
import { dataStage } from "../training/dataStage.ts"
import type { Scope } from "../training/scope.ts"

type Stage = Mix | Filter | Split | Deduplicate | Decontaminate

interface Meant {
  readonly rows: ReadonlyArray<AnyRow>
  readonly metrics?: Metrics
}

/** The function of each operation on the data sets on its wires. */
const meaning = (stage: Stage, wires: Readonly<Record<string, Dataset>>, scope: Scope): Meant => {
  const rows = (name: string): ReadonlyArray<AnyRow> => wires[name]!.rows
  switch (stage._tag) {
    case "Mix": {
      const parts = Object.entries(wires).map(([wire, { rows }]) => [wire.slice("parts.".length), rows] as const)
      const mixed = mix<AnyRow>(Object.fromEntries(parts), stage, scope.stream)
      const of = Object.entries(mixed.taken).flatMap(([name, { of, rows }]): ReadonlyArray<[string, number]> => [
        [`rows/${name}`, rows],
        [`passes/${name}`, of === 0 ? 0 : rows / of]
      ])
      return { rows: mixed.rows, metrics: Object.fromEntries(of) }
    }
    case "Filter": {
      const kept = filter(rows("of"), stage)
      return { rows: kept, metrics: accepted(promptsOf(rows("of")), promptsOf(kept)) }
    }
    case "Split":
      return { rows: split(rows("of"), stage) }
    case "Deduplicate":
      return { rows: deduplicate(rows("of"), stage) }
    case "Decontaminate":
      return { rows: decontaminate(rows("of"), rows("against"), stage) }
  }
}

/** The prompt of each row that has one. */
const promptsOf = (rows: ReadonlyArray<AnyRow>): ReadonlyArray<string> =>
  rows.flatMap((row) => "prompt" in row ? [row.prompt] : [])

export const data = Effect.fn("data")(function*(
  stage: Stage,
  wires: Readonly<Record<string, Dataset>>,
  scope: Scope
) {
  const all = Object.values(wires)
  const first = wires["of"] ?? all[0]!
  // A world has a handful of prompts for both training and evaluation: none is held out.
  const shared = (yield* CurrentEngine).kind === "tabular" && (stage._tag === "Split" || stage._tag === "Decontaminate")
  const { metrics = {}, rows }: Meant = shared ? first : meaning(stage, wires, scope)
  const before = all.reduce((sum, { rows }) => sum + rows.length, 0)
  yield* dataStage(scope, rows, {
    problem: `none of ${before} rows is left`,
    remedy: "Give it more rows, or ask for less."
  }, {
    "rows/in": before,
    "rows/out": rows.length,
    ...metrics
  })
  const vocabulary = all.flatMap((dataset) => dataset.role === "Text" ? dataset.vocabulary : [])
  return { ...first, rows, ...(first.role === "Text" ? { vocabulary: [...new Set(vocabulary)] } : {}) } as Dataset
})
