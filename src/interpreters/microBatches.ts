/**
 * Micro-batches that a description fits its memory with: the largest that do, by its plan. They depend on the description, its data and
 * the memory alone, so a run that is resumed has the same; they change no id, because they change no result.
 */
import { Effect, type FileSystem } from "effect"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { MicroBatches } from "../engine/engine.ts"
import { CurrentMicroBatches } from "../engine/microBatches.ts"
import type { Refused } from "./check.ts"
import { plan, type Planned, type PlanOptions, type StagePlan } from "./plan.ts"

/** From as little as there is to one step before what an engine does by itself. */
const tokens = [64, 128, 256, 512, 1024, 2048, 4096]
const slots = [1, 2, 4, 8, 16, 32, 64]

export const least: MicroBatches = { microBatchTokens: tokens[0]!, slots: slots[0]! }

export type Plan = (
  root: Artifact.Any,
  microBatches: ReadonlyMap<string, MicroBatches>
) => Effect.Effect<Planned, Refused, FileSystem.FileSystem>

/** Bytes that there are for a stage. */
export type Room = (stage: StagePlan) => number

/** The tightest of what the description allows a stage and what there is. */
export const roomWithin = (available: number): Room => ({ memoryCap }) => Math.min(memoryCap, available)

export const planWith = (options: PlanOptions): Plan => (root, microBatches) =>
  Effect.provideService(plan(root, options), CurrentMicroBatches, microBatches)

export interface Fitted {
  /** With the micro-batches. */
  readonly planned: Planned
  /** By label, of the stages that would not fit without. */
  readonly microBatches: ReadonlyMap<string, MicroBatches>
  /** As the engine does it by itself. */
  readonly plain: Planned
}

/**
 * The plan of `root` in which the stages that do not fit have the largest micro-batches that do; the least there are when none do. Half as
 * many tokens go with half as many sequences, then each is doubled again as long as it fits, sequences first.
 */
export const fitted = Effect.fnUntraced(function*(root: Artifact.Any, room: Room, planned: Plan) {
  const plain = yield* planned(root, new Map())
  const over = new Set(plain.stages.filter((stage) => stage.bytes > room(stage)).map(({ stage }) => stage))
  if (over.size === 0) return { planned: plain, microBatches: new Map(), plain } satisfies Fitted as Fitted
  let found = new Map<string, MicroBatches>([...over].map((stage) => [stage, least]))
  let best = yield* planned(root, found)
  const fits = ({ stages }: Planned) =>
    new Set(stages.filter((stage) => over.has(stage.stage) && stage.bytes <= room(stage)).map(({ stage }) => stage))
  const able = fits(best)
  /** The last of `count` steps up that fits, of every stage, by bisection: more never takes less memory. */
  const raised = Effect.fnUntraced(function*(count: number, step: (from: MicroBatches, k: number) => MicroBatches) {
    const start = found
    const bounds = new Map([...able].map((stage) => [stage, { low: 0, high: count }]))
    for (;;) {
      const asked = [...bounds].filter(([, { high, low }]) => low < high)
      if (asked.length === 0) return
      const tried = new Map(found)
      for (const [stage, { high, low }] of asked) tried.set(stage, step(start.get(stage)!, Math.ceil((low + high) / 2)))
      const made = yield* planned(root, tried)
      const fit = fits(made)
      for (const [stage, { high, low }] of asked) {
        const middle = Math.ceil((low + high) / 2)
        if (!fit.has(stage)) bounds.set(stage, { low, high: middle - 1 })
        else {
          bounds.set(stage, { low: middle, high })
          found = new Map(found).set(stage, tried.get(stage)!)
        }
      }
    }
  })
  const up = (of: ReadonlyArray<number>, from: number | undefined, k: number): number =>
    of[Math.min(of.length - 1, of.indexOf(from!) + k)]!
  yield* raised(tokens.length - 1, (from, k) => ({
    microBatchTokens: up(tokens, from.microBatchTokens, k),
    slots: up(slots, from.slots, k)
  }))
  yield* raised(slots.length - 1, (from, k) => ({ ...from, slots: up(slots, from.slots, k) }))
  yield* raised(tokens.length - 1, (from, k) => ({
    ...from,
    microBatchTokens: up(tokens, from.microBatchTokens, k)
  }))
  best = yield* planned(root, found)
  return { planned: best, microBatches: found, plain } satisfies Fitted as Fitted
})
