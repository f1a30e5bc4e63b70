/**
 * What a description will take, before a GPU is touched: its stages run for real, on an engine that only counts, without weights, a
 * few steps of each standing for all of them. Data is loaded, checkpoints are known by their `config.json`.
 */
import { Cause, Effect, Layer } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { costOf, tally } from "../cost/tally.ts"
import { watchedDatasets, watchedEngine, watchedJudge, watchedLog, watchedStore } from "../cost/hostWork.ts"
import type { RateTable } from "../cost/rates.ts"
import { Datasets } from "../data/dataset.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Held, Spent } from "../engine/transformer/counting.ts"
import { metered } from "../engine/transformer/metered.ts"
import type { Phase, Term } from "../engine/transformer/terms.ts"
import { withoutWeights } from "../engine/transformer/footprint.ts"
import { describe } from "../model/checkpoint.ts"
import { Judge } from "../rewards/judge.ts"
import * as MemoryStore from "../store/memory.ts"
import { RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import { CurrentRehearsal, type Rehearsal } from "../training/rehearsal.ts"
import { check, Refused } from "./check.ts"
import { Checkpoints } from "./checkpoints.ts"
import { execute, keyOf } from "./execute.ts"
import type { Extensions } from "./extensions.ts"
import { lackingExtensions } from "./extensions.ts"
import { limitsIn } from "./limits.ts"

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
  /** That the backend takes for them; null without `rates`. */
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
  /** Of all phases and of what the host does besides; null without `rates`. */
  readonly seconds: number | null
  /** Of these, what the host does besides: texts, judging, losses, events, files. */
  readonly hostSeconds: number | null
  /** Tokens of completions sampled. */
  readonly generated: number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained: number
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
  /** Most steps of a stage that are made, evenly spread (default 128); `Infinity` makes every one in the loop of a run. */
  readonly rehearsed?: number
  /** What work costs where it is to be done: then there is a time. */
  readonly rates?: RateTable
  /** Mean length of a completion, tokens, at most `maxNewTokens`, which is assumed when this is left out. */
  readonly completionLength?: number
}

/** Makes nothing of its own: never in the plan. */
const silent = new Set(["Cap", "Input", "Source", "Checkpoint", "Ensemble"])

const spread = (most: number) => (steps: number): ReadonlyArray<number> => {
  const count = Math.min(most, steps)
  return Array.from({ length: count }, (_, i) => Math.floor((i * steps) / count))
}

/** Costs nothing, and half of what it judges is right, so that no group of completions is all alike. */
const even = (text: string): boolean => [...text].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 2 === 0
const judge: Judge["Service"] = {
  gold: () => 0,
  prefers: (_, __, ___, ____, u) => u < 0.5,
  verifies: (_, __, completion) => even(completion)
}

/** What a phase of a stage has come to so far. */
interface PhaseSum {
  flops: number
  calls: number
  traffic: number
  seconds: number
  held: Held
}

interface Frame {
  readonly key: string
  readonly artifact: Artifact.Any
  steps: number
  generated: number
  trained: number
  /** Seconds of the backend, in phases or out of them, and of the host. */
  seconds: number
  host: number
  readonly phases: Map<Phase, PhaseSum>
}

const nothing: Spent = { flops: 0, calls: 0, traffic: 0, seconds: 0 }

const termsOf = ({ terms }: Held): PhasePlan["terms"] =>
  [...terms].map(([what, bytes]) => ({ what, bytes })).filter(({ bytes }) => bytes > 0).sort((a, b) =>
    b.bytes - a.bytes
  )

export const plan = Effect.fn("plan")(function*(root: Artifact.Any, options: PlanOptions = {}) {
  yield* Effect.fromResult(check(root))
  const lacking = lackingExtensions(root, options)
  if (lacking.length > 0) return yield* new Refused({ problems: lacking })
  const { completionLength, rates, rehearsed = 128, stages = [] } = options
  const limits = limitsIn(root)
  const lineage = Artifact.lineage(root).filter(({ node }) => !silent.has(node.op))
  const byKey = new Map(lineage.map((artifact) => [keyOf(artifact, limits(artifact)), artifact]))
  const meter = metered({
    ...(rates === undefined ? {} : { cost: costOf(rates) }),
    ...(completionLength === undefined ? {} : { completionLength })
  })
  const watch = tally(rates ?? {})

  // A stage makes its inputs first: theirs are frames on top of its own.
  const frames: Array<Frame> = []
  const done: Array<StagePlan> = []
  let factor = 1
  const read = () => ({
    ...meter.amounts(),
    seconds: meter.spent().seconds,
    host: watch.seconds(),
    spent: new Map(meter.spentIn())
  })
  let before = read()
  /** Gives what was done since to the stage that is being made. */
  const settle = (): void => {
    const now = read()
    const frame = frames.at(-1)
    if (frame !== undefined) {
      frame.generated += factor * (now.generated - before.generated)
      frame.trained += factor * (now.trained - before.trained)
      frame.seconds += factor * (now.seconds - before.seconds)
      frame.host += factor * (now.host - before.host)
      for (const [phase, held] of meter.peaks()) {
        const known = frame.phases.get(phase)
        if (known === undefined) frame.phases.set(phase, { ...nothing, held })
        else if (held.bytes > known.held.bytes) known.held = held
      }
      for (const [phase, sum] of frame.phases) {
        const [last, first] = [now.spent.get(phase) ?? nothing, before.spent.get(phase) ?? nothing]
        for (const key of ["flops", "calls", "traffic", "seconds"] as const) {
          sum[key] += factor * (last[key] - first[key])
        }
      }
    }
    before = now
  }
  const rehearsal: Rehearsal = {
    chosen: spread(rehearsed),
    times: (times, once, phase) =>
      Effect.suspend(() => {
        settle()
        const outer = { factor, phase: meter.entered() }
        factor = times
        if (phase !== undefined) meter.enter(phase)
        return Effect.ensuring(
          once,
          Effect.sync(() => {
            settle()
            factor = outer.factor
            meter.enter(outer.phase)
          })
        )
      })
  }
  const begin = (key: string): void => {
    const artifact = byKey.get(key)
    if (artifact === undefined) return
    settle()
    meter.restart()
    frames.push({ key, artifact, steps: 0, generated: 0, trained: 0, seconds: 0, host: 0, phases: new Map() })
  }
  const end = (key: string): void => {
    if (frames.at(-1)?.key !== key) return
    watch.stage(byKey.get(key)!.node.op)
    settle()
    const { artifact, generated, host, phases, seconds, steps, trained } = frames.pop()!
    const { precision = "f32" } = artifact.node.params as { readonly precision?: "f32" | "bf16" }
    const planned = [...phases].map(([phase, { calls, flops, held, seconds, traffic }]): PhasePlan => ({
      phase,
      bytes: held.bytes,
      terms: termsOf(held),
      flops,
      calls: Math.round(calls),
      traffic: Math.round(traffic),
      seconds: rates === undefined ? null : seconds
    }))
    const worst = planned.reduce(
      (most, one) => one.bytes > most.bytes ? one : most,
      planned[0] ?? { bytes: 0, terms: [] }
    )
    done.push({
      stage: label(artifact),
      precision,
      steps,
      phases: planned,
      flops: planned.reduce((sum, { flops }) => sum + flops, 0),
      seconds: rates === undefined ? null : seconds + host,
      hostSeconds: rates === undefined ? null : host,
      generated: Math.round(generated),
      trained: Math.round(trained),
      bytes: worst.bytes,
      terms: worst.terms,
      memoryCap: limits(artifact).memory
    })
    meter.restart()
  }

  const store = Layer.effect(
    Store,
    Effect.map(Store, (made) => watchedStore(made, watch)).pipe(Effect.map((store) => ({
      ...store,
      find: (key, name) =>
        Effect.tap(
          store.find(key, name),
          (found) => found._tag === "None" ? Effect.sync(() => begin(key)) : Effect.void
        ),
      finish: (key, name, made) => Effect.tap(store.finish(key, name, made), () => Effect.sync(() => end(key)))
    } satisfies Store["Service"])))
  ).pipe(Layer.provide(MemoryStore.layer))

  const failed = yield* execute(root, { stages }).pipe(
    Effect.provide(Layer.mergeAll(
      Layer.succeed(CurrentEngine, watchedEngine(meter.engine, watch)),
      Layer.effect(Datasets, Effect.map(Datasets, (datasets) => watchedDatasets(datasets, watch))).pipe(
        Layer.provide(Files.layer)
      ),
      Layer.succeed(Judge, watchedJudge(judge, watch)),
      store,
      Layer.succeed(Checkpoints, {
        load: (path) => Effect.map(describe(path), ({ config, tokenizer }) => withoutWeights(config, tokenizer))
      }),
      Layer.succeed(
        RunLog,
        watchedLog({
          emit: (event) =>
            Effect.sync(() => {
              if (event._tag === "Started") frames.at(-1)!.steps = event.steps
            })
        }, watch)
      )
    )),
    Effect.provideService(CurrentRehearsal, rehearsed === Infinity ? null : rehearsal),
    Effect.as(null),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.succeed(Cause.squash(cause))
    )
  )
  if (failed === null) return { stages: done, unplanned: [] } satisfies Planned as Planned
  const at = label(frames.at(-1)?.artifact ?? root)
  const said = failed instanceof Error ? failed.message.split("\n")[0]! : String(failed)
  // There is nothing behind the names of the weights.
  const problem = failed instanceof TypeError ? `it needs the weights themselves (${said})` : said
  const planned = new Set([at, ...done.map(({ stage }) => stage)])
  return {
    stages: done,
    unplanned: [
      { stage: at, problem },
      ...lineage.map(label).filter((stage) => !planned.has(stage)).map((stage) => ({
        stage,
        problem: `it comes after ${at}`
      }))
    ]
  } satisfies Planned as Planned
})
