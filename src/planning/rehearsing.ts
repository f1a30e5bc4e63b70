/**
 * A few steps of a stage for all of them, on an engine that counts: which ones are made, what they stand for, and how far that may be
 * from all of them.
 */
import * as Effect from "effect/Effect"
import type { Held, Spent } from "../tensor/counting/backend.ts"
import type { Metered, Passed } from "./countedEngine.ts"
import { learnedAtOnce } from "../engine/transformer/passes.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import type { Rehearsal, Taking } from "../training/rehearsal.ts"
import { type Estimated, sharesAt, type Surveyed, surveyed, varianceAt } from "./estimating.ts"

/** Tokens in any pass that the steps of one kind have together: more would only say the same again. */
const enoughTokens = 2 ** 16
/** Rows that are looked at without making a step, for the tokens of all; those that are encoded for it have at most `sum`. */
const looked = { least: 128, count: 2 ** 13, sum: 2 ** 18, error: 0.004 }
/** Rows that are looked at for steps that have many tokens or few, and for the one that holds the most. */
const [compared, searched] = [2 ** 8, 2 ** 15]
/** How far a step's tokens may be from what its characters say. */
const roughly = 0.01
/** Parts that a step is learnt from in which hold, the largest of them, about as much as one may. */
const manyParts = 16
/** Steps of which one stands for many and others say how they differ. */
const enoughToTell = 3

const tokensPerStep = ({ characters, count, perStep, tokens }: Taking, steps: number): Surveyed => {
  const { looked: rows, mean, variance } = surveyed(count, looked, steps * perStep, tokens, characters)
  return { mean: perStep * mean, variance: perStep ** 2 * variance, looked: rows }
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0)
const tokensOf = ({ of, tokens }: Taking, n: number): number => sum(of(n).map(tokens))

/** The most of these rows that are learnt from at once, where `most` may be: whole rows, in parts that are about equal. */
const largestPart = (rows: ReadonlyArray<number>, most: number): number => {
  const enough = learnedAtOnce(sum(rows), most)
  let [part, largest] = [0, 0]
  for (const row of rows) {
    part = part + row > enough ? row : part + row
    largest = Math.max(largest, part)
  }
  return largest
}

export const nothing: Spent = { flops: 0, calls: 0, traffic: 0, seconds: 0 }

/** What was counted. */
interface Amounts {
  generated: number
  trained: number
  /** Seconds of the host. */
  host: number
  readonly spent: Map<Phase, Spent>
}

/** What a stage has come to. */
export interface Tally extends Amounts {
  /** The most held in each phase, in the order in which they first came. */
  readonly peaks: ReadonlyMap<Phase, Held>
  /** The most micro-batches of one update. */
  readonly accumulated: number
  /** Standard error of the FLOPs relative to them: steps whose rows differ in length stand for others. 0 where all were made or are alike. */
  readonly error: number
  /** Whether some of what was done stood for more. */
  readonly estimated: boolean
}

/** What is being counted: for its share of steps, and whatever is known in all already. */
interface Sheet {
  readonly own: Amounts
  readonly fixed: Amounts
}

const empty = (): Amounts => ({ generated: 0, trained: 0, host: 0, spent: new Map() })
const sheet = (): Sheet => ({ own: empty(), fixed: empty() })

const add = (to: Amounts, from: Amounts, times: number): void => {
  to.generated += times * from.generated
  to.trained += times * from.trained
  to.host += times * from.host
  for (const [phase, { calls, flops, seconds, traffic }] of from.spent) {
    const sum = to.spent.get(phase) ?? nothing
    to.spent.set(phase, {
      flops: sum.flops + times * flops,
      calls: sum.calls + times * calls,
      traffic: sum.traffic + times * traffic,
      seconds: sum.seconds + times * seconds
    })
  }
}

const since = (before: Passed, now: Passed): Passed => ({
  rows: now.rows - before.rows,
  tokens: now.tokens - before.tokens,
  squares: now.squares - before.squares
})

/** Variance of the tokens of as many rows, relative to the square of their sum. */
const spreadOf = ({ rows, squares, tokens }: Passed): number =>
  tokens === 0 ? 0 : Math.max(0, squares / tokens ** 2 - 1 / rows)

const flopsOf = ({ spent }: Amounts): number => [...spent.values()].reduce((sum, { flops }) => sum + flops, 0)

interface Frame {
  readonly sheets: Array<Sheet>
  readonly peaks: Map<Phase, Held>
  accumulated: number
  /** Variance of the FLOPs. */
  variance: number
  estimated: boolean
}

export interface Rehearsing extends Rehearsal {
  /** A stage begins; another that has begun waits for it. */
  readonly begin: () => void
  readonly end: () => Tally
}

/** At most `most` steps of each kind are made; `host` says how many seconds the host's work so far would take. */
export const rehearsing = (meter: Metered, most: number, host: () => number): Rehearsing => {
  const frames: Array<Frame> = []
  const read = () => ({ ...meter.amounts(), host: host(), spent: new Map(meter.spentIn()) })
  let before = read()
  /** Gives what was done since to what is being counted. */
  const settle = (): void => {
    const now = read()
    const frame = frames.at(-1)
    if (frame !== undefined) {
      for (const [phase, held] of meter.peaks()) {
        const known = frame.peaks.get(phase)
        if (known === undefined || held.bytes > known.bytes) frame.peaks.set(phase, held)
      }
      frame.accumulated = Math.max(frame.accumulated, meter.accumulated())
      const { own } = frame.sheets.at(-1)!
      add(own, now, 1)
      add(own, before, -1)
    }
    before = now
  }
  /** Counts what `once` does by itself. */
  const apart = <A, E, R>(once: Effect.Effect<A, E, R>, then: (done: Sheet, into: Sheet) => void) =>
    Effect.suspend(() => {
      settle()
      const { sheets } = frames.at(-1)!
      const into = sheets.at(-1)!
      sheets.push(sheet())
      return Effect.ensuring(
        once,
        Effect.sync(() => {
          settle()
          then(sheets.pop()!, into)
        })
      )
    })
  /** Looks at what steps take, for nothing: what that takes is not what they take. */
  const look = <A>(once: () => A): Effect.Effect<A> => apart(Effect.sync(once), () => {})
  /** Counts what `once` does so many times. */
  const stands = (into: Sheet, { fixed, own }: Sheet, times: number): void => {
    add(into.own, own, times)
    add(into.fixed, fixed, 1)
  }
  const estimates = (variance: number): void => {
    frames.at(-1)!.estimated = true
    frames.at(-1)!.variance += variance
  }

  /** Makes steps, each for its share of `size`; answers with the FLOPs of each. */
  const makes = Effect.fnUntraced(function*<E, R>(
    steps: ReadonlyArray<number>,
    shares: ReadonlyArray<number>,
    size: number,
    once: (n: number) => Effect.Effect<unknown, E, R>
  ) {
    const flops: Array<number> = []
    for (const [i, n] of steps.entries()) {
      yield* apart(once(n), (done, into) => {
        stands(into, done, size * shares[i]!)
        flops.push(flopsOf(done.own))
      })
    }
    return flops
  })

  /** Steps `from` … `to` − 1, of which nothing is known. */
  const stratum = Effect.fnUntraced(function*<E, R>(
    from: number,
    to: number,
    once: (n: number) => Effect.Effect<unknown, E, R>
  ) {
    const size = to - from
    let [into, first] = [sheet(), sheet()]
    const { passed } = meter.amounts()
    yield* apart(once(from), (done, outer) => {
      ;[into, first] = [outer, done]
    })
    const step = since(passed, meter.amounts().passed)
    const count = Math.min(size, most, Math.max(1, Math.floor(enoughTokens / Math.max(1, step.tokens))))
    stands(into, first, size / count)
    const others = Array.from({ length: count - 1 }, (_, i) => from + Math.floor(((i + 1) * size) / count))
    const flops = [flopsOf(first.own), ...yield* makes(others, others.map(() => 1 / count), size, once)]
    if (count === size) return
    const mean = flops.reduce((sum, x) => sum + x, 0) / count
    // Of one step, as its rows say that others would differ from it.
    const variance = count > 1
      ? flops.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (count - 1)
      : mean ** 2 * spreadOf(step)
    estimates(size ** 2 * (variance / count) * (1 - count / size))
  })

  /** Steps `from` … `to` − 1, of which it is known how many tokens they take: the few that are made stand for one that takes `asked`. */
  const knownStratum = Effect.fnUntraced(function*<E, R>(
    from: number,
    to: number,
    once: (n: number) => Effect.Effect<unknown, E, R>,
    taking: Taking,
    asked: Estimated,
    first: number
  ) {
    const size = to - from
    const { characters = taking.tokens, count, of, perStep } = taking
    /** By what they take, some steps of the first so many, with `rows` rows. */
    const among = (rows: number, size: number) => {
      const some = Math.min(size, Math.max(enoughToTell, Math.floor(rows / perStep)))
      const steps = Array.from({ length: some }, (_, i) => from + Math.floor((i * size) / some))
      return steps.map((n) => ({ n, characters: sum(of(n).map(characters)) }))
        .sort((a, b) => a.characters - b.characters)
    }
    /** Of few tokens, of many, and one in between; those of one pass, because another would have to be shuffled first. */
    const telling = () => {
      if (first >= enoughTokens) return [{ n: from, characters: sum(of(from).map(characters)) }]
      const all = among(compared, Math.min(size, Math.max(enoughToTell, Math.floor(count / perStep))))
      return [...new Set([all[0]!, all[all.length >> 1]!, all.at(-1)!])]
    }
    const known = yield* look(() => telling().map((step) => ({ ...step, tokens: tokensOf(taking, step.n) })))
    const steps = known.toSorted((a, b) => a.n - b.n)
    const tokens = steps.map(({ tokens }) => tokens)
    const flops = yield* makes(steps.map(({ n }) => n), sharesAt(tokens, asked.mean), size, once)
    estimates(size ** 2 * varianceAt(tokens, flops, asked))
    // What is held at most is what is learnt from at once: of steps that might be more, one is made for that alone. Many parts are as
    // large as may be anyway.
    const { most: limit, tokens: held } = meter.atOnce()
    if (held >= (1 - 2 * roughly) * limit || known[0]!.tokens >= manyParts * limit) return
    const per = sum(tokens) / sum(steps.map(({ characters }) => characters))
    // Its tokens are not quite known: a few more, and there might be a part more, and all of them smaller.
    const atOnce = ({ n }: { readonly n: number }): number => {
      const rows = of(n).map((i) => per * characters(i))
      return Math.min(...[1 - roughly, 1 + roughly].map((about) => largestPart(rows.map((row) => about * row), limit)))
    }
    const others = yield* look(() => among(searched, size).map((step) => ({ ...step, atOnce: atOnce(step) })))
    const largest = others.reduce((most, one) => one.atOnce > most.atOnce ? one : most)
    if (largest.atOnce > held) yield* makes([largest.n], [0], size, once)
  })

  return {
    begin: () => {
      settle()
      meter.stepping(false)
      meter.restart()
      frames.push({ sheets: [sheet()], peaks: new Map(), accumulated: 0, variance: 0, estimated: false })
    },
    end: () => {
      settle()
      meter.restart()
      const { accumulated, estimated, peaks, sheets: [{ fixed, own }], variance } = frames.pop() as Frame & {
        readonly sheets: [Sheet]
      }
      add(own, fixed, 1)
      const flops = flopsOf(own)
      return { ...own, peaks, accumulated, estimated, error: flops === 0 ? 0 : Math.sqrt(variance) / flops }
    },
    times: (times, once, phase) =>
      Effect.suspend(() => {
        const outer = meter.entered()
        const counted = apart(once, ({ fixed, own }, into) => {
          add(into.fixed, own, times)
          add(into.fixed, fixed, 1)
          meter.enter(outer)
        })
        return Effect.andThen(
          Effect.sync(() => {
            if (phase !== undefined) meter.enter(phase)
          }),
          counted
        )
      }),
    steps: Effect.fnUntraced(function*(count, once, turns, taking) {
      meter.stepping(true)
      const borders = [...new Set([0, ...turns, count])].filter((n) => n >= 0 && n <= count).sort((a, b) => a - b)
      /** Tokens of a step, once somebody has asked. */
      let asked: Estimated | null = null
      for (let b = 1; b < borders.length; b++) {
        const [from, to] = [borders[b - 1]!, borders[b]!]
        if (taking === undefined || most < enoughToTell) {
          yield* stratum(from, to, once)
          continue
        }
        // Steps find encoded what was looked at before.
        let first = 0
        const all = () => to - from <= most && (to - from) * first <= enoughTokens
        yield* apart(
          Effect.sync(() => {
            first = tokensOf(taking, from)
          }),
          (done, into) => all() && stands(into, done, 1)
        )
        if (all()) {
          yield* stratum(from, to, once)
          continue
        }
        if (asked === null) {
          let survey!: Surveyed
          yield* apart(
            Effect.sync(() => {
              survey = tokensPerStep(taking, count)
            }),
            (done, into) => stands(into, done, taking.count / survey.looked)
          )
          asked = survey
        }
        yield* knownStratum(from, to, once, taking, asked, first)
      }
      meter.stepping(false)
    })
  }
}
