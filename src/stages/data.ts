/** The operations that make rows out of rows of the same kind: one line each; the work is in `src/data`. */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Decontaminate } from "../../dsl/stages/Decontaminate.ts"
import type { Deduplicate } from "../../dsl/stages/Deduplicate.ts"
import type { Filter } from "../../dsl/stages/Filter.ts"
import type { Mix } from "../../dsl/stages/Mix.ts"
import type { Split } from "../../dsl/stages/Split.ts"
import type { Dataset } from "../data/dataset.ts"
import { decontaminate } from "../data/decontaminate.ts"
import { deduplicate } from "../data/deduplicate.ts"
import { encodingOf } from "../data/encodings.ts"
import { byTokens, filter } from "../data/filter.ts"
import { mix } from "../data/mix.ts"
import { mapped } from "../data/lazyArray.ts"
import { type AnyRow, promptOf, type PromptRow } from "../data/rows.ts"
import { split } from "../data/split.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Codec } from "../engine/engine.ts"
import { accepted } from "../ledger/acceptance.ts"
import type { Metrics } from "../store/runLog.ts"
import { dataStage } from "../training/dataStage.ts"
import type { Scope } from "../training/scope.ts"

type Stage = Mix | Filter | Split | Deduplicate | Decontaminate

interface Meant {
  readonly rows: ReadonlyArray<AnyRow>
  readonly metrics?: Metrics
}

/** Prompts with the name of the part that they are from. */
const from = (rows: ReadonlyArray<AnyRow>, column: string, name: string): ReadonlyArray<AnyRow> =>
  mapped(rows as ReadonlyArray<PromptRow>, (row) => ({ ...row, columns: { ...row.columns, [column]: name } }))

/** The function of each operation on the data sets on its wires. */
const meaning = (
  stage: Stage,
  wires: Readonly<Record<string, Dataset>>,
  { stream }: Pick<Scope, "stream">
): Meant => {
  const rows = (name: string): ReadonlyArray<AnyRow> => wires[name]!.rows
  switch (stage._tag) {
    case "Mix": {
      const parts = Object.entries(wires).map(([wire, { rows }]) => {
        const name = wire.slice("parts.".length)
        return [name, stage.column === undefined ? rows : from(rows, stage.column, name)] as const
      })
      const mixed = mix<AnyRow>(Object.fromEntries(parts), stage, stream, promptOf)
      const of = Object.entries(mixed.taken).flatMap(([name, { of, rows }]): ReadonlyArray<[string, number]> => [
        [`rows/${name}`, rows],
        [`passes/${name}`, of === 0 ? 0 : rows / of]
      ])
      return { rows: mixed.rows, metrics: Object.fromEntries(of) }
    }
    case "Filter":
      return { rows: filter(rows("of"), stage) }
    case "Split":
      return { rows: split(rows("of"), stage) }
    case "Deduplicate":
      return { rows: deduplicate(rows("of"), stage) }
    case "Decontaminate":
      return { rows: decontaminate(rows("of"), rows("against"), stage) }
  }
}

/** The prompts of rows; plain text has none. */
const promptsOf = (rows: ReadonlyArray<AnyRow>): ReadonlyArray<string> =>
  rows.length > 0 && "prompt" in rows[0]! ? mapped(rows, promptOf) : []

interface Applied {
  readonly dataset: Dataset
  readonly metrics: Metrics
}

/** Results of operations by their rows, which an inspection and a run share. */
const known = new WeakMap<
  ReadonlyArray<AnyRow>,
  Array<{ readonly of: ReadonlyArray<unknown>; readonly made: Applied }>
>()

/** The data that an operation makes, and numbers about it; `codec` counts tokens. In a world of letters all rows are short. */
const applied = Effect.fnUntraced(function*(
  stage: Stage,
  wires: Readonly<Record<string, Dataset>>,
  scope: Pick<Scope, "label" | "stream">,
  codec?: Codec,
  world = false
) {
  const all = Object.entries(wires)
  const rows = all[0]![1].rows
  const of = [JSON.stringify(stage), scope.stream, codec, world, ...all.flatMap(([wire, { rows }]) => [wire, rows])]
  const before = known.get(rows) ?? []
  const found = before.find((one) => one.of.length === of.length && one.of.every((part, i) => part === of[i]))
  if (found !== undefined) return found.made
  const made = yield* apply(stage, wires, scope, codec, world)
  known.set(rows, [...before, { of, made }])
  return made
})

const apply = Effect.fnUntraced(function*(
  stage: Stage,
  wires: Readonly<Record<string, Dataset>>,
  scope: Pick<Scope, "label" | "stream">,
  codec: Codec | undefined,
  world: boolean
) {
  const all = Object.values(wires)
  const first = wires["of"] ?? all[0]!
  // A world has a handful of prompts for both training and evaluation: none is held out.
  const shared = world && (stage._tag === "Split" || stage._tag === "Decontaminate")
  const { metrics = {}, rows: meant }: Meant = shared ? first : meaning(stage, wires, scope)
  let rows = meant
  if (stage._tag === "Filter" && codec !== undefined && !world) {
    const { kept, troubles: [trouble] } = yield* byTokens<AnyRow>(rows, encodingOf(first.role, codec), stage)
    if (trouble !== undefined) return yield* new UnusableData({ stage: scope.label, ...trouble })
    rows = kept
  }
  const vocabulary = all.flatMap((dataset) => dataset.role === "Text" ? dataset.vocabulary : [])
  const words = first.role === "Text" ? { vocabulary: [...new Set(vocabulary)] } : {}
  return { dataset: { ...first, rows, ...words } as Dataset, metrics } satisfies Applied as Applied
})

/** The data alone. */
export const changed = (...on: Parameters<typeof applied>) => Effect.map(applied(...on), ({ dataset }) => dataset)

export const data = Effect.fn("data")(function*(
  stage: Stage,
  wires: Readonly<Record<string, Dataset>>,
  scope: Scope,
  codec?: Codec
) {
  const { dataset: made, metrics } = yield* applied(
    stage,
    wires,
    scope,
    codec,
    (yield* CurrentEngine).kind === "tabular"
  )
  const rows: ReadonlyArray<AnyRow> = made.rows
  const all = Object.values(wires)
  const from: ReadonlyArray<AnyRow> = (wires["of"] ?? all[0]!).rows
  const before = all.reduce((sum, { rows }) => sum + rows.length, 0)
  yield* dataStage(
    scope,
    rows,
    () => ({ problem: `none of ${before} rows is left`, remedy: "Give it more rows, or ask for less." }),
    () => ({
      "rows/in": before,
      "rows/out": rows.length,
      ...metrics,
      ...(stage._tag === "Filter" ? accepted(promptsOf(from), promptsOf(rows)) : {})
    }),
    ["Filter", "Deduplicate", "Decontaminate"].includes(stage._tag)
      ? { dropped: from.length - rows.length, rows: from.length }
      : undefined
  )
  return made
})
