/** Laws of stages, held in a tabular world, where everything is exact: the stage's own code, run by `simulate`. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import fc from "fast-check"
import assert from "node:assert/strict"
import * as Artifact from "../../../dsl/Artifact.ts"
import { label } from "../../../dsl/Render.ts"
import type { Weights } from "../../engine/engine.ts"
import { language } from "../../engine/tabular/checkpoint.ts"
import type { World } from "../../engine/tabular/world.ts"
import { keysIn } from "../../interpreters/storeKeys.ts"
import { initialOf } from "../../../dsl/Stage.ts"
import { capsIn, isUnmeasured } from "../../interpreters/capsOf.ts"
import { defaultWorld, simulate, type Simulated, type SimulateOptions } from "../../interpreters/simulate.ts"
import * as MemoryStore from "../../store/memory.ts"
import type { Event } from "../../store/runLog.ts"
import { Store } from "../../store/store.ts"
import type { Drawn } from "../pipelines/pipelines.ts"

/** Operations that make no artefact of their own. */
const transparent = new Set(["Cap", "Source", "Checkpoint", "Input", "Ensemble", "Reward", "Outputs"])

const newStore = (): Store["Service"] => Effect.runSync(Effect.provide(Store, MemoryStore.layer))

/** Errors that a stage of Keel can end with. */
export const stageErrors: ReadonlyArray<string> = [
  "KlBudgetExceeded",
  "BudgetExceeded",
  "Diverged",
  "UnusableData",
  "BadData"
]

export interface SimulatesOptions extends fc.Parameters<[Drawn]>, Pick<SimulateOptions, "losses" | "stages" | "world"> {
  /** Tags of the errors that stages of your own can end with. */
  readonly errors?: ReadonlyArray<string>
  /** Called after every run. */
  readonly told?: (root: Artifact.Any, exit: Exit.Exit<Simulated, { readonly _tag: string }>) => void
}

/**
 * Any pipeline runs every needed node exactly once, after its inputs; it ends, or fails with a typed error; and a stage
 * that ends is within its caps as last measured.
 */
export const simulates = (
  drawn: fc.Arbitrary<Drawn>,
  { errors = [], losses = [], stages = [], told, world = defaultWorld, ...parameters }: SimulatesOptions = {}
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(drawn, async ({ root }) => {
      const events: Array<Event> = []
      const exit = await Effect.runPromiseExit(
        simulate(root as Artifact.Any, { losses, stages, world, onEvent: (event) => events.push(event) })
      )
      told?.(root, exit)
      if (Exit.isFailure(exit)) {
        for (const reason of exit.cause.reasons) {
          const typed = reason._tag === "Fail" && [...stageErrors, ...errors].includes(reason.error._tag)
          assert.ok(typed, Cause.pretty(exit.cause))
        }
      }
      const named = (tag: "Started" | "Finished") => events.flatMap((one) => one._tag === tag ? [one.stage] : [])
      const [started, finished] = [named("Started"), named("Finished")]
      assert.equal(new Set(started).size, started.length, "a node was made twice")
      const made = Artifact.lineage(root).filter(({ node }) => !transparent.has(node.op))
      if (Exit.isSuccess(exit)) assert.deepEqual([...finished].sort(), made.map(label).sort())
      const order = events.flatMap((one) =>
        one._tag === "Started" || one._tag === "Finished" ? [`${one._tag} ${one.stage}`] : []
      )
      for (const artifact of made) {
        const begins = order.indexOf(`Started ${label(artifact)}`)
        if (begins < 0) continue
        for (const before of Object.values(artifact.node.wires).map(initialOf)) {
          if (transparent.has(before.node.op)) continue
          const ends = order.indexOf(`Finished ${label(before)}`)
          assert.ok(ends >= 0 && ends < begins, `${label(artifact)} before ${label(before)}`)
        }
      }
      const limits = capsIn(root)
      for (const artifact of made.filter((one) => finished.includes(label(one)))) {
        for (const { from, mnats = Infinity } of isUnmeasured(artifact, limits) ? [] : limits(artifact).kl) {
          const last = events.findLast((one) =>
            one._tag === "Measured" && one.measurement.stage === label(artifact) && one.measurement.from === label(from)
          )
          assert.ok(last?._tag === "Measured", `${label(artifact)} was never measured from ${label(from)}`)
          assert.ok(last.measurement.mean * 1000 <= mnats, `${label(artifact)} ended above its cap`)
        }
      }
    }),
    parameters
  )

/** Runs a pipeline and gives the weights of every model that it made. */
const weightsIn = async (
  root: Artifact.Any,
  options: SimulateOptions & { readonly store: Store["Service"] }
): Promise<(artifact: Artifact.Any) => Weights> => {
  await Effect.runPromise(simulate(root as Artifact.Any, options))
  const keys = await Effect.runPromise(Effect.provideService(keysIn(root), Store, options.store))
  return (artifact) => {
    const of = initialOf(artifact)
    if (of.node.op === "Checkpoint") return language(options.world ?? defaultWorld)
    const found = Effect.runSync(options.store.find(keys.result(of)!, label(of)))
    if (found._tag === "Some" && found.value._tag === "Model") return found.value.weights
    throw new Error(`${label(of)} made no model`)
  }
}

const bits = ({ tensors }: Weights): unknown => [...tensors].map(([name, { data }]) => [name, Array.from(data)])

/** All steps of stages in order: their metrics and positions. */
const steps = (events: ReadonlyArray<Event>) => events.filter(({ _tag }) => _tag === "Step" || _tag === "Measured")

/**
 * A stage that is stopped after any of its steps and resumed reaches the same weights, bit for bit, as an undisturbed
 * run, and makes no step twice.
 */
export const resumes = async (
  root: Artifact.Any,
  stage: Artifact.Any,
  options: Pick<SimulateOptions, "losses" | "stages" | "world"> & { readonly stops?: ReadonlyArray<number> } = {}
): Promise<void> => {
  const { stops, ...shared } = options
  const whole: Array<Event> = []
  const undisturbed = newStore()
  const expected = await weightsIn(root, { ...shared, store: undisturbed, onEvent: (event) => whole.push(event) })
  const own = whole.flatMap((one) => one._tag === "Step" && one.stage === label(stage) ? [one.step] : [])
  assert.ok(own.length > 1, `${label(stage)} has fewer than two steps: there is nowhere to stop it`)
  for (const at of stops ?? [1, Math.ceil(own.length / 2), own.length - 1]) {
    const store = newStore()
    const events: Array<Event> = []
    let stop = () => {}
    const fiber = Effect.runFork(simulate(root as Artifact.Any, {
      ...shared,
      store,
      onEvent: (event) => {
        events.push(event)
        if (event._tag === "Step" && event.stage === label(stage) && event.step === at) stop()
      }
    }))
    stop = () => fiber.interruptUnsafe()
    const exit = await Effect.runPromise(Fiber.await(fiber))
    assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), `it was not stopped at step ${at}`)
    const found = await weightsIn(root, { ...shared, store, onEvent: (event) => events.push(event) })
    assert.deepEqual(bits(found(stage)), bits(expected(stage)), `other weights after a stop at step ${at}`)
    assert.deepEqual(steps(events), steps(whole), `other steps after a stop at step ${at}`)
  }
}

/** The same seed gives the same events and weights; another seed gives others. */
export const reproducible = async (
  root: Artifact.Any,
  stage: Artifact.Any,
  options: Pick<SimulateOptions, "losses" | "stages" | "world"> = {}
): Promise<void> => {
  const once = async () => {
    const events: Array<Event> = []
    const found = await weightsIn(root, { ...options, store: newStore(), onEvent: (event) => events.push(event) })
    return { events, weights: bits(found(stage)) }
  }
  assert.deepEqual(await once(), await once())
}

/**
 * A stage improves its own objective in each of some worlds: by at least `by` (default: at all). The objective is a
 * function of the weights of its result or of its starting model, exact by enumeration (`exact` of `keel/testing`).
 */
export const improves = async (
  root: Artifact.Any,
  { from, to }: { readonly from: Artifact.Any; readonly to: Artifact.Any },
  objective: (world: World, policy: Weights, weightsOf: (artifact: Artifact.Any) => Weights) => number,
  { by = 0, worlds = [defaultWorld], ...options }: Pick<SimulateOptions, "losses" | "stages"> & {
    readonly by?: number
    readonly worlds?: ReadonlyArray<World>
  } = {}
): Promise<void> => {
  for (const world of worlds) {
    const found = await weightsIn(root, { ...options, world, store: newStore() })
    const [before, after] = [objective(world, found(from), found), objective(world, found(to), found)]
    assert.ok(after > before + by, `${label(to)} in ${world.name}: its objective went from ${before} to ${after}`)
  }
}
