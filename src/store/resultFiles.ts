/** The result of a node as files: their names, and their bytes. */
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { contents as adapterFiles } from "../model/adapter.ts"
import { contents as modelFiles } from "../model/checkpoint.ts"
import type { Made } from "./made.ts"
import { ReportJson } from "./report.ts"
import { linesOf } from "./rowLines.ts"
import { Event } from "./runLog.ts"
import type { Files } from "./sealed.ts"

export const ToldFile = Schema.Array(Event)

export const LogpsFile = Schema.Struct({ by: Schema.String, logps: Schema.Record(Schema.String, Schema.Finite) })

export const line = (json: unknown, indent?: number): string => `${JSON.stringify(json, null, indent)}\n`

/** The files in a folder. */
export const under = function*(folder: string, files: Iterable<readonly [string, Uint8Array]>): Files & Generator {
  for (const [name, bytes] of files) yield [join(folder, name), bytes] as const
}

/** The files of a result; `told`: the caps and peaks that its stage passed. */
export const filesOf = function*(made: Made, told: ReadonlyArray<Event>): Files & Generator {
  switch (made._tag) {
    case "Model":
      yield* under("model", modelFiles(made.weights))
      if (made.weights.adapter !== undefined) yield* under("adapter", adapterFiles(made.weights.adapter))
      break
    case "Report":
      yield ["report.json", line(Schema.encodeSync(ReportJson)(made.report), 2)] as const
      if (made.samples !== undefined) yield ["samples.jsonl", made.samples.map((one) => line(one)).join("")] as const
      break
    case "Logps":
      yield ["logps.json", line({ by: made.by, logps: Object.fromEntries(made.logps) })] as const
      break
    case "Data":
      yield ["rows.jsonl", linesOf(made.dataset.rows)] as const
      if (made.dataset.role === "Text" && made.dataset.vocabulary.length > 0) {
        yield ["words.json", line(made.dataset.vocabulary)] as const
      }
  }
  if (told.length > 0) yield ["told.json", line(Schema.encodeSync(ToldFile)(told))] as const
}
