/** A process that sends itself signals; started by `interruptible.test.ts`. Prints what it saw as JSON. */
import { Effect } from "effect"
import type { Engine, Policy } from "../../src/engine/engine.ts"
import { interruptible } from "../../src/engine/interruptible.ts"
import { Abandoned } from "../../src/model/foreign.ts"

const sleep = () => new Promise((resolve) => setTimeout(resolve, 50))
const [mode] = process.argv.slice(2)

const seen = { handled: 0, disposed: 0, updates: 0, finallyRan: false }
process.on("SIGINT", () => seen.handled++)
const terminated = () => {}
process.on("SIGTERM", terminated)

const kernel = () => seen.updates
/** Endless, and the signal comes in the middle. */
const endless = () => {
  process.kill(process.pid, "SIGINT")
  try {
    for (;;) kernel()
  } finally {
    seen.finallyRan = true
  }
}
const policy = {
  weights: () => ({ config: {}, tensors: new Map(), tokenizer: new Map() }),
  dispose: () => seen.disposed++,
  backward: endless,
  divergences: endless,
  /** The signal comes while it works, and it ends by itself. */
  step: () => {
    process.kill(process.pid, "SIGINT")
    for (const until = performance.now() + 50; performance.now() < until;) kernel()
    return ++seen.updates
  },
  logprobs: () => {
    throw new TypeError("an error of the verb's own")
  },
  sample: () => [process.listeners("SIGTERM").length]
}
const tried = (work: () => unknown): string => {
  try {
    return JSON.stringify(work())
  } catch (error) {
    return error instanceof Abandoned ? "Abandoned" : String(error)
  }
}
const update = {} as Parameters<Policy["step"]>[0]

await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const { engine, patience } = yield* interruptible({ policy: () => policy } as unknown as Engine)
  const model = engine.policy(undefined as never)
  const results: Array<string> = []
  const note = (work: () => unknown) => results.push(tried(work))
  if (mode === "long") {
    note(() => model.logprobs([]))
    note(() => model.sample([], undefined as never, []))
    note(() => model.backward(new Float64Array(0)))
    note(model.weights)
    note(() => model.step(update))
    model.dispose()
    note(() => process.listeners("SIGTERM").includes(terminated))
    yield* Effect.promise(sleep)
    const before = seen.handled
    process.kill(process.pid, "SIGINT")
    yield* Effect.promise(sleep)
    note(() => seen.handled - before)
  } else if (mode === "compare") {
    note(() => model.divergences([], model, () => 0))
    note(() => model.logprobs([]))
  } else {
    patience.wait(60)
    note(() => model.step(update))
    yield* Effect.promise(sleep)
    note(() => seen.handled)
    note(() => model.step(update))
    yield* Effect.promise(sleep)
    note(() => Object.keys(model.weights()).length)
    // It takes longer than was thought: what was asked for before counts now.
    patience.wait(0)
    note(() => model.step(update))
    note(model.weights)
  }
  console.log(JSON.stringify({ results, seen }))
})))
process.exit(0)
