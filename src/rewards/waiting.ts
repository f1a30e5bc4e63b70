/** Says that answers from elsewhere are waited for. */
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** Seconds without an answer after which a line says so, and says it again. */
const quiet = 30

/** `asking` gives `answered` for each of `count` answers of `who`. */
export const waiting = Effect.fnUntraced(function*<A, E, R>(
  stage: string,
  who: string,
  count: number,
  asking: (answered: Effect.Effect<void>) => Effect.Effect<A, E, R>
) {
  let [answers, last] = [0, yield* Clock.currentTimeMillis]
  const answered = Effect.map(Clock.currentTimeMillis, (now) => {
    answers++
    last = now
  })
  const watch = Effect.forever(Effect.gen(function*() {
    yield* Effect.sleep(quiet * 1000)
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - last) / 1000)
    if (seconds < quiet) return
    yield* Console.error(
      `! ${stage}  still waiting for ${who}: ${answers} of ${count} answers, ${seconds} s without one`
    )
  }))
  const watching = yield* Effect.forkChild(Effect.interruptible(watch))
  return yield* Effect.ensuring(asking(answered), Fiber.interrupt(watching))
})
