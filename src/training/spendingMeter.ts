/**
 * Counts the spending on each artefact while it is made. A stage makes its inputs first; their spending is their own.
 * Work lost in a crash is not counted: a stage resumed from a checkpoint or from its chunks has spent what they say. Caps
 * on countable resources (tokens, prompts, FLOPs) therefore end it at the same step as without a crash.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Engine } from "../engine/engine.ts"
import { metering } from "../engine/metering.ts"
import { nothingSpent, type Spent } from "../store/spent.ts"

export interface Meter {
  /** Spending on the current artefact so far. */
  readonly spent: Effect.Effect<Spent>
  /** Spending since the last call, or since the start or `resume`: its prompts are those that were not used before. */
  readonly taken: Effect.Effect<Spent>
  /**
   * Counts the answer to the question `id`, once: a new one, or the `nth` that the artefact paid for, unless that is in the count that was
   * resumed. Returns which payment it is.
   */
  readonly answered: (
    id: string,
    of: { readonly tokens: number; readonly fees: number; readonly nth?: number }
  ) => number
  /** Resumes the count at `from`. */
  readonly resume: (from: Spent) => Effect.Effect<void>
}

/** The default, without counts. */
export const CurrentMeter = Context.Reference<Meter>("keel/Meter", {
  defaultValue: () => ({
    spent: Effect.succeed(nothingSpent),
    taken: Effect.succeed(nothingSpent),
    answered: (_, { nth = 0 }) => nth,
    resume: () => Effect.void
  })
})

/** 53 bits of token ids: two rounds of FNV-1a from different starts. */
const hashOf = (ids: Int32Array): number => {
  let [high, low] = [0x811c9dc5, 0x9dc5811c]
  for (const id of ids) {
    high = Math.imul(high ^ id, 0x01000193)
    low = Math.imul(low ^ (id + 0x9e3779b9), 0x01000193)
    low ^= low >>> 15
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}

type Frame = { -readonly [K in keyof Spent]: Spent[K] extends ReadonlySet<number> ? Set<number> : Spent[K] }

const copied = (spent: Spent): Frame => ({ ...spent, prompts: new Set(spent.prompts) })

export interface SpendingMeter extends Meter {
  readonly engine: Engine
  /** Tokens of text that a judge reads. */
  readonly judged: (...texts: ReadonlyArray<string>) => void
  /** Adds bytes in the store to the current artefact. */
  readonly keeps: (bytes: number) => void
  /** Makes an artefact; `make` gets the spending on it so far. */
  readonly making: <A, E, R>(make: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const spendingMeter = (of: Engine): SpendingMeter => {
  /** Of each artefact all spending, and the spending since the last `taken`. */
  const frames: Array<{
    readonly all: Frame
    recent: Frame
    /** Answers in the count that was resumed, and questions whose answers were counted since. */
    resumed: number
    readonly paid: Set<string>
  }> = []
  const hashes = new WeakMap<Int32Array, number>()
  const used = (ids: Int32Array): void => {
    // A document has no prompt but the beginning that all texts share.
    if (ids.length < 2) return
    let hash = hashes.get(ids)
    if (hash === undefined) hashes.set(ids, hash = hashOf(ids))
    const frame = frames.at(-1)
    if (frame === undefined || frame.all.prompts.has(hash)) return
    frame.all.prompts.add(hash)
    frame.recent.prompts.add(hash)
  }
  const { counts, engine } = metering(of, used)
  let before = { ...counts(), at: 0 }
  /** Time since the last call belongs to the frame on top. */
  const settle = Effect.map(Clock.currentTimeMillis, (at) => {
    const now = { ...counts(), at: Math.round(at) }
    const frame = frames.at(-1)
    for (const one of frame === undefined ? [] : [frame.all, frame.recent]) {
      for (const key of ["generated", "given", "trained", "flops"] as const) one[key] += now[key] - before[key]
      one.milliseconds += Math.max(0, now.at - before.at)
      one.memory = Math.max(one.memory, of.recently?.peak() ?? of.memory?.().peak ?? 0)
    }
    before = now
    return frame
  })
  /** Amounts of now: the frame itself goes on. Its prompts are not copied. */
  const spent = Effect.map(settle, (frame): Spent => frame === undefined ? nothingSpent : { ...frame.all })
  return {
    engine,
    spent,
    taken: Effect.map(settle, (frame): Spent => {
      if (frame === undefined) return nothingSpent
      const { recent } = frame
      frame.recent = copied(nothingSpent)
      return recent
    }),
    resume: (from) =>
      Effect.map(settle, (frame) => {
        if (frame === undefined) return
        // The cost of opening the artefact again was counted before.
        Object.assign(frame.all, copied(from), { memory: Math.max(frame.all.memory, from.memory) })
        frame.recent = copied(nothingSpent)
        frame.resumed = from.answers
      }),
    judged: (...texts) => {
      const tokens = Math.ceil(texts.reduce((sum, { length }) => sum + length, 0) / 4)
      const frame = frames.at(-1)
      for (const one of frame === undefined ? [] : [frame.all, frame.recent]) one.judged += tokens
    },
    answered: (id, { fees, nth, tokens }) => {
      const frame = frames.at(-1)
      if (frame === undefined) return nth ?? 0
      const before = nth !== undefined && (nth <= frame.resumed || frame.paid.has(id))
      frame.paid.add(id)
      for (const one of before ? [] : [frame.all, frame.recent]) {
        one.answers++
        one.asked += tokens
        one.fees += fees
      }
      return nth ?? frame.all.answers
    },
    keeps: (bytes) => {
      const frame = frames.at(-1)
      for (const one of frame === undefined ? [] : [frame.all, frame.recent]) one.disk = bytes
    },
    making: (make) =>
      Effect.acquireUseRelease(
        Effect.map(settle, () => {
          of.recently?.restart()
          frames.push({ all: copied(nothingSpent), recent: copied(nothingSpent), resumed: 0, paid: new Set() })
        }),
        () => make,
        () =>
          Effect.map(settle, () => {
            frames.pop()
            of.recently?.restart()
          })
      )
  }
}
