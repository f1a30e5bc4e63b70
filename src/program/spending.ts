/** The planned spending of a run, kept in its folder, and the actual spending. */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { feesIn } from "../interpreters/checks/endpoints.ts"
import { finishedIn, spentIn } from "../interpreters/storeKeys.ts"
import { peakResident } from "../bench/memory.ts"
import type { Planned, StagePlan } from "../planning/plan.ts"
import { type Expected, rowsOf, spending } from "../report/spending.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import { events as eventsOf } from "../store/runDirectory.ts"
import { type Price, toJson } from "../store/spent.ts"

/** The planned spending of a run. */
export interface Expectation {
  readonly stages: Readonly<Record<string, Expected>>
  /** Most bytes of the process, the backend's included. */
  readonly process: number
  /** Why a stage has no plan, in one line. */
  readonly problem: string | null
}

/** Writes the planned spending into the folder of the run. */
export const expected = Effect.fn("expected")(function*(
  folder: string,
  { stages, unplanned: [first] }: Planned,
  inProcess: (stage: Pick<StagePlan, "bytes" | "host">) => number
) {
  const made: Expectation = {
    stages: Object.fromEntries(stages.map(({ bytes, disk, flops, generated, prompts, seconds, stage, trained }) => [
      stage,
      { generated, trained, flops, memory: bytes, prompts, disk, seconds }
    ])),
    process: Math.max(inProcess({ bytes: 0, host: 0 }), ...stages.map(inProcess)),
    problem: first === undefined ? null : `${first.stage}: ${first.problem}`
  }
  yield* writeFileAtomic(join(folder, "planned.json"), `${JSON.stringify(made, null, 2)}\n`)
  return made
})

/** Planned and actual spending as text; as numbers in `spending.json`. */
export const spent = Effect.fn("spent")(function*(
  folder: string,
  root: Artifact.Any,
  { problem, process, stages }: Expectation,
  price: Price | null
) {
  const [found, started] = [yield* spentIn(root), new Set<string>()]
  for (const event of yield* eventsOf(folder)) if (event._tag === "Started") started.add(event.stage)
  const finished = yield* finishedIn(root)
  const rows: Array<Parameters<typeof rowsOf>[0][number]> = []
  for (const artifact of Artifact.lineage(root)) {
    const [name, took] = [label(artifact), found.get(artifact.id) ?? null]
    const expected = stages[name] ?? null
    if (took === null && expected === null) continue
    rows.push({ stage: name, earlier: !started.has(name) && (yield* finished(artifact)), expected, spent: took })
  }
  const numbers = rowsOf(rows).map(({ spent, ...row }) => ({
    ...row,
    spent: spent === null ? null : { ...toJson(spent) as object, prompts: spent.prompts.size }
  }))
  const memory = { expected: process, spent: peakResident() }
  yield* writeFileAtomic(
    join(folder, "spending.json"),
    `${JSON.stringify({ price, problem, process: memory, stages: numbers }, null, 2)}\n`
  )
  return spending(rowsOf(rows), price, problem, memory, Artifact.lineage(root).flatMap(feesIn)[0] ?? "")
})
