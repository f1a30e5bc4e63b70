/** What a run was planned to take, kept in its folder, and what it took. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import type { Packing } from "../engine/engine.ts"
import { finishedIn, spentIn } from "../interpreters/keys.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { plan } from "../planning/plan.ts"
import { rowsOf, spending } from "../report/spending.ts"
import { writeFileAtomic } from "../store/files.ts"
import { events as eventsOf } from "../store/runDirectory.ts"
import { type Price, toJson } from "../store/spent.ts"
import type { BackendName } from "./backend.ts"
import { machineOf } from "./planMachine.ts"

const Expected = Schema.Struct({
  generated: Schema.Finite,
  trained: Schema.Finite,
  flops: Schema.Finite,
  memory: Schema.Finite,
  prompts: Schema.Finite,
  disk: Schema.Struct({ made: Schema.Finite, most: Schema.Finite }),
  seconds: Schema.NullOr(Schema.Finite)
})
const PlannedFile = Schema.Struct({
  stages: Schema.Record(Schema.String, Expected),
  problem: Schema.NullOr(Schema.String)
})
type Planned = typeof PlannedFile.Type

const oneLine = (text: string): string => text.split("\n")[0]!

/** The plan of the run in `folder`: made once, read again when it is resumed. What cannot be planned says why in one line. */
export const planned = Effect.fn("planned")(function*(
  folder: string,
  root: Artifact.Any,
  extensions: Extensions,
  backend: BackendName,
  packing: Packing | undefined
) {
  const fs = yield* FileSystem.FileSystem
  const path = join(folder, "planned.json")
  if (yield* fs.exists(path)) {
    const read = Schema.decodeUnknownOption(Schema.fromJsonString(PlannedFile))(yield* fs.readFileString(path))
    if (Option.isSome(read)) return read.value
  }
  const made: Planned = yield* Effect.gen(function*() {
    const { costs } = yield* machineOf(Option.none(), Option.none(), backend)
    const { stages, unplanned } = yield* plan(root, {
      ...extensions,
      ...(costs === null ? {} : { costs }),
      ...(packing === undefined ? {} : { packing })
    })
    return {
      stages: Object.fromEntries(stages.map(({ bytes, disk, flops, generated, prompts, seconds, stage, trained }) => [
        stage,
        { generated, trained, flops, memory: bytes, prompts, disk, seconds }
      ])),
      problem: unplanned.length === 0 ? null : `${unplanned[0]!.stage}: ${oneLine(unplanned[0]!.problem)}`
    }
  }).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.succeed({ stages: {}, problem: oneLine(String(Cause.squash(cause))) })
    )
  )
  yield* writeFileAtomic(path, `${JSON.stringify(made, null, 2)}\n`)
  return made
})

/** Planned against spent as text, and in `spending.json` as numbers. */
export const spent = Effect.fn("spent")(function*(
  folder: string,
  root: Artifact.Any,
  { problem, stages }: Planned,
  price: Price | null
) {
  const [found, started] = [yield* spentIn(root), new Set<string>()]
  for (const event of yield* eventsOf(folder)) if (event._tag === "Started") started.add(event.stage)
  const finished = finishedIn(root)
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
  yield* writeFileAtomic(
    join(folder, "spending.json"),
    `${JSON.stringify({ price, problem, stages: numbers }, null, 2)}\n`
  )
  return spending(rowsOf(rows), price, problem)
})
