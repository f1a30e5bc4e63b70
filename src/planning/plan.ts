/**
 * What a description will take, before a GPU is touched: its stages run for real, on an engine that only counts, without weights, a
 * few steps of each standing for all of them. Data is loaded, checkpoints are known by their `config.json`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import type { Costs } from "./cost/costs.ts"
import { type Watch, watchedDatasets, watchedEngine, watchedJudge, watchedLog, watchedStore } from "./cost/hostWork.ts"
import { hostTally } from "./cost/tally.ts"
import { type Dataset, Datasets } from "../data/dataset.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Packing, Weights } from "../engine/engine.ts"
import { type Held, noWork } from "../tensor/counting/backend.ts"
import { type AssumedShape, type Codecs, countedEngine, withoutWeights } from "./countedEngine.ts"
import type { Phase, Term } from "../tensor/counting/memoryTerms.ts"
import { describe } from "../model/checkpoint.ts"
import { Judge } from "../rewards/judge.ts"
import * as MemoryStore from "../store/memory.ts"
import { RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import type { Made } from "../store/made.ts"
import type { LossImplementation } from "../training/ownLosses.ts"
import { EncodeWhenRead } from "../data/lazyArray.ts"
import { CapsHold } from "../training/budgets.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import { likenesses } from "./sameShape.ts"
import type { Refused } from "../interpreters/check.ts"
import { Checkpoints } from "../interpreters/checkpoints.ts"
import { making } from "../interpreters/execute.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { keyOf, transparent, wantedIn } from "../interpreters/storeKeys.ts"
import { judged } from "../interpreters/lacking.ts"
import { capsIn } from "../interpreters/capsOf.ts"
import { rehearsing } from "./rehearsing.ts"

/** One phase of a stage, all of its steps together. */
export interface PhasePlan {
  readonly phase: Phase
  /** The most held at any one time while it lasts, bytes. */
  readonly bytes: number
  /** What is held then, largest first; they add up to `bytes`. */
  readonly terms: ReadonlyArray<{ readonly what: Term; readonly bytes: number }>
  /** Floating-point operations. */
  readonly flops: number
  /** Kernels called. */
  readonly calls: number
  /** Bytes that kernels read and write at least: what bounds the time of decoding. */
  readonly traffic: number
  /** That the backend takes for them; null when nobody says what work costs. */
  readonly seconds: number | null
}

export interface StagePlan {
  readonly stage: string
  readonly precision: "f32" | "bf16"
  readonly steps: number
  /** In the order in which they first come. */
  readonly phases: ReadonlyArray<PhasePlan>
  /** Of all phases: see `Spent`. */
  readonly flops: number
  /** Of all phases and of the host's work; null when nobody says what work costs. */
  readonly seconds: number | null
  /** Of these, the host's work: texts, judging, losses, events, files. */
  readonly hostSeconds: number | null
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
  /** Different prompts of the steps that were made: there may be more where those stand for others. */
  readonly prompts: number
  /** Bytes of models in the store once it is made, and the most while it is being made: checkpoints, and what is kept to go back to. */
  readonly disk: { readonly made: number; readonly most: number }
  /** The most micro-batches whose gradients are added up for one update; 0 where there is none. */
  readonly accumulated: number
  /** The most held at any one time, bytes, and what is held then: of its worst phase. */
  readonly bytes: number
  readonly terms: PhasePlan["terms"]
  /** Cap on memory in the description, bytes. */
  readonly memoryCap: number
}

export interface Planned {
  readonly stages: ReadonlyArray<StagePlan>
  /** Stages that could not be planned, and why. */
  readonly unplanned: ReadonlyArray<{ readonly stage: string; readonly problem: string }>
}

export interface PlanOptions extends Extensions {
  /** Most steps of one kind of a stage that are made, evenly spread (default 128); `Infinity` makes every one in the loop of a run. */
  readonly rehearsed?: number
  /** What every model of a `Checkpoint` or `Pretrain` has instead of its own shape and tokenizer. */
  readonly shape?: AssumedShape
  /** What work costs where it is to be done: then there is a time. */
  readonly costs?: Costs
  /** What packed weights take there. */
  readonly packing?: Packing
  /** Mean length of a completion, tokens, at most `maxNewTokens`, which is assumed when this is left out. */
  readonly completionLength?: number
  /** Labels of the stages that are planned; every one when left out. */
  readonly only?: ReadonlySet<string>
  /** Of plans before this one: what they made serves where only some stages are planned. */
  readonly kept?: Kept
}

/** What plans of one description, and of descriptions that differ little from it, have in common. */
export interface Kept {
  /** By id, and by what those that are alike have in common. */
  readonly made: Map<string, Made>
  readonly numbers: Map<string, string>
  readonly datasets: Map<string, Dataset>
  readonly checkpoints: Map<string, Weights>
  readonly codecs: Codecs
}

export const kept = (): Kept => ({
  made: new Map(),
  numbers: new Map(),
  datasets: new Map(),
  checkpoints: new Map(),
  codecs: new WeakMap()
})

/** Half of all texts, by their first letters: where completions that nobody sampled differ. */
const even = (text: string): boolean => {
  let sum = 0
  for (let i = 0; i < Math.min(text.length, 64); i++) sum += text.charCodeAt(i)
  return sum % 2 === 0
}
/** Costs nothing, and half of what it judges is right, so that no group of completions is all alike. */
const judging = (shortest: boolean): Judge["Service"] => {
  let asked = 0
  return {
    gold: () => 0,
    prefers: (_, __, ___, ____, u) => u < 0.5,
    // Where the least is asked for, one group alone is not all alike.
    verifies: (_, __, completion) => shortest ? asked++ === 0 : even(completion)
  }
}

/** Nothing is counted of a loss from outside, and log-probabilities that nobody computed mean nothing to it. */
const uncomputed = (loss: LossImplementation): LossImplementation => ({
  ...loss,
  of: ({ logps }) => ({ loss: 0, gradient: new Float64Array(logps.length), metrics: {} })
})

/** A stage that is being made. */
interface Frame {
  readonly key: string
  readonly artifact: Artifact.Any
  steps: number
  /** The most bytes in the store so far. */
  stored: number
}

/** What was planned by estimates, for others like it. */
interface Template {
  readonly plan: StagePlan
  readonly made: Made
}

const termsOf = ({ terms }: Held): PhasePlan["terms"] =>
  [...terms].map(([what, bytes]) => ({ what, bytes })).filter(({ bytes }) => bytes > 0).sort((a, b) =>
    b.bytes - a.bytes
  )

/** The plan of a description that nothing is wrong with: what depends on a stage that cannot be planned is not, all others are. */
export const planned: (
  root: Artifact.Any,
  options?: PlanOptions
) => Effect.Effect<Planned, never, FileSystem.FileSystem> = Effect.fn("plan")(function*(
  root: Artifact.Any,
  options: PlanOptions = {}
) {
  const { completionLength, costs, kept: before = kept(), only, packing, shape, stages = [] } = options
  const { rehearsed = 128 } = options
  const limits = capsIn(root)
  const lineage = Artifact.lineage(root).filter(({ node }) => !transparent.has(node.op))
  const byKey = new Map(lineage.map((artifact) => [keyOf(artifact, limits(artifact)), artifact]))
  const meter = countedEngine({
    ...(shape === undefined ? {} : { shape }),
    ...(costs === undefined ? {} : { cost: costs.backend }),
    ...(packing === undefined ? {} : { packing }),
    ...(completionLength === undefined ? {} : { completionLength }),
    whole: rehearsed === Infinity,
    codecs: before.codecs
  })
  const host = hostTally(costs?.host ?? {})
  /** The host's work with completions of which only beginnings were made. */
  const watch: Watch = {
    ...host,
    during: (what, work, amount) => host.during(what, work, (value) => meter.stretched() * amount(value))
  }

  // Where only some stages are asked about, one of them may make its inputs first: theirs are frames on top of its own.
  const frames: Array<Frame> = []
  const done: Array<StagePlan> = []
  const rehearsal = rehearsing(meter, rehearsed, host.seconds)
  const likeness = likenesses(limits, before.numbers)
  const templates = new Map<string, Template>()
  /** Ids of rows that were estimated. */
  const estimates = new Set<string>()
  const begin = (key: string): void => {
    const artifact = byKey.get(key)
    if (artifact === undefined) return
    frames.push({ key, artifact, steps: 0, stored: 0 })
    rehearsal.begin()
  }
  const keep = (artifact: Artifact.Any, made: Made): void => {
    before.made.set(artifact.id, made)
    const like = likeness(artifact)
    if (!before.made.has(like)) before.made.set(like, made)
  }
  const end = (key: string, made: Made, prompts: number, bytes: number): void => {
    if (frames.at(-1)?.key !== key) return
    const { artifact, steps, stored } = frames.pop()!
    keep(artifact, made)
    host.stage(artifact.node.op)
    const { accumulated, estimated, generated, host: hostSeconds, peaks, spent, trained } = rehearsal.end()
    const { precision = "f32" } = artifact.node.params as { readonly precision?: "f32" | "bf16" }
    const phases = [...peaks].map(([phase, held]): PhasePlan => {
      const { calls, flops, seconds, traffic } = spent.get(phase) ?? noWork
      return {
        phase,
        bytes: held.bytes,
        terms: termsOf(held),
        flops,
        calls: Math.round(calls),
        traffic: Math.round(traffic),
        seconds: costs === undefined ? null : seconds
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
      prompts,
      disk: { made: bytes, most: Math.max(stored, bytes) },
      accumulated,
      bytes: worst.bytes,
      terms: worst.terms,
      memoryCap: limits(artifact).memory
    }
    done.push(own)
    // What is made of estimated rows is no more exact than they are.
    if (!estimated && !Object.values(artifact.node.wires).some(({ id }) => estimates.has(id))) return
    if (!Artifact.modelKinds.includes(artifact.node.kind)) estimates.add(artifact.id)
    templates.set(likeness(artifact), { plan: own, made })
  }
  /** What another plan has made serves where this stage is not asked about; else what this plan has made of a stage like it. */
  const given = (key: string): Option.Option<Made> => {
    const artifact = byKey.get(key)
    if (artifact === undefined) return Option.none()
    if (only !== undefined && !only.has(label(artifact))) {
      return Option.fromUndefinedOr(before.made.get(artifact.id) ?? before.made.get(likeness(artifact)))
    }
    const twin = templates.get(likeness(artifact))
    if (twin === undefined) return Option.none()
    done.push({ ...twin.plan, stage: label(artifact) })
    if (!Artifact.modelKinds.includes(artifact.node.kind)) estimates.add(artifact.id)
    keep(artifact, twin.made)
    return Option.some(twin.made)
  }

  // Read once, whatever stages read it; a conversation is rendered by the template of whoever does.
  const loaded = before.datasets
  const datasets = Layer.effect(
    Datasets,
    Effect.map(Datasets, ({ load }) => ({
      load: (role, origin, chat) => {
        const key = JSON.stringify([role, origin])
        const known = loaded.get(key)
        if (known !== undefined) return Effect.succeed(known)
        let rendered = false
        return Effect.tap(
          load(role, origin, (messages) => {
            rendered = true
            return chat(messages)
          }),
          (dataset) => Effect.sync(() => rendered || loaded.set(key, dataset))
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
        // What it took is not kept: nothing of a plan is held against caps while it is made.
        finish: (key, name, made, took) =>
          Effect.flatMap(
            Effect.andThen(store.finish(key, name, made), memory.size(key, name)),
            (bytes) => Effect.sync(() => end(key, made, took?.prompts.size ?? 0, bytes))
          )
      } satisfies Store["Service"]
    })
  ).pipe(Layer.provide(MemoryStore.layer))

  const wanted = yield* wantedIn(root)
  const asked = only === undefined ? wanted : wanted.filter((artifact) => only.has(label(artifact)))
  const unplanned: Array<Planned["unplanned"][number]> = []
  /** Ids of the stages that cannot be planned. */
  const without = new Set<string>()
  yield* making(
    root,
    { losses: (options.losses ?? []).map(uncomputed), stages },
    (make) =>
      Effect.forEach(asked, (artifact) => {
        const after = (missing: string) =>
          unplanned.push({ stage: label(artifact), problem: `it comes after ${missing}` })
        const missing = without.size === 0 ? undefined : Artifact.lineage(artifact).find(({ id }) => without.has(id))
        if (missing !== undefined) return Effect.sync(() => after(label(missing)))
        return Effect.catchCause(Effect.asVoid(make(artifact)), (cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
          const failed = Cause.squash(cause)
          const at = frames.at(-1)?.artifact ?? artifact
          frames.splice(0).forEach(() => rehearsal.end())
          const said = failed instanceof Error ? failed.message.split("\n")[0]! : String(failed)
          // There is nothing behind the names of the weights.
          const problem = failed instanceof TypeError ? `it needs the weights themselves (${said})` : said
          without.add(at.id)
          unplanned.push({ stage: label(at), problem })
          if (at !== artifact) after(label(at))
          return Effect.void
        })
      }, { discard: true })
  ).pipe(
    Effect.provide(Layer.mergeAll(
      Layer.succeed(CurrentEngine, watchedEngine(meter.engine, watch)),
      Layer.effect(Datasets, Effect.map(Datasets, (datasets) => watchedDatasets(datasets, host))).pipe(
        Layer.provide(datasets)
      ),
      Layer.succeed(Judge, watchedJudge(judging(completionLength === 1), watch)),
      store,
      Layer.succeed(Checkpoints, {
        load: (path) =>
          Effect.suspend(() => {
            const known = before.checkpoints.get(path)
            if (known !== undefined) return Effect.succeed(known)
            return Effect.map(
              shape === undefined ? describe(path) : Effect.succeed(shape),
              ({ config, tokenizer }) => {
                const weights = withoutWeights(config, tokenizer)
                before.checkpoints.set(path, weights)
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
    Effect.provideService(CapsHold, false),
    // Nothing is spent yet, and the store is memory.
    Effect.orDie
  )
  return { stages: only === undefined ? done : done.filter(({ stage }) => only.has(stage)), unplanned }
})

export const plan = (
  root: Artifact.Any,
  options: PlanOptions = {}
): Effect.Effect<Planned, Refused, FileSystem.FileSystem> =>
  Effect.andThen(judged(root, { extensions: options }), planned(root, options))
