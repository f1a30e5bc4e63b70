/** The likelihood of texts under a policy as the rows of a stage that works in chunks. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Windowed } from "../data/windows.ts"
import type { Policy } from "../engine/engine.ts"
import { ratio } from "../evaluation/ratio.ts"
import type { TextReport } from "../store/report.ts"
import type { Chunking } from "./chunks.ts"

/** −log π of a text, nats; its tokens and its bytes in UTF-8. */
const TextRow = Schema.Struct({ nats: Schema.Number, tokens: Schema.Natural, bytes: Schema.Natural })
export type TextRows = ReadonlyArray<typeof TextRow.Type>

/** An item is a text. */
export const likelihoods = (
  policy: Policy,
  name: string,
  texts: ReadonlyArray<Windowed>
): Chunking<typeof TextRow.Type, never, never> => ({
  row: TextRow,
  make: (from, to) =>
    Effect.sync(() => {
      const some = texts.slice(from, to)
      const { logps, offsets } = policy.logprobs(some.flatMap(({ rows }) => rows))
      let row = 0
      const rows = some.map(({ bytes, rows }) => {
        const first = row
        row += rows.length
        const own = logps.subarray(offsets[first]!, offsets[row]!)
        return { nats: own.reduce((sum, logp) => sum - logp, 0), tokens: own.length, bytes }
      })
      const [nats, tokens] = [
        rows.reduce((sum, { nats }) => sum + nats, 0),
        rows.reduce((sum, { tokens }) => sum + tokens, 0)
      ]
      return { rows, tokens, metrics: { [`nats per token of ${name}`]: tokens === 0 ? 0 : nats / tokens } }
    })
})

/** Per token and per byte, over all texts. */
export const textReport = (rows: TextRows): TextReport => {
  const of = (per: "tokens" | "bytes") => {
    const { interval, value } = ratio(rows.map(({ nats }) => nats), rows.map((row) => row[per]))
    return { value, low: interval?.low ?? null, high: interval?.high ?? null }
  }
  const total = (of: "tokens" | "bytes"): number => rows.reduce((sum, row) => sum + row[of], 0)
  return {
    documents: rows.length,
    tokens: total("tokens"),
    bytes: total("bytes"),
    natsPerToken: of("tokens"),
    natsPerByte: of("bytes")
  }
}
