import * as Effect from "effect/Effect"
import type { Truncating } from "../../dsl/Truncation.ts"
import { encodeWithin, type Encoding, type For } from "../data/encode.ts"
import { RunLog } from "../store/runLog.ts"

/** The rows that a stage trains on, as token ids: cut or dropped as its description says, and the log says how many. */
export const fitted = Effect.fnUntraced(function*<A extends object, B>(
  use: For,
  rows: ReadonlyArray<A>,
  encoding: Encoding<A, B>,
  how: Truncating
) {
  const log = yield* RunLog
  const { encoded, rows: kept, survey } = yield* encodeWithin(use, rows, encoding, how)
  if (survey !== null && survey.truncated + survey.dropped > 0) {
    const { dropped, most, rows, tokens, truncated } = survey
    yield* log.emit({ _tag: "Fitted", stage: use.stage, rows, truncated, dropped, most, longest: tokens.longest })
  }
  return { encoded, rows: kept }
})
