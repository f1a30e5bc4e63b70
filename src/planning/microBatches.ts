/**
 * The largest micro-batches with which a pipeline fits its memory, by its plan. They depend only on the pipeline, its
 * data and the memory, so a resumed run has the same; they change no id, because they change no result.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { MicroBatches } from "../engine/engine.ts"
import { CurrentMicroBatches } from "../engine/microBatches.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import { kept, type Planned, planned, type PlanOptions, type StagePlan } from "./plan.ts"

export type MicroBatchPlan = (
  root: Artifact.Any,
  microBatches: ReadonlyMap<string, MicroBatches>,
  how?: Pick<PlanOptions, "only" | "rehearsed" | "completionLength">
) => Effect.Effect<Planned, never, FileSystem.FileSystem>

/** Bytes available to a stage. */
export type Room = (stage: StagePlan) => number

/** The smaller of the stage's memory cap and the available memory. */
export const roomWithin = (available: number): Room => ({ memoryCap }) => Math.min(memoryCap, available)

/** Plans share their results. */
export const planWith = (options: PlanOptions): MicroBatchPlan => {
  const shared = { ...options, kept: kept() }
  return (root, microBatches, how) =>
    Effect.provideService(planned(root, { ...shared, ...how }), CurrentMicroBatches, microBatches)
}

export interface Fitted {
  /** With the engine's defaults. */
  readonly plain: Planned
  /** With the micro-batches. */
  readonly planned: Planned
  /** By label, for the stages that do not fit without. */
  readonly microBatches: ReadonlyMap<string, MicroBatches>
}

/** The engine's default, and the minimum. */
const [most, least] = [{ microBatchTokens: 8192, slots: 64 }, { microBatchTokens: 64, slots: 1 }]
type Both = typeof most

/** Phases that sample. Few sequences at a time make them slow, so `slots` are halved only if these do not fit. */
const sampling: ReadonlySet<Phase> = new Set(["generation", "measure"])

/** The share of memory that a stage in micro-batches may fill by its plan: unplanned steps may have longer rows. */
const filled = 0.95

/** Half of the micro-batches of a stage that does not fit; null if it fits or is at the minimum. */
const halved = ({ phases }: StagePlan, room: number, now: Both): Both | null => {
  const over = phases.filter(({ bytes }) => bytes > filled * room)
  if (over.length === 0) return null
  const half = (of: keyof Both) => Math.max(least[of], now[of] / 2)
  const slots = over.some(({ phase }) => sampling.has(phase)) ? half("slots") : now.slots
  const microBatchTokens = half("microBatchTokens")
  return microBatchTokens === now.microBatchTokens && slots === now.slots ? null : { microBatchTokens, slots }
}

/**
 * The plan of `root` with micro-batches halved until each stage fits, at the minimum if it never does. `known` is the
 * plan without micro-batches; `only` are the labels of the stages in question, by default all.
 */
export const fitted: (
  root: Artifact.Any,
  room: Room,
  plan: MicroBatchPlan,
  how?: { readonly known?: Planned; readonly only?: ReadonlySet<string> }
) => Effect.Effect<Fitted, never, FileSystem.FileSystem> = Effect.fnUntraced(
  function*(root, room, plan, { known, only } = {}) {
    const plain = known ?? (yield* plan(root, new Map(), only === undefined ? {} : { only }))
    const over = plain.stages.filter((stage) => stage.bytes > room(stage))
    const microBatches = new Map<string, Both>(over.map(({ stage }) => [stage, least]))
    if (over.length === 0) return { plain, planned: plain, microBatches }
    const made = new Map(plain.stages.map((stage) => [stage.stage, stage]))
    // A stage that does not fit at the minimum never fits.
    const { stages: smallest } = yield* plan(root, microBatches, { only: new Set(over.map(({ stage }) => stage)) })
    for (const stage of smallest) made.set(stage.stage, stage)
    const fit = (stage: string) => smallest.some((one) => one.stage === stage && one.bytes <= filled * room(one))
    let left = over.filter(({ stage }) => fit(stage)).map((stage) => ({ stage, now: most }))
    while (left.length > 0) {
      const next = left.flatMap(({ now, stage }) => {
        const half = halved(stage, room(stage), now)
        if (half !== null) microBatches.set(stage.stage, half)
        return half === null ? [] : [stage.stage]
      })
      if (next.length === 0) break
      const { stages } = yield* plan(root, microBatches, { only: new Set(next) })
      left = stages.map((stage) => {
        made.set(stage.stage, stage)
        return { stage, now: microBatches.get(stage.stage)! }
      })
    }
    // The smallest parts of a small batch may need more memory than the whole batch.
    for (const stage of over.filter((stage) => made.get(stage.stage)!.bytes >= stage.bytes)) {
      made.set(stage.stage, stage)
      microBatches.delete(stage.stage)
    }
    return { plain, planned: { ...plain, stages: [...made.values()] }, microBatches }
  }
)
