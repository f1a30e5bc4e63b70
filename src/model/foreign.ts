/**
 * Work that files from elsewhere decide: chat templates, regular expressions of tokenizers. It may never end, and while it goes on no
 * listener for signals runs. Here it runs with a limit of time, and Ctrl-C ends it; SIGTERM, left to the system, ends the process.
 *
 * A watch takes 0.3 ms to set up, so that many small pieces of work share one: `limited` inside another is free, and `windows` watches
 * pieces for 0.1 s at a time, less than 0.5 % of it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createContext, Script } from "node:vm"

/** Thrown by work that Ctrl-C ended. */
export class Abandoned extends Error {
  override readonly name = "Abandoned"
}

/** Seconds that one text may take a template or a tokenizer. */
export const longest = 10

/** Thrown by work that passed its limit. */
export class Overran extends Schema.TaggedError<Overran>()("Overran", {
  seconds: Schema.Number
}) {
  get problem() {
    return `the work that the model's files describe was not done after ${Math.round(this.seconds)} s and was stopped`
  }
  get remedy() {
    return "Use files of a model that you trust, or a shorter text."
  }
  override get message() {
    return `${this.problem}. ${this.remedy}`
  }
}

/** The only global of a context that is otherwise empty. */
const context: { work: (() => unknown) | undefined } = { work: undefined }
const script = new Script("work()")

/** Runs `work` so that SIGINT ends it, and the passing of `seconds` too. */
export const watched = <A>(work: () => A, seconds?: number): A => {
  createContext(context)
  // No listener can run meanwhile: SIGTERM is left to the system, which ends the process at once.
  const listeners = process.listeners("SIGTERM").map((listener) => listener as () => void)
  for (const listener of listeners) process.off("SIGTERM", listener)
  context.work = work
  try {
    const options = { breakOnSigint: true, displayErrors: false }
    return script.runInContext(context, seconds === undefined ? options : { ...options, timeout: 1000 * seconds }) as A
  } catch (error) {
    // These errors belong to the other context and are no instances of this context's Error.
    const { code } = error as { readonly code?: unknown }
    if (code === "ERR_SCRIPT_EXECUTION_INTERRUPTED") throw new Abandoned("stopped in the middle", { cause: error })
    if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT") throw new Overran({ seconds: seconds! })
    throw error
  } finally {
    context.work = undefined
    for (const listener of listeners) process.on("SIGTERM", listener)
  }
}

let inside = false

/** Runs `work`, which may be begun again and may have changed nothing by then, for at most `seconds`; throws `Overran`, `Abandoned`. */
export const limited = <A>(work: () => A, seconds = longest): A => {
  if (inside) return work()
  inside = true
  const began = process.cpuUsage()
  try {
    for (;;) {
      try {
        return watched(work, seconds)
      } catch (error) {
        if (!(error instanceof Overran)) throw error
        // Time passes while a process is stopped, or waits for a processor: that is not the work's fault.
        const { system, user } = process.cpuUsage(began)
        if (system + user > 1e6 * seconds / 4) throw error
      }
    }
  } finally {
    inside = false
  }
}

/** Runs `work` that came to an end on the same input before: it needs no watch. */
export const unwatched = <A>(work: () => A): A => {
  if (inside) return work()
  inside = true
  try {
    return work()
  } finally {
    inside = false
  }
}

/** Seconds of a window: pieces of work that share a watch. */
const shared = 0.1

/** Does `piece` after piece until there is `"done"` or a failure, within one window; `undefined` when the window is over before. */
const window = <E>(piece: () => Result.Result<"more" | "done", E>): Result.Result<"more" | "done", E> =>
  limited(() => {
    const until = performance.now() + 1000 * shared
    for (;;) {
      const result = piece()
      if (Result.isFailure(result) || result.success === "done" || performance.now() >= until) return result
    }
  }, longest + shared)

/**
 * Does `piece` after piece until there is `"done"`, each within the limit of time. A piece changes nothing before its foreign work
 * is over. Signals are heard between windows. `overran` makes the error of a piece that passed the limit.
 */
export const windows = <E>(
  piece: () => Result.Result<"more" | "done", E>,
  overran: (error: Overran) => E
): Effect.Effect<void, E> =>
  Effect.suspend(() => {
    try {
      const result = window(piece)
      if (Result.isFailure(result)) return Effect.fail(result.failure)
      return result.success === "done" ? Effect.void : Effect.flatMap(Effect.yieldNow, () => windows(piece, overran))
    } catch (error) {
      if (error instanceof Overran) return Effect.fail(overran(error))
      if (error instanceof Abandoned) return Effect.interrupt
      throw error
    }
  })

/** `of` each item, each within the limit of time. Throws `Overran`, `Abandoned`. */
export const eachLimited = <A, B>(items: ReadonlyArray<A>, of: (item: A, at: number) => B): Array<B> => {
  const made: Array<B> = []
  const piece = (): Result.Result<"more" | "done"> => {
    if (made.length < items.length) made.push(of(items[made.length]!, made.length))
    return Result.succeed(made.length < items.length ? "more" : "done")
  }
  while (made.length < items.length) window(piece)
  return made
}
