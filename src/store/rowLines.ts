/** The rows of a finished node as lines of JSON, written and read some at a time: they may be larger than memory. */
import * as Effect from "effect/Effect"
import * as PlatformError from "effect/PlatformError"
import { bytesIn } from "../data/bytes.ts"
import { growing } from "../data/growing.ts"
import { objects } from "../data/lines.ts"
import { StoreDamaged } from "./store.ts"

/** Characters that are written together. */
const together = 1 << 20

export const linesOf = function*(rows: ReadonlyArray<unknown>): Generator<Uint8Array> {
  let some = ""
  for (const row of rows) {
    some += `${JSON.stringify(row)}\n`
    if (some.length < together) continue
    yield new TextEncoder().encode(some)
    some = ""
  }
  yield new TextEncoder().encode(some)
}

export const rowsIn = (
  path: string
): Effect.Effect<ReadonlyArray<object>, StoreDamaged | PlatformError.PlatformError> =>
  Effect.tryPromise({
    try: async () => {
      const rows = growing<object>()
      for await (const some of objects(bytesIn(path), path)) {
        for (const { bytes, value } of some) rows.push(value() as object, bytes)
      }
      return rows.all()
    },
    catch: (error) =>
      PlatformError.isPlatformError(error)
        ? error
        : new StoreDamaged({ path, problem: error instanceof Error ? error.message : String(error) })
  })
