/** Runs a sample of a stage's steps on an engine that counts, and scales their cost to all steps. */
import * as Effect from "effect/Effect"
import { type CountedWork, type Held, plus } from "../tensor/counting/backend.ts"
import type { CountedEngine } from "./countedEngine.ts"
import { learnedAtOnce } from "../engine/transformer/passes.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import type { Taking } from "../training/batches.ts"
import type { Rehearsal } from "../training/rehearsal.ts"
import { type RowTokens, rowTokens, spread } from "./rowTokens.ts"

/** Tokens in any pass, over all sampled steps of a kind: more add no accuracy. */
const enoughTokens = 2 ** 16
/** Rows of the steps among which a typical step and the largest step are searched. */
const searched = 2 ** 15
/** Relative error of a row's tokens, estimated from its characters. */
const roughly = 0.01
/** In a step of at least this many parts, the largest part is about as large as allowed. */
const manyParts = 16

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, x) => sum + x, 0)

/** The most tokens of these rows in one backward pass: whole rows, in about equal parts, with the limit `most`. */
const largestPart = (rows: ReadonlyArray<number>, most: number): number => {
  const enough = learnedAtOnce(sum(rows), most)
  let [part, largest] = [0, 0]
  for (const row of rows) {
    part = part + row > enough ? row : part + row
    largest = Math.max(largest, part)
  }
  return largest
}

/** Counted work. */
interface Amounts {
  generated: number
  trained: number
  /** Of endpoints: questions, tokens read and written, and fees in millionths of the currency. */
  questions: number
  asked: number
  fees: number
  /** Seconds of the host. */
  host: number
  readonly spent: Map<Phase, CountedWork>
}

/** The total of a stage. */
export interface StepTally extends Amounts {
  /** The most held in each phase, in order of first appearance. */
  readonly peaks: ReadonlyMap<Phase, Held>
  /** The most micro-batches of one update. */
  readonly accumulated: number
  /** Parameters that a token passes, of the largest model. */
  readonly largest: number
  /** Whether some steps stood for others. */
  readonly estimated: boolean
}

/** Counts in progress: `own` is scaled by the share of steps, `fixed` is a total already. */
interface Sheet {
  readonly own: Amounts
  readonly fixed: Amounts
}

const empty = (): Amounts => ({ generated: 0, trained: 0, questions: 0, asked: 0, fees: 0, host: 0, spent: new Map() })
const sheet = (): Sheet => ({ own: empty(), fixed: empty() })

const add = (to: Amounts, from: Amounts, times: number): void => {
  for (const name of ["generated", "trained", "questions", "asked", "fees", "host"] as const) {
    to[name] += times * from[name]
  }
  for (const [phase, spent] of from.spent) to.spent.set(phase, plus(to.spent.get(phase), spent, times))
}

interface Frame {
  readonly sheets: Array<Sheet>
  readonly peaks: Map<Phase, Held>
  accumulated: number
  largest: number
  estimated: boolean
}

export interface Rehearsing extends Rehearsal {
  /** Begins a stage; a stage in progress waits. */
  readonly begin: () => void
  readonly end: () => StepTally
}

/**
 * Makes at most `most` steps of each kind; `host` returns the estimated seconds of host work so far, `judging` what endpoints were asked.
 */
export const rehearsing = (
  meter: CountedEngine,
  most: number,
  host: () => number,
  judging: () => Pick<Amounts, "questions" | "asked" | "fees"> = () => ({ questions: 0, asked: 0, fees: 0 })
): Rehearsing => {
  const frames: Array<Frame> = []
  const read = () => ({ ...meter.amounts(), ...judging(), host: host(), spent: new Map(meter.spentIn()) })
  let before = read()
  /** Adds the work since the last call to the current sheet. */
  const settle = (): void => {
    const now = read()
    const frame = frames.at(-1)
    if (frame !== undefined) {
      for (const [phase, held] of meter.peaks()) {
        const known = frame.peaks.get(phase)
        if (known === undefined || held.bytes > known.bytes) frame.peaks.set(phase, held)
      }
      frame.accumulated = Math.max(frame.accumulated, meter.accumulated())
      frame.largest = Math.max(frame.largest, meter.largest())
      const { own } = frame.sheets.at(-1)!
      add(own, now, 1)
      add(own, before, -1)
    }
    before = now
  }
  /** Counts the work of `once` separately. */
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
  /** Inspects steps without counting that work. */
  const look = <A>(once: () => A): Effect.Effect<A> => apart(Effect.sync(once), () => {})
  /** Adds a sheet, its own part `times` times. */
  const stands = (into: Sheet, { fixed, own }: Sheet, times: number): void => {
    add(into.own, own, times)
    add(into.fixed, fixed, 1)
  }
  /** Makes a step that stands for `times` steps. */
  const makes = <E, R>(once: Effect.Effect<unknown, E, R>, times: number) =>
    apart(once, (done, into) => {
      stands(into, done, times)
      if (times !== 1) frames.at(-1)!.estimated = true
    })

  /** Steps `from` … `to` − 1: makes every step, or with unknown rows a few, evenly spread. */
  const unknown = Effect.fnUntraced(function*<E, R>(
    from: number,
    to: number,
    once: (n: number) => Effect.Effect<unknown, E, R>,
    every: boolean
  ) {
    const size = to - from
    let [into, first] = [sheet(), sheet()]
    const { passed } = meter.amounts()
    yield* apart(once(from), (done, outer) => {
      ;[into, first] = [outer, done]
    })
    const tokens = meter.amounts().passed - passed
    const count = every
      ? size
      : Math.min(size, most, Math.max(1, Math.floor(enoughTokens / Math.max(1, tokens))))
    stands(into, first, size / count)
    if (count < size) frames.at(-1)!.estimated = true
    for (let i = 1; i < count; i++) yield* makes(once(from + Math.floor(i * size / count)), size / count)
  })

  /** Steps `from` … `to` − 1 with known rows: two near the mean stand for all, the largest only for its peak. */
  const known = Effect.fnUntraced(function*<E, R>(
    from: number,
    to: number,
    once: (n: number) => Effect.Effect<unknown, E, R>,
    { of, perStep, tokens }: Taking,
    rows: RowTokens
  ) {
    const size = to - from
    const found = yield* look(() =>
      spread(size, Math.max(3, Math.floor(searched / perStep))).map((i) => {
        const taken = of(from + i).map(rows.of)
        return { n: from + i, rows: taken, squares: sum(taken.map((row) => row ** 2)) }
      })
    )
    // The cost of attention grows with the squares of lengths: takes the nearest steps below and above the mean square.
    const mean = sum(found.map(({ squares }) => squares)) / found.length
    const sorted = found.toSorted((a, b) => a.squares - b.squares)
    const above = Math.min(Math.max(1, sorted.findIndex(({ squares }) => squares > mean)), sorted.length - 1)
    const [less, more] = [sorted[above - 1]!, sorted[above]!]
    const share = less.squares === more.squares ? 0.5 : (mean - less.squares) / (more.squares - less.squares)
    const [few, many] = yield* look(() => [less, more].map(({ n }) => sum(of(n).map(tokens))))
    const taken = (1 - share) * few! + share * many!
    const times = size * perStep * rows.mean / Math.max(1, taken)
    yield* makes(once(less.n), (1 - share) * times)
    yield* makes(once(more.n), share * times)
    const { most: limit, tokens: held } = meter.atOnce()
    if (held >= (1 - 2 * roughly) * limit || taken >= manyParts * limit) return
    // A few tokens more might add a part, and make all parts smaller.
    const atOnce = (step: typeof found[number]): number =>
      Math.min(...[1 - roughly, 1 + roughly].map((about) => largestPart(step.rows.map((row) => about * row), limit)))
    const largest = found.map((step) => ({ n: step.n, part: atOnce(step) })).reduce((a, b) => b.part > a.part ? b : a)
    if (largest.part > held) yield* makes(once(largest.n), 0)
  })

  return {
    begin: () => {
      settle()
      meter.stepping("no")
      meter.restart()
      frames.push({ sheets: [sheet()], peaks: new Map(), accumulated: 0, largest: 0, estimated: false })
    },
    end: () => {
      settle()
      meter.restart()
      const { accumulated, estimated, largest, peaks, sheets: [{ fixed, own }] } = frames.pop() as Frame & {
        readonly sheets: [Sheet]
      }
      add(own, fixed, 1)
      return { ...own, peaks, accumulated, largest, estimated }
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
    steps: Effect.fnUntraced(function*(count, once, { taking, trains = false, turns = [] }) {
      const outer = meter.stepping("steps")
      if (trains || outer === "training") meter.stepping("training")
      // Rounding is measured at the first and the last step; the last step without training may have fewer rows.
      const own = [...(meter.rounds() ? [1, count - 1] : []), ...(trains ? [] : [count - 1])]
      const borders = [...new Set([0, ...own, ...turns, count])].filter((n) => n >= 0 && n <= count)
        .sort((a, b) => a - b)
      let [rows, step]: [RowTokens | null, typeof once] = [null, once]
      if (taking !== undefined && count > borders.length - 1) {
        const { of, tokens } = taking
        let times = 1
        rows = yield* apart(
          Effect.sync(() => {
            const found = rowTokens(taking)
            times = found.times
            return found
          }),
          (done, into) => stands(into, done, times)
        )
        // The rows of a step are encoded beforehand: encoding is counted with all rows.
        step = (n) => Effect.andThen(look(() => of(n).forEach(tokens)), Effect.suspend(() => once(n)))
      }
      for (let b = 1; b < borders.length; b++) {
        const [from, to] = [borders[b - 1]!, borders[b]!]
        const size = to - from
        const few = size < 3 || (size <= most && size * (taking?.perStep ?? 0) * (rows?.mean ?? 0) <= enoughTokens)
        yield* taking === undefined || rows === null || few
          ? unknown(from, to, step, rows !== null && few)
          : known(from, to, step, taking, rows)
      }
      meter.stepping(outer)
    })
  }
}
