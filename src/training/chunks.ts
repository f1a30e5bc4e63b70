/**
 * The frame of a stage that makes rows out of items (prompts, completions, pairs) and trains nothing. It works in chunks: after each, the
 * rows and what they took are appended to the store, so a stage that is stopped, killed or ended by a cap goes on behind them, with the
 * same bytes.
 *
 * Before each chunk the caps are asked how many items surely fit. A chunk is cut to that, to one item at least: tokens and prompts pass a
 * cap by what one item takes at most, other resources by one chunk. An item's rows must not depend on the other items of its chunk.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { growing } from "../data/growing.ts"
import { resumed } from "../data/rows.ts"
import { CurrentPatience } from "../engine/interruptible.ts"
import { type Metrics, RunLog } from "../store/runLog.ts"
import { nothingSpent, together } from "../store/spent.ts"
import { Store, type StoreError } from "../store/store.ts"
import { roomFor, withinCaps } from "./budgets.ts"
import { Diverged, unsoundWeights } from "../../dsl/Errors.ts"
import { breathe, finite, type NotFinite, shortStep, whole } from "./loop.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"
import { CurrentMeter } from "./spendingMeter.ts"

/** Items with rows of one kind, in chunks of `size`. */
export interface Part {
  readonly items: number
  readonly size: number
}

/** The rows of some items. */
export interface Rows<A> {
  readonly rows: ReadonlyArray<A>
  /** Tokens generated and read. */
  readonly tokens: number
  /** Finite, or the stage ends with `Diverged`. */
  readonly metrics: Metrics
}

export interface Chunking<A, E, R> {
  /** The rows as they are kept. */
  readonly row: Schema.Codec<A, any>
  /** Makes the rows of the items `from` … `to` − 1. */
  readonly make: (from: number, to: number) => Effect.Effect<Rows<A>, E | NotFinite, R>
  /** The most tokens that an item generates. */
  readonly generates?: number
  /** Rows of an item, or their mean; a rehearsal makes only some of them. */
  readonly rowsPerItem?: number
}

/**
 * The parts of a stage, in the order in which they are made. Rows are kept every `keepEvery` chunks, and at every end. `told: false` leaves
 * all events to the stage.
 */
export const chunked = Effect.fnUntraced(function*(
  scope: Pick<Scope, "key" | "label" | "limits">,
  parts: Readonly<Record<string, Part>>,
  { at: [key, name] = [scope.key, scope.label], keepEvery = 1, told = true }: {
    readonly keepEvery?: number
    readonly told?: boolean
    /** Key and label of the rows in the store, where they are not the stage's own. */
    readonly at?: readonly [key: string, label: string]
  } = {}
) {
  const [log, meter, store] = [yield* RunLog, yield* CurrentMeter, yield* Store]
  const [patience, rehearsal] = [yield* CurrentPatience, yield* CurrentRehearsal]
  const { label } = scope
  const kept = yield* store.chunks(key, name)
  const keptOf = (name: string) => kept.filter(({ part }) => part === name)
  const made = (name: string): number => keptOf(name).reduce((sum, { items }) => sum + items, 0)
  const all = Object.entries(parts).map(([part, of]) => ({ ...of, part }))
  const items = all.reduce((sum, part) => sum + part.items, 0)
  const before = new Map<string, number>()
  let steps = 0
  for (const { items, part, size } of all) {
    before.set(part, steps)
    steps += Math.ceil(items / size)
  }
  let done = kept.reduce((sum, { items }) => sum + items, 0)
  const keptSoFar = Effect.sync(() => `${done} of ${items} ${items === 1 ? "item" : "items"}, in the store`)
  if (told) {
    const from = all.reduce((sum, { part, size }) => sum + Math.ceil(made(part) / size), 0)
    yield* log.emit({ _tag: "Started", stage: label, steps, from })
  }
  if (kept.length > 0) {
    yield* meter.resume(together(kept.map(({ spent }) => spent)))
    yield* withinCaps(scope, keptSoFar)
  }

  const rows = Effect.fnUntraced(function*<A, E, R>(
    part: string,
    { generates, make, row, rowsPerItem = 1 }: Chunking<A, E, R>
  ) {
    const { items, size } = parts[part]!
    const rows = growing<A>()
    const add = (row: A): void => rows.push(row, typeof row === "object" ? JSON.stringify(row).length : 8)
    for (const chunk of keptOf(part)) resumed(row, chunk.rows).forEach(add)
    let to = made(part)
    let pending = { items: 0, rows: [] as Array<A>, spent: nothingSpent }
    const stepAt = (item: number): number => before.get(part)! + Math.ceil(item / size)
    const tell = (to: number, { metrics, tokens }: Rows<A>) =>
      told ? log.emit({ _tag: "Step", stage: label, step: stepAt(to), steps, tokens, metrics }) : Effect.void
    const keep: Effect.Effect<void, StoreError> = Effect.gen(function*() {
      if (pending.items === 0) return
      const { spent } = pending
      const path = yield* store.append(key, name, {
        part,
        items: pending.items,
        rows: pending.rows as unknown as ReadonlyArray<Schema.Json>,
        spent
      })
      done += pending.items
      pending = { items: 0, rows: [], spent: nothingSpent }
      if (told) yield* log.emit({ _tag: "Checkpoint", stage: label, step: stepAt(to), path })
    })
    const one = (from: number, to: number) =>
      Effect.tap(make(from, to), ({ metrics }) => finite(metrics)).pipe(
        Effect.catchTag("NotFinite", (error) => {
          const { quantity, value } = error as NotFinite
          return Effect.flatMap(
            Effect.andThen(keep, keptSoFar),
            (kept) =>
              new Diverged({
                stage: label,
                step: stepAt(to),
                quantity,
                value: String(value),
                kept,
                remedy: unsoundWeights
              })
          )
        })
      )
    if (rehearsal !== null) {
      // They stand for all and are looked at again and again: on disk that takes most of a plan.
      const few: Array<A> = []
      const once = (n: number) =>
        Effect.gen(function*() {
          const [from, to] = [n * size, Math.min(items, (n + 1) * size)]
          const made = yield* one(from, to)
          made.rows.forEach((row) => few.push(row))
          yield* tell(to, made)
          yield* withinCaps(scope, Effect.succeed("nothing"))
        })
      yield* rehearsal.steps(Math.ceil(items / size), once, {})
      return yield* whole(few, Math.round(items * rowsPerItem))
    }
    let [took, chunks] = [Infinity, 0]
    const next = Effect.gen(function*() {
      const began = yield* Clock.currentTimeMillis
      patience.wait(took < shortStep ? shortStep : 0)
      const from = to
      const room = generates === undefined ? Infinity : yield* roomFor(scope, generates)
      const end = Math.min(items, (Math.floor(from / size) + 1) * size, from + Math.max(1, room))
      const more = yield* one(from, end)
      for (const row of more.rows) {
        add(row)
        pending.rows.push(row)
      }
      pending.items += end - from
      pending.spent = together([pending.spent, yield* meter.taken])
      to = end
      chunks++
      took = ((yield* Clock.currentTimeMillis) - began) / 1000
      yield* tell(to, more)
      yield* withinCaps(scope, Effect.andThen(keep, keptSoFar))
      if (chunks % keepEvery === 0 || to === items) yield* keep
    })
    yield* Effect.whileLoop({
      while: () => to < items,
      body: () => Effect.andThen(Effect.uninterruptible(next), breathe),
      step: () => {}
    }).pipe(
      Effect.ensuring(Effect.sync(() => patience.wait(0))),
      // Beside another error, that of a full disk would say nothing new.
      Effect.onError(() => Effect.ignore(keep))
    )
    return rows.all()
  })

  return {
    rows,
    finished: Effect.flatMap(
      meter.spent,
      ({ generated, trained }) =>
        told ? log.emit({ _tag: "Finished", stage: label, tokens: generated + trained }) : Effect.void
    )
  }
})
