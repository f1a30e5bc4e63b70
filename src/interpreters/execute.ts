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
import { keyOfCap } from "../../dsl/KlCap.ts"
import { Measuring } from "../../dsl/KlSpending.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import { CurrentEngine } from "../engine/current.ts"
import { CurrentMicroBatches, opening } from "../engine/microBatches.ts"
import { Broken } from "../rewards/broken.ts"
import type { Made } from "../store/made.ts"
import { type Event, type Measurement, RunLog } from "../store/runLog.ts"
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
import { finishedIn, keysIn, type NodeKeys, spentIn, transparent } from "./storeKeys.ts"
import { retold, toTell } from "./told.ts"
import { judged } from "./lacking.ts"
import { capsIn, isUnmeasured, measuringOf } from "./capsOf.ts"
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
      const { kl: _, measured: __, totals, ...own } = limits(artifact)
      return {
        label: label(artifact),
        limits: {
          ...own,
          totals: totals.map((total) => ({
            limits: total.limits,
            others: () => [...spent].flatMap(([id, one]) => id !== artifact.id && total.of.has(id) ? [one] : [])
          }))
        }
      }
    }
    const kept = Effect.succeed("its result, in the store")

    const make: Make = (artifact) =>
      Effect.suspend(() => {
        const done = made.get(artifact.id)
        return done === undefined ? makeOnce(artifact) : Effect.succeed(done)
      })

    const keys = yield* keysIn(root)
    /** The keys of an artefact; capped inputs whose result is not known are made first. */
    const keysOf: (artifact: Artifact.Any) => Effect.Effect<NodeKeys, ExecuteError, ExecuteServices> = (artifact) =>
      Effect.suspend(() => {
        const first = keys.first(artifact)
        return first === artifact
          ? Effect.succeed(keys.of(artifact)!)
          : Effect.andThen(make(first), keysOf(artifact))
      })
    const wires = yield* wired(make, (artifact) => keys.result(artifact)!)
    const meaning = yield* meanings(make, wires, stages)
    const scopeOf = Effect.fnUntraced(function*(artifact: Artifact.Any, key: string) {
      const kl: Array<Scope["limits"]["kl"][number]> = []
      const { kl: caps, measured: on } = limits(artifact)
      for (const cap of caps) {
        kl.push({ ...cap, initial: yield* wires.weightsOf(cap.from), key: keyOfCap(keys.result(cap.from)!, on) })
      }
      const measured = on && {
        ...Measuring.make(on.how as typeof Measuring["~type.make.in"]),
        held: yield* wires.rowsOf(on.held, "Prompts", kl[0]!.initial)
      }
      const { lora } = fieldsOf(artifact)
      return {
        key,
        stream: streams(artifact),
        measured: new Array<Measurement>(),
        label: label(artifact),
        limits: { ...held(artifact).limits, kl, ...(measured === undefined ? {} : { measured }) },
        ...(lora === undefined ? {} : { lora })
      } satisfies Scope
    })

    /** The value of an artefact, and the end that a KL cap or the peak of gold reward made of its stage. */
    const valueOf = Effect.fnUntraced(function*(artifact: Artifact.Any, key: string) {
      const [name, scope, ends] = [label(artifact), yield* scopeOf(artifact, key), new Array<Event>()]
      const listening: RunLog["Service"] = {
        emit: (event) => {
          if ((event._tag === "OverBudget" && event.kept !== null) || event._tag === "PeakPassed") ends.push(event)
          return log.emit(event)
        }
      }
      if (isUnmeasured(artifact, limits)) yield* log.emit({ _tag: "Unmeasured", stage: name })
      const { precision } = fieldsOf(artifact)
      const how = { ...microBatches.get(name), ...(precision === undefined ? {} : { precision }) }
      const made = yield* Effect.map(meaning(artifact, scope), (value) => ({ value, by: null })).pipe(
        Effect.provideService(CurrentEngine, opening(engine, how)),
        Effect.provideService(RunLog, listening),
        // An early end is no failure: the result is the kept checkpoint.
        Effect.catchTag("EndedEarly", ({ by, weights }) => Effect.succeed({ value: model(weights), by }))
      )
      return { ...made, told: toTell(artifact, scope.limits.kl, scope.measured, ends) }
    })
    const makeOnce: (artifact: Artifact.Any) => Effect.Effect<Made, ExecuteError, ExecuteServices> = Effect.fnUntraced(
      function*(artifact) {
        const name = label(artifact)
        if (transparent.has(artifact.node.op)) {
          const { value } = yield* valueOf(artifact, artifact.id)
          made.set(artifact.id, value)
          return value
        }
        const { capped, weights } = yield* keysOf(artifact)
        const claimed = (place: string) =>
          meter.making(store.claim(capped, name, {
            waiting: ({ host, pid }) => log.emit({ _tag: "Waiting", stage: name, host, pid }),
            replaced: ({ host, pid }) => log.emit({ _tag: "Replaced", stage: name, host, pid })
          }, place))
        const once = Effect.gen(function*() {
          const before = yield* keys.place(artifact)
          yield* claimed(before)
          // Another process may have made it meanwhile.
          const at = capped === weights ? weights : (yield* keys.look(artifact)) ?? capped
          const found = yield* store.find(at, name)
          if (Option.isSome(found)) {
            yield* log.emit({ _tag: "Cached", stage: name })
            return { key: at, value: found.value, reused: true }
          }
          const place = yield* keys.place(artifact)
          if (place !== before) yield* claimed(place)
          return yield* meter.making(Effect.gen(function*() {
            const { by, told, value } = yield* valueOf(artifact, place)
            const key = by === "cap" ? capped : place
            // A raised cap goes on from the last checkpoint, if there is one.
            const stays = key !== place && Option.isSome(yield* store.spent(place, name))
            yield* store.finish(key, name, value, yield* meter.spent, told, place, stays)
            return { key, value, reused: false }
          }))
        })
        const { key, reused, value } = yield* Effect.scoped(once).pipe(
          Effect.catchDefect(tagged(name)),
          Effect.tapError((error) =>
            alreadyTold.has(error)
              ? Effect.void
              : Effect.suspend(() => {
                alreadyTold.add(error)
                const { _tag, message } = PlatformError.isPlatformError(error) ? systemFailure(error) : error
                // If the disk is full, the log fails too; the first error must stay visible.
                return Effect.ignore(log.emit({ _tag: "Failed", stage: name, error: _tag, message }))
              })
          )
        )
        made.set(artifact.id, value)
        yield* keys.settle(artifact, key)
        if (!reused) {
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
    const before = yield* spentIn(root, keys)
    const there = yield* finishedIn(root, keys)
    for (const artifact of Artifact.lineage(root)) {
      if (!(yield* there(artifact))) continue
      // Repeats passed caps and peaks of earlier results, because later stages build on their policies.
      const { kl, measured } = limits(artifact)
      const caps = kl.map((cap) => ({ ...cap, key: keyOfCap(keys.result(cap.from)!, measured) }))
      for (
        const event of retold(
          artifact,
          caps,
          measuringOf(artifact, limits(artifact)),
          yield* store.told(keys.result(artifact)!, label(artifact))
        )
      ) {
        yield* log.emit(event)
      }
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
