/**
 * Ctrl-C inside a verb. Verbs are synchronous and the event loop stands still meanwhile, so a signal handler in
 * JavaScript would wait for the end of the verb: minutes, for a step of a large model. Node can watch for SIGINT in a
 * thread of its own and end the running JavaScript and WebAssembly (`breakOnSigint`); an FFI kernel runs to its end
 * first.
 *
 * After that no finally block ran, and the model and the backend's memory may be inconsistent. The engine is dead from
 * then on: its models give no weights away, and training resumes from the last checkpoint.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type Around, aroundEngine, within } from "./around.ts"
import type { Engine } from "./engine.ts"
import { Abandoned, watched } from "../model/foreign.ts"

/** How long a stop waits for the current work. */
export interface Patience {
  /** Work that begins now may end by itself if it takes at most `seconds`. */
  readonly wait: (seconds: number) => void
  /** Whether a stop would interrupt the current work. */
  readonly over: () => boolean
}

/** Without a listener for signals, work is never interrupted. */
export const CurrentPatience = Context.Reference<Patience>("keel/Patience", {
  defaultValue: () => ({ wait: () => {}, over: () => false })
})

/** An engine whose verbs Ctrl-C interrupts once its patience is over, and that patience; until the scope closes. */
export const interruptible = (engine: Engine) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const state = { asked: false, dead: false, until: 0 }
        const ask = () => {
          state.asked = true
        }
        process.on("SIGINT", ask)
        return { state, ask }
      }),
      ({ ask }) => Effect.sync(() => process.off("SIGINT", ask))
    ),
    ({ state }) => {
      const patience: Patience = {
        wait: (seconds) => {
          state.until = performance.now() + 1000 * seconds
        },
        over: () => performance.now() >= state.until
      }
      const alive = <A>(work: () => A): A => {
        if (state.dead) throw new Abandoned("stopped in the middle, there is only the last checkpoint")
        return work()
      }
      const verb = <A>(work: () => A): A =>
        alive(() => {
          if (!patience.over()) return work()
          try {
            // A signal between two verbs comes through only where the event loop turns.
            if (state.asked) throw new Abandoned("stopped between two verbs of a long step")
            return watched(work)
          } catch (error) {
            if (error instanceof Abandoned) state.dead = true
            throw error
          }
        })
      const [ended, living] = [within(verb), within(alive)]
      const model = (): Around => ({
        pass: ended,
        compare: ended,
        backward: ended,
        learn: ended,
        step: ended,
        sample: ended,
        state: living,
        dispose: (own) => () => {
          if (!state.dead) own()
        }
      })
      return { patience, engine: aroundEngine(engine, { model, open: verb }) }
    }
  )

/** Ctrl-C interrupts the fiber of `effect`, in a program too. Abandoned work counts as interrupted. */
export const interruptedBySignal = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const stop = () => fiber.interruptUnsafe(fiber.id)
    return Effect.acquireUseRelease(
      Effect.sync(() => process.on("SIGINT", stop)),
      () => effect,
      () => Effect.sync(() => process.off("SIGINT", stop))
    )
  }).pipe(Effect.catchDefect((defect) => defect instanceof Abandoned ? Effect.interrupt : Effect.die(defect)))

/** The texts of a stop by Ctrl-C. */
export interface Stopping {
  /** Said at the first signal. */
  readonly first: string
  /** Said at the second signal, which ends the process. */
  readonly second: string
}

/**
 * Says that Ctrl-C was heard, and ends the process at a second one, with exit code 130. `stopped` tells of a stop that began without a
 * signal to JavaScript (in the middle of a verb): the next signal is the second.
 */
export const endedBySecondSignal = <A, E, R>(
  { first, second }: Stopping,
  effect: (stopped: Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  let asked = false
  const listen = () => {
    process.stderr.write(`\n${asked ? second : first}\n`)
    if (asked) process.exit(130)
    asked = true
  }
  const stopped = Effect.sync(() => {
    asked = true
  })
  return Effect.acquireUseRelease(
    Effect.sync(() => process.on("SIGINT", listen)),
    () => effect(stopped),
    () => Effect.sync(() => process.off("SIGINT", listen))
  )
}
