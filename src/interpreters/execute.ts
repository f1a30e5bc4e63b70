/**
 * Makes the artefact at the root of a description: the meaning of each stage (`meaning.ts`), on the provided engine,
 * data, judge, store and log. `run` and `simulate` provide different services.
 *
 * A node is made at most once, after its inputs, and only if an unfinished node needs it: results in the store under
 * the node's key are reused.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PlatformError from "effect/PlatformError"
import * as Artifact from "../../dsl/Artifact.ts"
import { BrokenExtension, OutOfMemory } from "../../dsl/Errors.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import { CurrentEngine } from "../engine/current.ts"
import { CurrentMicroBatches, inMicroBatches } from "../engine/microBatches.ts"
import { Broken } from "../rewards/broken.ts"
import type { Made } from "../store/made.ts"
import { type Event, RunLog } from "../store/runLog.ts"
import type { Spent } from "../store/spent.ts"
import { Store } from "../store/store.ts"
import { systemFailure } from "../store/systemFailure.ts"
import { hold } from "../training/budgets.ts"
import type { SpendingMeter } from "../training/spendingMeter.ts"
import { CurrentLosses } from "../training/ownLosses.ts"
import type { Scope } from "../training/scope.ts"
import { counted } from "./counted.ts"
import type { Extensions } from "./extensions.ts"
import { streamsIn } from "./streams.ts"
import { finishedIn, keyOf, spentIn, transparent } from "./storeKeys.ts"
import { judged } from "./lacking.ts"
import { capsIn } from "./capsOf.ts"
import { meanings, model } from "./meaning.ts"
import { type ExecuteError, type ExecuteServices, type Make, wired } from "./inputs.ts"

export type { ExecuteError } from "./inputs.ts"

export type ExecuteOptions = Pick<Extensions, "losses" | "stages">

/** Turns the exception of a full device or of code from outside Keel into its tagged error. */
const tagged = (stage: string) => (defect: unknown): Effect.Effect<never, OutOfMemory | BrokenExtension> => {
  if (defect instanceof Broken) return Effect.fail(new BrokenExtension({ stage, ...defect.of }))
  const { shortage } = defect as { readonly shortage?: Pick<OutOfMemory, "phase" | "needed" | "available"> }
  return shortage === undefined ? Effect.die(defect) : Effect.fail(new OutOfMemory({ stage, ...shortage, terms: [] }))
}

const maker = Effect.fnUntraced(
  function*(root: Artifact.Any, { stages = [] }: ExecuteOptions, meter: SpendingMeter) {
    const [store, log] = [yield* Store, yield* RunLog]
    const engine = yield* CurrentEngine
    const microBatches = yield* CurrentMicroBatches
    const limits = capsIn(root)
    const streams = streamsIn(root)
    const made = new Map<string, Made>()
    // Spending of finished artefacts only: an unfinished artefact's spending is in the meter once it resumes.
    const spent = new Map<string, Spent>()

    /** The resource caps on an artefact. */
    const held = (artifact: Artifact.Any) => {
      const { kl: _, totals, ...own } = limits(artifact)
      return {
        label: label(artifact),
        limits: {
          ...own,
          totals: totals.map(({ limits, of }) => ({
            limits,
            others: () => [...spent].flatMap(([id, one]) => id !== artifact.id && of.has(id) ? [one] : [])
          }))
        }
      }
    }
    const kept = Effect.succeed("its result, in the store")
    /** A log that also adds to `told` the events of the stage `name` that must be repeated when it is reused. */
    const remembering = (name: string, told: Array<Event>): RunLog["Service"] => ({
      emit: (event) => {
        if ((event._tag === "OverBudget" || event._tag === "PeakPassed") && event.stage === name) told.push(event)
        return log.emit(event)
      }
    })

    const make: Make = (artifact) =>
      Effect.suspend(() => {
        const done = made.get(artifact.id)
        return done === undefined ? makeOnce(artifact) : Effect.succeed(done)
      })

    const wires = yield* wired(make, limits)
    const meaning = yield* meanings(make, wires, stages)
    const scopeOf = Effect.fnUntraced(function*(artifact: Artifact.Any) {
      const own = limits(artifact)
      const kl: Array<Scope["limits"]["kl"][number]> = []
      for (const cap of own.kl) kl.push({ ...cap, initial: yield* wires.weightsOf(cap.from) })
      const { lora } = fieldsOf(artifact)
      return {
        key: keyOf(artifact, own),
        stream: streams(artifact),
        label: label(artifact),
        limits: { ...held(artifact).limits, kl },
        ...(lora === undefined ? {} : { lora })
      } satisfies Scope
    })

    const makeOnce: (artifact: Artifact.Any) => Effect.Effect<Made, ExecuteError, ExecuteServices> = Effect.fnUntraced(
      function*(artifact) {
        const own = !transparent.has(artifact.node.op)
        const key = keyOf(artifact, limits(artifact))
        const name = label(artifact)
        const told: Array<Event> = []
        const finished = Effect.tap(
          Effect.flatMap(scopeOf(artifact), (scope) => meaning(artifact, scope)).pipe(
            Effect.provideService(CurrentEngine, inMicroBatches(engine, microBatches.get(name))),
            Effect.provideService(RunLog, remembering(name, told)),
            // An early end is no failure: the result is the kept checkpoint.
            Effect.catchTag("EndedEarly", ({ weights }) => Effect.succeed(model(weights)))
          ),
          (value) =>
            own ? Effect.flatMap(meter.spent, (spent) => store.finish(key, name, value, spent, told)) : Effect.void
        )
        /** Found, in the time of nobody: another process may be making it. */
        const found = Effect.andThen(
          meter.making(store.claim(key, name, {
            waiting: ({ host, pid }) => log.emit({ _tag: "Waiting", stage: name, host, pid }),
            replaced: ({ host, pid }) => log.emit({ _tag: "Replaced", stage: name, host, pid })
          })),
          store.find(key, name)
        )
        const once = Effect.gen(function*() {
          const before = yield* found
          if (Option.isNone(before)) return { value: yield* meter.making(finished), reused: false }
          yield* log.emit({ _tag: "Cached", stage: name })
          return { value: before.value, reused: true }
        })
        const { reused, value } = yield* (own
          ? Effect.scoped(once)
          : Effect.map(finished, (value) => ({ value, reused: false }))).pipe(
            Effect.catchDefect(tagged(name)),
            Effect.tapError((error) =>
              own && !alreadyTold.has(error)
                ? Effect.suspend(() => {
                  alreadyTold.add(error)
                  const { _tag, message } = PlatformError.isPlatformError(error) ? systemFailure(error) : error
                  // If the disk is full, the log fails too; the first error must stay visible.
                  return Effect.ignore(log.emit({ _tag: "Failed", stage: name, error: _tag, message }))
                })
                : Effect.void
            )
          )
        made.set(artifact.id, value)
        if (own && !reused) {
          const took = yield* store.spent(key, name)
          if (Option.isSome(took)) yield* settle(artifact, took.value)
        }
        return value
      }
    )
    const alreadyTold = new WeakSet<object>()

    /** Adds a finished artefact's spending to its own caps and all totals. */
    const settle = (artifact: Artifact.Any, took: Spent) => {
      spent.set(artifact.id, took)
      return hold(held(artifact), took, kept)
    }
    // Earlier results in this pipeline count as spent, whether or not they are used now.
    const before = yield* spentIn(root)
    const there = finishedIn(root)
    for (const artifact of Artifact.lineage(root)) {
      if (!(yield* there(artifact))) continue
      // Repeats passed caps and peaks of earlier results, because later stages build on their policies.
      for (const told of yield* store.told(keyOf(artifact, limits(artifact)), label(artifact))) yield* log.emit(told)
      const took = before.get(artifact.id)
      // Memory is held, not spent: it is free again.
      if (took !== undefined) yield* settle(artifact, { ...took, memory: 0 })
    }
    return make
  }
)

/** The result of `use` for the checked pipeline `root`, with all spending counted and held to the caps on resources. */
export const making = <A, E, R>(
  root: Artifact.Any,
  options: ExecuteOptions,
  use: (make: Make) => Effect.Effect<A, E, R>
) =>
  counted((meter) => Effect.flatMap(maker(root, options, meter), use)).pipe(
    Effect.provideService(CurrentLosses, options.losses ?? [])
  )

/**
 * Makes `root`. Fails first if `check` finds a mistake, if a stage or loss from outside is not in `stages` or `losses`,
 * or if the engine lacks a precision; errors of stages pass through unchanged.
 */
export const execute: (
  root: Artifact.Any,
  options?: ExecuteOptions
) => Effect.Effect<Made, ExecuteError, ExecuteServices> = Effect.fn("execute")(
  function*(root: Artifact.Any, options: ExecuteOptions = {}) {
    yield* judged(root, { extensions: options, rewards: false, engine: yield* CurrentEngine })
    return yield* making(root, options, (make) => make(root))
  }
)
