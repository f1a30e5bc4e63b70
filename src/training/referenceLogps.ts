/**
 * Log-probabilities of training rows under a frozen reference: computed once, before training, and kept in the store by
 * the identity of the reference and the contents of the rows. A resumed stage finds them there, and so does another
 * stage with the same reference and rows (another beta, another loss).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { sha256 } from "../../dsl/Digest.ts"
import type { Policy, Precision, Row, Weights } from "../engine/engine.ts"
import { sumRows } from "../losses/ragged.ts"
import { RunLog } from "../store/runLog.ts"
import { nothingSpent } from "../store/spent.ts"
import { Store } from "../store/store.ts"
import { chunked } from "./chunks.ts"
import { finite, observer } from "./loop.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"
import { CurrentMeter } from "./spendingMeter.ts"

/** Weights with the identity of the artefact that made them. */
export interface KnownReference {
  readonly key: string
  readonly weights: Weights
}

/** Rows that a rehearsal computes on behalf of all rows. */
const rehearsedRows = 1024

/** Rows between two checkpoints. */
const keptRows = 1024

/** `count` elements, evenly spread: neighbours may be alike. */
const spread = <A>(all: ReadonlyArray<A>, count: number): ReadonlyArray<A> =>
  count >= all.length ? all : Array.from({ length: count }, (_, i) => all[Math.floor(i * all.length / count)]!)

export const rowId = ({ completion, given, prompt }: Row): string =>
  sha256(`${prompt.join(" ")}/${completion.join(" ")}${given === undefined ? "" : `/${given.join("")}`}`)

/**
 * log π_ref of whole completions, nats, as a function of a row; throws for a row outside of the groups. The reference
 * is open only while this function runs.
 */
export const referenceLogps = Effect.fn("referenceLogps")(function*(of: {
  readonly scope: Scope
  readonly reference: KnownReference
  readonly open: (weights: Weights) => Policy
  readonly precision: Precision
  /** Rows that stand together: pairs, or batches. */
  readonly groups: ReadonlyArray<ReadonlyArray<Row>>
  /** Rows in one forward pass. */
  readonly batchSize: number
}) {
  const [log, meter, store] = [yield* RunLog, yield* CurrentMeter, yield* Store]
  const rehearsal = yield* CurrentRehearsal
  const some = rehearsal === null
    ? of.groups
    : spread(of.groups, Math.ceil(rehearsedRows / Math.max(1, of.groups[0]?.length ?? 1)))
  const ids = new Map(some.flat().map((row) => [row, rowId(row)]))
  const byId = new Map([...ids].map(([row, id]) => [id, row]))
  const wanted = [...byId.keys()].sort()
  const key = sha256(["logps", of.reference.key, of.precision, ...wanted].join("\n"))
  const label = "logps"
  yield* store.claim(key, label, {
    waiting: ({ host, pid }) => log.emit({ _tag: "Waiting", stage: label, host, pid }),
    replaced: ({ host, pid }) => log.emit({ _tag: "Replaced", stage: label, host, pid })
  })
  const [found, before] = [yield* store.find(key, label), yield* meter.spent]
  let logps: ReadonlyMap<string, number>
  if (Option.isSome(found) && found.value._tag === "Logps") {
    logps = found.value.logps
    const took = yield* store.spent(key, label)
    // This stage has spent it, and a crash came before a checkpoint that says so.
    if (found.value.by === of.scope.key && Option.isSome(took)) {
      yield* meter.resume({ ...before, flops: before.flops + took.value.flops })
    }
  } else {
    const reference = yield* observer(of.open, of.reference.weights)
    const asked = Effect.gen(function*() {
      const chunks = yield* chunked(of.scope, { logps: { items: wanted.length, size: of.batchSize } }, {
        at: [key, label],
        keepEvery: Math.ceil(keptRows / of.batchSize),
        told: false
      })
      return yield* chunks.rows("logps", {
        row: Schema.Number,
        make: Effect.fnUntraced(function*(from, to) {
          const { logps, offsets } = reference.logprobs(wanted.slice(from, to).map((id) => byId.get(id)!))
          const rows = [...sumRows(logps, offsets)]
          for (const row of rows) yield* finite({ "log-probability under the reference": row })
          return { rows, tokens: 0, metrics: {} }
        })
      })
    })
    const sums = yield* rehearsal === null ? asked : rehearsal.times(of.groups.length / some.length, asked)
    logps = new Map(wanted.map((id, i) => [id, sums[i]!]))
    const { flops, milliseconds } = yield* meter.spent
    yield* store.finish(key, label, { _tag: "Logps", by: of.scope.key, logps }, {
      ...nothingSpent,
      flops: flops - before.flops,
      milliseconds: milliseconds - before.milliseconds
    })
  }
  return (row: Row): number => {
    const logp = logps.get(ids.get(row) ?? (rehearsal === null ? rowId(row) : ""))
    if (logp === undefined && rehearsal === null) throw new Error("the reference was not asked about this row")
    return logp ?? 0
  }
}, Effect.scoped)
