/**
 * What a description will take, before a GPU is touched: its stages run for real, on an engine that only counts, without weights, a
 * few steps of each standing for all of them. Data is loaded, checkpoints are known by their `config.json`.
 */
import { Cause, Effect, Layer } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import * as Files from "../data/files.ts"
import { CurrentEngine } from "../engine/current.ts"
import { type Amounts, metered } from "../engine/transformer/metered.ts"
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

export interface StagePlan extends Amounts {
  readonly stage: string
  readonly precision: "f32" | "bf16"
  readonly steps: number
  /** The most held at any one time. */
  readonly bytes: number
  /** Largest first. */
  readonly terms: ReadonlyArray<{ readonly what: string; readonly bytes: number }>
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
}

/** Makes nothing of its own: never in the plan. */
const silent = new Set(["Cap", "Input", "Source", "Checkpoint", "Ensemble"])

const spread = (most: number) => (steps: number): ReadonlyArray<number> => {
  const count = Math.min(most, steps)
  return Array.from({ length: count }, (_, i) => Math.floor((i * steps) / count))
}

/** Costs nothing, and half of what it judges is right, so that no group of completions is all alike. */
const even = (text: string): boolean => [...text].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 2 === 0
const judge = Layer.succeed(Judge, {
  gold: () => 0,
  prefers: (_, __, ___, ____, u) => u < 0.5,
  verifies: (_, __, completion) => even(completion)
})

interface Frame {
  readonly key: string
  readonly stage: string
  readonly artifact: Artifact.Any
  steps: number
  amounts: { flops: number; generated: number; trained: number }
  bytes: number
  terms: StagePlan["terms"]
}

export const plan = Effect.fn("plan")(function*(root: Artifact.Any, options: PlanOptions = {}) {
  yield* Effect.fromResult(check(root))
  const lacking = lackingExtensions(root, options)
  if (lacking.length > 0) return yield* new Refused({ problems: lacking })
  const { rehearsed = 128, stages = [] } = options
  const limits = limitsIn(root)
  const lineage = Artifact.lineage(root).filter(({ node }) => !silent.has(node.op))
  const byKey = new Map(lineage.map((artifact) => [keyOf(artifact, limits(artifact)), artifact]))
  const meter = metered()

  // A stage makes its inputs first: theirs are frames on top of its own.
  const frames: Array<Frame> = []
  const done: Array<StagePlan> = []
  let factor = 1
  let before = meter.amounts()
  const settle = (): void => {
    const now = meter.amounts()
    const frame = frames.at(-1)
    if (frame !== undefined) {
      for (const key of ["flops", "generated", "trained"] as const) {
        frame.amounts[key] += factor * (now[key] - before[key])
      }
      const { bytes, terms } = meter.peak()
      if (bytes > frame.bytes) Object.assign(frame, { bytes, terms })
    }
    before = now
  }
  const rehearsal: Rehearsal = {
    chosen: spread(rehearsed),
    times: (times, once) =>
      Effect.suspend(() => {
        settle()
        const outer = factor
        factor = times
        return Effect.ensuring(
          once,
          Effect.sync(() => {
            settle()
            factor = outer
          })
        )
      })
  }
  const begin = (key: string): void => {
    const artifact = byKey.get(key)
    if (artifact === undefined) return
    settle()
    meter.restart()
    const amounts = { flops: 0, generated: 0, trained: 0 }
    frames.push({ key, artifact, stage: label(artifact), steps: 0, amounts, bytes: 0, terms: [] })
  }
  const end = (key: string): void => {
    if (frames.at(-1)?.key !== key) return
    settle()
    const { amounts, artifact, bytes, stage, steps, terms } = frames.pop()!
    const { precision = "f32" } = artifact.node.params as { readonly precision?: "f32" | "bf16" }
    const round = {
      flops: amounts.flops,
      generated: Math.round(amounts.generated),
      trained: Math.round(amounts.trained)
    }
    done.push({ stage, steps, precision, bytes, terms, ...round, memoryCap: limits(artifact).memory })
    meter.restart()
  }

  const store = Layer.effect(
    Store,
    Effect.map(Store, (store) => ({
      ...store,
      find: (key, name) =>
        Effect.tap(
          store.find(key, name),
          (found) => found._tag === "None" ? Effect.sync(() => begin(key)) : Effect.void
        ),
      finish: (key, name, made) => Effect.andThen(Effect.sync(() => end(key)), store.finish(key, name, made))
    } satisfies Store["Service"]))
  ).pipe(Layer.provide(MemoryStore.layer))

  const failed = yield* execute(root, { stages }).pipe(
    Effect.provide(Layer.mergeAll(
      Layer.succeed(CurrentEngine, meter.engine),
      Files.layer,
      judge,
      store,
      Layer.succeed(Checkpoints, {
        load: (path) => Effect.map(describe(path), ({ config, tokenizer }) => withoutWeights(config, tokenizer))
      }),
      Layer.succeed(RunLog, {
        emit: (event) =>
          Effect.sync(() => {
            if (event._tag === "Started") frames.at(-1)!.steps = event.steps
          })
      })
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
  const at = frames.at(-1)?.stage ?? label(root)
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
