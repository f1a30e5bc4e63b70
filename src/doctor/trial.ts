/** Whether a backend works here, and how fast it is. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Backend } from "../tensor/backend.ts"

export interface Trial {
  readonly name: string
  readonly works: boolean
  /** Seconds until it was open and had passed its self-test. */
  readonly seconds: number
  /** Floating-point operations a second of a large product; null where it does not work. */
  readonly flops: number | null
  readonly precisions: ReadonlyArray<string>
  /** Why it does not work, with the remedy. */
  readonly problem: string | null
}

/** Side of the square matrices of the product; small for the loops of `reference`. */
const sideOf = ({ realBytes }: Backend): number => realBytes === 4 ? 1024 : 96

const enoughSeconds = 0.2

const now = Effect.sync(() => performance.now() / 1000)

const speed = Effect.fnUntraced(function*(backend: Backend) {
  const n = sideOf(backend)
  const [out, x, w] = [backend.reals(n * n), backend.reals(n * n), backend.reals(n * n)]
  const data = Float32Array.from({ length: n * n }, (_, i) => i % 7 - 3)
  backend.write(x, data)
  backend.write(w, data)
  const product = () => backend.linear(out, x, w, null, n, n, n)
  product()
  const start = yield* now
  let count = 0
  let seconds = 0
  while (seconds < enoughSeconds) {
    product()
    count++
    // A device works on after the call: its result is there only when it is read.
    backend.read(backend.slice(out, 0, 1))
    seconds = (yield* now) - start
  }
  for (const buffer of [out, x, w]) backend.free(buffer)
  return 2 * n ** 3 * count / seconds
})

/** Opens a backend (which tests itself), multiplies, and closes it. */
export const tryBackend = <E extends Error, R>(
  name: string,
  open: Effect.Effect<Backend, E, R | Scope.Scope>
): Effect.Effect<Trial, never, Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const start = yield* now
    return yield* open.pipe(
      Effect.flatMap(Effect.fnUntraced(function*(backend) {
        const seconds = (yield* now) - start
        const flops = yield* speed(backend)
        return { name, works: true, seconds, flops, precisions: backend.precisions, problem: null }
      })),
      Effect.catch((error) =>
        Effect.map(now, (end): Trial => ({
          name,
          works: false,
          seconds: end - start,
          flops: null,
          precisions: [],
          problem: error.message.split("\n")[0]!
        }))
      ),
      Effect.scoped
    )
  })
