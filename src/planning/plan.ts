/**
 * Estimates a pipeline before any weights exist: runs a few steps of each stage's own code on an engine that counts
 * instead of computing, and scales them. Data is loaded; of a checkpoint, only `config.json` is read.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { describedIn } from "../../dsl/Source.ts"
import type { Costs } from "./cost/costs.ts"
import { type Watch, watchedDatasets, watchedEngine, watchedJudge, watchedLog, watchedStore } from "./cost/hostWork.ts"
import { hostTally } from "./cost/tally.ts"
import { type Dataset, Datasets } from "../data/dataset.ts"
import { described } from "../data/described.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Packing, Weights } from "../engine/engine.ts"
import { type Held, noWork } from "../tensor/counting/backend.ts"
import { describedConfig } from "./described.ts"
import { type AssumedShape, type Codecs, countedEngine, withoutWeights } from "./countedEngine.ts"
import type { Phase, Term } from "../tensor/counting/memoryTerms.ts"
import { describe } from "../model/checkpoint.ts"
import { Judge } from "../rewards/judge.ts"
import * as MemoryStore from "../store/memory.ts"
import { bytesOf, ofSnapshot } from "../store/memory.ts"
import { RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import type { Made } from "../store/made.ts"
import type { LossImplementation } from "../training/ownLosses.ts"
import { EncodeWhenRead } from "../data/lazyArray.ts"
import { CurrentAsking } from "../training/asking.ts"
import { CapsHold } from "../training/budgets.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import { asking, judging } from "./placeholderJudges.ts"
import { likenesses } from "./sameShape.ts"
import type { Refused } from "../interpreters/check.ts"
import { Checkpoints } from "../interpreters/checkpoints.ts"
import { making } from "../interpreters/execute.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { CurrentContents, keysIn, transparent, wantedIn } from "../interpreters/storeKeys.ts"
import { judged } from "../interpreters/lacking.ts"
import { capsIn } from "../interpreters/capsOf.ts"
import { rehearsing } from "./rehearsing.ts"
import { rowBytes } from "./processMemory.ts"

/** One phase of a stage, all of its steps together. */
export interface PhasePlan {
  readonly phase: Phase
  /** Peak memory, bytes. */
  readonly bytes: number
  /** The terms of the peak, largest first; they add up to `bytes`. */
  readonly terms: ReadonlyArray<{ readonly what: Term; readonly bytes: number }>
  /** Floating-point operations. */
  readonly flops: number
  /** Kernel calls. */
  readonly calls: number
  /** Least bytes that kernels read and write: they limit the speed of decoding. */
  readonly traffic: number
  /** Time on the backend; null if costs are unknown. */
  readonly seconds: number | null
}

export interface StagePlan {
  readonly stage: string
  readonly precision: "f32" | "bf16"
  readonly steps: number
  /** In order of first appearance. */
  readonly phases: ReadonlyArray<PhasePlan>
  /** Of all phases: see `Spent`. */
  readonly flops: number
  /** Of all phases and of host work; null if costs are unknown. */
  readonly seconds: number | null
  /** The host's part of `seconds`: texts, judging, losses, events, files. */
  readonly hostSeconds: number | null
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, once for each gradient. */
  readonly trained: number
  /** Of the endpoints that it asks, if it asks any: fees in millionths of the currency of their price. */
  readonly judge?: { readonly questions: number; readonly tokens: number; readonly fees: number }
  /** Different prompts of the sampled steps: a lower bound if they stand for others. */
  readonly prompts: number
  /** Bytes of models in the store: of the result, and the most with checkpoints and copies for roll-back. */
  readonly disk: { readonly made: number; readonly most: number }
  /** The most micro-batches whose gradients are added up for one update; 0 without updates. */
  readonly accumulated: number
  /** Peak memory of the worst phase that the backend holds, bytes, and its terms. */
  readonly bytes: number
  readonly terms: PhasePlan["terms"]
  /** Bytes of models and rows that the process holds beside the backend: see `processMemory.ts`. */
  readonly host: number
  /** The pipeline's cap on memory, bytes. */
  readonly memoryCap: number
}

export interface Planned {
  readonly stages: ReadonlyArray<StagePlan>
  /** Stages without a plan, and the reasons. */
  readonly unplanned: ReadonlyArray<{ readonly stage: string; readonly problem: string }>
}

export interface PlanOptions extends Extensions {
  /** The most steps of a kind that are made, evenly spread (default 128); `Infinity` makes every step as a run does. */
  readonly rehearsed?: number
  /** Shape and tokenizer of every `Checkpoint` and `Pretrain`, instead of their own. */
  readonly shape?: AssumedShape
  /** Costs of work on the target, which give the plan its times. */
  readonly costs?: Costs
  /** The memory of packed weights on the target. */
  readonly packing?: Packing
  /** The devices of the target; default 1. */
  readonly devices?: Devices
  /** Mean length of a completion in tokens; default and limit: `maxNewTokens`. */
  readonly completionLength?: number
  /** Whether data sets are read that the description says enough of: a run reads all, a plan need not. */
  readonly reads?: boolean
  /** Labels of the stages to plan; by default all. */
  readonly only?: ReadonlySet<string>
  /** Results of earlier plans, for stages that are not in `only`. */
  readonly kept?: Kept
}

/** Devices divide the state of models among them, and the rows of each step. */
export interface Devices {
  readonly count: number
  /** In stages that train on their own samples so many only sample, and wait while the others train, which wait while they sample. */
  readonly sampling?: number
}

/** Results shared by plans of a pipeline and of its variants. */
export interface Kept {
  /** By id, and by the likeness of stages. */
  readonly made: Map<string, Made>
  readonly numbers: Map<string, string>
  readonly loaded: Files.Loaded
  readonly described: Map<string, Dataset>
  readonly checkpoints: Map<string, Weights>
  readonly codecs: Codecs
  /** By label, `StagePlan.host`: a plan with `only` knows nothing of what earlier stages left. */
  readonly host: Map<string, number>
}

export const kept = (): Kept => ({
  made: new Map(),
  numbers: new Map(),
  loaded: new Files.Loaded(),
  described: new Map(),
  checkpoints: new Map(),
  codecs: new WeakMap(),
  host: new Map()
})

/** Does not count a loss from outside Keel, and does not call it, because log-probabilities are not computed. */
const uncomputed = (loss: LossImplementation): LossImplementation => ({
  ...loss,
  of: ({ logps }) => ({ loss: 0, gradient: new Float64Array(logps.length), metrics: {} })
})

/** A stage in progress. */
interface Frame {
  readonly key: string
  readonly artifact: Artifact.Any
  steps: number
  /** The most bytes in the store so far. */
  stored: number
  /** Bytes of untrained weights that it started from. */
  initial: number
  /** The most bytes of its own models in the process so far. */
  own: number
}

/** The plan and result of a stage that was planned by estimates, for similar stages. */
interface Template {
  readonly plan: StagePlan
  /** The most bytes of its own models in the process. */
  readonly own: number
  readonly made: Made
}

/** The devices that a phase of a stage keeps busy: all, unless the stage both samples and trains and each has its own. */
const busy = (phase: Phase, all: ReadonlyMap<Phase, unknown>, { count, sampling }: Devices): number =>
  sampling === undefined || !all.has("generation") || !all.has("update")
    ? count
    : phase === "generation" || phase === "measure"
    ? sampling
    : count - sampling

const termsOf = ({ terms }: Held): PhasePlan["terms"] =>
  [...terms].map(([what, bytes]) => ({ what, bytes })).filter(({ bytes }) => bytes > 0).sort((a, b) =>
    b.bytes - a.bytes
  )

const rowsOf = (made: Made): number => made._tag === "Data" ? rowBytes(made.dataset.rows) : 0

/** The plan of a valid pipeline. Stages that depend on a stage that cannot be planned are left out. */
export const planned: (
  root: Artifact.Any,
  options?: PlanOptions
) => Effect.Effect<Planned, never, FileSystem.FileSystem> = Effect.fn("plan")(function*(
  root: Artifact.Any,
  options: PlanOptions = {}
) {
  const { completionLength, costs, devices = { count: 1 }, kept: before = kept(), only, packing, shape, stages = [] } =
    options
  const { rehearsed = 128 } = options
  const limits = capsIn(root)
  const lineage = Artifact.lineage(root).filter(({ node }) => !transparent.has(node.op))
  const byKey = new Map<string, Artifact.Any>()
  const meter = countedEngine({
    ...(shape === undefined ? {} : { shape }),
    ...(costs === undefined ? {} : { cost: costs.backend }),
    ...(packing === undefined ? {} : { packing }),
    devices: devices.count,
    ...(completionLength === undefined ? {} : { completionLength }),
    whole: rehearsed === Infinity,
    codecs: before.codecs
  })
  const host = hostTally(costs?.host ?? {})
  /** Scales host work on cut completions to their full length. */
  const watch: Watch = {
    ...host,
    during: (what, work, amount) => host.during(what, work, (value) => meter.stretched() * amount(value))
  }

  // With `only`, a stage may first make its inputs: their frames lie above its own.
  const frames: Array<Frame> = []
  const done: Array<StagePlan> = []
  const judges = { questions: 0, asked: 0, fees: 0 }
  const rehearsal = rehearsing(meter, rehearsed, host.seconds, () => ({ ...judges }))
  const likeness = likenesses(limits, before.numbers)
  const templates = new Map<string, Template>()
  /** Ids of rows that were estimated. */
  const estimates = new Set<string>()
  /** Bytes of the models and rows that were read or made so far: a run keeps them. */
  let held = 0
  const read = new Set<string>()
  /** Arrays of weights or moments that are written: they and the bytes of their files are there at once. */
  const copied = (bytes: number): void => {
    const frame = frames.at(-1)
    if (frame === undefined) return
    frame.own = Math.max(frame.own, frame.initial + 2 * bytes)
  }
  const begin = (key: string): void => {
    const artifact = byKey.get(key)
    if (artifact === undefined) return
    frames.push({ key, artifact, steps: 0, stored: 0, initial: 0, own: 0 })
    rehearsal.begin()
  }
  const keep = (artifact: Artifact.Any, made: Made): void => {
    before.made.set(artifact.id, made)
    const like = likeness(artifact)
    if (!before.made.has(like)) before.made.set(like, made)
  }
  const end = (key: string, made: Made, prompts: number, bytes: number): void => {
    if (frames.at(-1)?.key !== key) return
    const { artifact, own: ofStage, steps, stored } = frames.pop()!
    const inProcess = Math.max(held + ofStage, before.host.get(label(artifact)) ?? 0)
    before.host.set(label(artifact), inProcess)
    held += bytes + rowsOf(made)
    keep(artifact, made)
    host.stage(artifact.node.op)
    const { largest, ...took } = rehearsal.end()
    const { accumulated, asked, estimated, fees, generated, host: hostSeconds, peaks, questions, spent, trained } = took
    const { precision = "f32" } = artifact.node.params as { readonly precision?: "f32" | "bf16" }
    const phases = [...peaks].map(([phase, held]): PhasePlan => {
      const { calls, flops, seconds, traffic } = spent.get(phase) ?? noWork
      const packs = artifact.node.op === "Pretrain"
      const reached = costs?.reached?.(phase, flops, { packs, parameters: largest, precision }) ?? 0
      return {
        phase,
        bytes: held.bytes,
        terms: termsOf(held),
        flops,
        calls: Math.round(calls),
        traffic: Math.round(traffic),
        seconds: costs === undefined ? null : Math.max(seconds, reached) / busy(phase, spent, devices)
      }
    })
    const worst = phases.reduce(
      (most, one) => one.bytes > most.bytes ? one : most,
      phases[0] ?? { bytes: 0, terms: [] }
    )
    const own: StagePlan = {
      stage: label(artifact),
      precision,
      steps,
      phases,
      flops: phases.reduce((sum, { flops }) => sum + flops, 0),
      seconds: costs === undefined ? null : phases.reduce((sum, { seconds }) => sum + seconds!, hostSeconds),
      hostSeconds: costs === undefined ? null : hostSeconds,
      generated: Math.round(generated),
      trained: Math.round(trained),
      ...(questions === 0
        ? {}
        : { judge: { questions: Math.round(questions), tokens: Math.round(asked), fees: Math.round(fees) } }),
      prompts,
      disk: { made: bytes, most: Math.max(stored, bytes) },
      accumulated,
      bytes: worst.bytes,
      terms: worst.terms,
      host: inProcess,
      memoryCap: limits(artifact).memory
    }
    done.push(own)
    // Results of estimated rows are estimates too.
    if (!estimated && !Object.values(artifact.node.wires).some(({ id }) => estimates.has(id))) return
    if (!Artifact.modelKinds.includes(artifact.node.kind)) estimates.add(artifact.id)
    templates.set(likeness(artifact), { plan: own, made, own: ofStage })
  }
  /** With `only`, the result of an earlier plan for every other stage; else the result of a similar stage. */
  const given = (key: string): Option.Option<Made> => {
    const artifact = byKey.get(key)
    if (artifact === undefined) return Option.none()
    if (only !== undefined && !only.has(label(artifact))) {
      return Option.fromUndefinedOr(before.made.get(artifact.id) ?? before.made.get(likeness(artifact)))
    }
    const twin = templates.get(likeness(artifact))
    if (twin === undefined) return Option.none()
    done.push({ ...twin.plan, stage: label(artifact), host: held + twin.own })
    held += twin.plan.disk.made + rowsOf(twin.made)
    if (!Artifact.modelKinds.includes(artifact.node.kind)) estimates.add(artifact.id)
    keep(artifact, twin.made)
    return Option.some(twin.made)
  }

  const loaded = (yield* Files.CurrentLoaded) ?? before.loaded
  const datasets = Layer.effect(
    Datasets,
    Effect.map(Datasets, ({ load }) => ({
      load: (role, origin, chat) => {
        const key = JSON.stringify([role, origin])
        const says = describedIn(origin)
        // Rows that stand for others are no run's.
        const known = before.described.get(key) ??
          (says !== undefined && (options.reads !== true || origin._tag === "Described")
            ? described(role, says)
            : undefined)
        if (known !== undefined) before.described.set(key, known)
        return Effect.tap(
          known === undefined ? load(role, origin, chat) : Effect.succeed(known),
          ({ rows }) =>
            Effect.sync(() => {
              if (!read.has(key)) held += rowBytes(rows)
              read.add(key)
            })
        )
      }
    } satisfies Datasets["Service"]))
  ).pipe(Layer.provide(Files.layer))
  const store = Layer.effect(
    Store,
    Effect.map(Store, (memory) => {
      const store = watchedStore(memory, host)
      return {
        ...store,
        find: (key, name) =>
          Effect.suspend(() => {
            const known = given(key)
            return Option.isSome(known) ? Effect.succeed(known) : Effect.tap(
              store.find(key, name),
              (found) => Option.isNone(found) ? Effect.sync(() => begin(key)) : Effect.void
            )
          }),
        size: (key, name) =>
          Effect.tap(store.size(key, name), (bytes) =>
            Effect.sync(() => {
              const frame = frames.at(-1)
              if (frame?.key === key) frame.stored = Math.max(frame.stored, bytes)
            })),
        save: (key, name, snapshot) =>
          Effect.tap(store.save(key, name, snapshot), Effect.sync(() => copied(ofSnapshot(snapshot)))),
        keep: (key, name, as, weights) =>
          Effect.tap(store.keep(key, name, as, weights), Effect.sync(() => copied(bytesOf(weights.tensors)))),
        // The spending is not stored: a plan does not enforce caps.
        finish: (key, name, made, took) =>
          Effect.flatMap(
            Effect.andThen(
              store.finish(key, name, made),
              Effect.tap(memory.size(key, name), (bytes) => Effect.sync(() => copied(bytes)))
            ),
            (bytes) => Effect.sync(() => end(key, made, took?.prompts.size ?? 0, bytes))
          )
      } satisfies Store["Service"]
    })
  ).pipe(Layer.provide(MemoryStore.layer))

  const engine = watchedEngine(meter.engine, watch)
  const wanted = yield* wantedIn(root)
  const asked = only === undefined ? wanted : wanted.filter((artifact) => only.has(label(artifact)))
  const unplanned: Array<Planned["unplanned"][number]> = []
  /** Ids of the stages that cannot be planned. */
  const without = new Set<string>()
  /** The first of them in the history of an artefact whose turn is over. */
  const unmade = Artifact.derived<Artifact.Any | undefined>((at, before) =>
    without.has(at.id) ? at : Object.values(at.node.wires).map(before).find((found) => found !== undefined)
  )
  yield* making(
    root,
    { losses: (options.losses ?? []).map(uncomputed), stages },
    Effect.fnUntraced(function*(make) {
      const keys = yield* keysIn(root)
      for (const artifact of lineage) byKey.set(keys.of(artifact)!.weights, artifact)
      yield* Effect.forEach(asked, (artifact) => {
        const after = (missing: string) =>
          unplanned.push({ stage: label(artifact), problem: `it comes after ${missing}` })
        const missing = Object.values(artifact.node.wires).map(unmade).find((found) => found !== undefined)
        if (missing !== undefined) return Effect.sync(() => after(label(missing)))
        return Effect.catchCause(Effect.asVoid(make(artifact)), (cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
          const failed = Cause.squash(cause)
          const at = frames.at(-1)?.artifact ?? artifact
          frames.splice(0).forEach(() => rehearsal.end())
          const said = failed instanceof Error ? failed.message.split("\n")[0]! : String(failed)
          // Names of weights have no values here.
          const problem = failed instanceof TypeError ? `it needs the weights themselves (${said})` : said
          without.add(at.id)
          unplanned.push({ stage: label(at), problem })
          if (at !== artifact) after(label(at))
          return Effect.void
        })
      }, { discard: true })
    })
  ).pipe(
    Effect.provide(Layer.mergeAll(
      Layer.succeed(CurrentEngine, {
        ...engine,
        initial: (shape) => {
          const weights = engine.initial(shape)
          const frame = frames.at(-1)
          if (frame !== undefined) frame.initial = bytesOf(weights.tensors)
          return weights
        }
      }),
      Layer.effect(Datasets, Effect.map(Datasets, (datasets) => watchedDatasets(datasets, host))).pipe(
        Layer.provide(datasets)
      ),
      Layer.succeed(Judge, watchedJudge(judging(completionLength === 1), watch)),
      store,
      Layer.succeed(Checkpoints, {
        load: ({ path = "", shape: reported }) =>
          Effect.suspend(() => {
            const key = reported === undefined ? path : JSON.stringify(reported)
            const known = before.checkpoints.get(key)
            if (known !== undefined) return Effect.succeed(known)
            const own = shape ??
              (reported === undefined ? undefined : { config: describedConfig(reported), tokenizer: new Map() })
            return Effect.map(
              own === undefined ? describe(path) : Effect.succeed(own),
              ({ config, tokenizer }) => {
                const weights = withoutWeights(config, tokenizer)
                held += bytesOf(weights.tensors)
                before.checkpoints.set(key, weights)
                return weights
              }
            )
          })
      }),
      Layer.succeed(
        RunLog,
        watchedLog({
          emit: (event) =>
            Effect.sync(() => {
              if (event._tag === "Started") frames.at(-1)!.steps = event.steps
            })
        }, host)
      )
    )),
    Effect.provideService(CurrentRehearsal, rehearsed === Infinity ? null : rehearsal),
    Effect.provideService(EncodeWhenRead, rehearsed < Infinity),
    Effect.provideService(Files.CurrentLoaded, loaded),
    Effect.provideService(CapsHold, false),
    Effect.provideService(CurrentAsking, asking(judges)),
    // Each node has a key of its own, to be found by.
    Effect.provideService(CurrentContents, ({ id }) => id),
    // No spending exists yet, and the store is in memory.
    Effect.orDie
  )
  return { stages: only === undefined ? done : done.filter(({ stage }) => only.has(stage)), unplanned }
})

export const plan = (
  root: Artifact.Any,
  options: PlanOptions = {}
): Effect.Effect<Planned, Refused, FileSystem.FileSystem> =>
  Effect.andThen(judged(root, { extensions: options }), planned(root, options))
