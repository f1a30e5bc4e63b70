/**
 * Micro-batches that a description fits its memory with: the largest that do, by its plan. They depend on the description, its data and
 * the memory alone, so a run that is resumed has the same; they change no id, because they change no result.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Artifact from "../../dsl/Artifact.ts"
import type { Engine, MicroBatches } from "../engine/engine.ts"
import { CurrentMicroBatches } from "../engine/microBatches.ts"
import { size } from "../../dsl/Size.ts"
import { smaller } from "./advice.ts"
import type { Refused } from "../interpreters/check.ts"
import { limitsIn } from "../interpreters/limits.ts"
import { kept, plan, type Planned, type PlanOptions, type StagePlan } from "./plan.ts"

/** From as little as there is to what is next to the most that an engine does by itself, by factors of about 1.4. */
const tokens = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144]
const slots = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]

const up = (of: ReadonlyArray<number>, from: number | undefined, k: number): number =>
  of[Math.min(of.length - 1, of.indexOf(from!) + k)]!

const least: MicroBatches = { microBatchTokens: tokens[0]!, slots: slots[0]! }

export type Plan = (
  root: Artifact.Any,
  microBatches: ReadonlyMap<string, MicroBatches>,
  how?: Pick<PlanOptions, "only" | "rough">
) => Effect.Effect<Planned, Refused, FileSystem.FileSystem>

/** Bytes that there are for a stage. */
export type Room = (stage: StagePlan) => number

/** The tightest of what the description allows a stage and what there is. */
export const roomWithin = (available: number): Room => ({ memoryCap }) => Math.min(memoryCap, available)

/** What one plan has made serves the next one. */
export const planWith = (options: PlanOptions): Plan => {
  const shared = { ...options, kept: kept() }
  return (root, microBatches, how) =>
    Effect.provideService(plan(root, { ...shared, ...how }), CurrentMicroBatches, microBatches)
}

export interface Fitted {
  /** As the engine does it by itself. */
  readonly plain: Planned
  /** With the micro-batches. */
  readonly planned: Planned
  /** By label, of the stages that would not fit without. */
  readonly microBatches: ReadonlyMap<string, MicroBatches>
}

/** The share of its room that a stage in micro-batches is to fill by its plan, which sees some steps only: others may have longer rows. */
const filled = 0.95

/** The plan of `root` with the smallest micro-batches that there are in `stage`. */
export const leastOf = (root: Artifact.Any, stage: string, planned: Plan, rough: boolean): Effect.Effect<
  Fitted,
  Refused,
  FileSystem.FileSystem
> => {
  const microBatches = new Map([[stage, least]])
  return Effect.map(
    planned(root, microBatches, { rough, only: new Set([stage]) }),
    (made) => ({ plain: made, planned: made, microBatches })
  )
}

/**
 * The plan of `root` in which the stages that do not fit have the largest micro-batches that do; the least there are when none do. Half as
 * many tokens go with half as many sequences, then either is raised as long as it fits: sequences first, which sampling is slow without.
 */
export const fitted: (
  root: Artifact.Any,
  room: Room,
  planned: Plan,
  how?: {
    /** The plan of `root` without micro-batches, where there is one already. */
    readonly known?: Planned
    /** Labels of the stages that are asked about; every one when left out. */
    readonly only?: ReadonlySet<string>
  }
) => Effect.Effect<Fitted, Refused, FileSystem.FileSystem> = Effect.fnUntraced(function*(
  root,
  room,
  planned,
  { known, only } = {}
) {
  const plain = known ?? (yield* planned(root, new Map(), only === undefined ? {} : { only }))
  const over = new Set(plain.stages.filter((stage) => stage.bytes > room(stage)).map(({ stage }) => stage))
  if (over.size === 0) return { plain, planned: plain, microBatches: new Map() }
  let found = new Map<string, MicroBatches>([...over].map((stage) => [stage, least]))
  const fitIn = ({ stages }: Planned) =>
    new Set(
      stages.filter((stage) => over.has(stage.stage) && stage.bytes <= filled * room(stage)).map(({ stage }) => stage)
    )
  /** These stages, in smaller parts; the others stay what they are in `before`. */
  const again = (before: Planned, stages: ReadonlySet<string>, by: ReadonlyMap<string, MicroBatches>, rough: boolean) =>
    Effect.map(planned(root, by, { only: stages, rough }), (made): Planned => ({
      ...before,
      stages: before.stages.map((stage) => made.stages.find((one) => one.stage === stage.stage) ?? stage)
    }))
  const smallest = yield* again(plain, over, found, true)
  const able = fitIn(smallest)
  if (able.size === 0) return { plain, planned: yield* again(plain, over, found, false), microBatches: found }

  /** The last of `count` steps up that fits, of every stage at once: more never takes less memory. Begins with step `first`. */
  const raise = Effect.fnUntraced(function*(
    count: number,
    first: number,
    step: (from: MicroBatches, k: number) => MicroBatches
  ) {
    const start = found
    const bounds = new Map([...able].map((stage) => [stage, { low: 0, high: count, next: first }]))
    for (;;) {
      const asked = [...bounds].filter(([stage, { high, low }]) =>
        low < high && JSON.stringify(step(start.get(stage)!, low + 1)) !== JSON.stringify(found.get(stage))
      )
      if (asked.length === 0) return
      const tried = new Map(found)
      for (const [stage, { next }] of asked) tried.set(stage, step(start.get(stage)!, next))
      const fit = fitIn(yield* again(smallest, able, tried, true))
      for (const [stage, bound] of asked) {
        const { high, low } = fit.has(stage)
          ? { low: bound.next, high: bound.high }
          : { low: bound.low, high: bound.next - 1 }
        bounds.set(stage, { low, high, next: Math.ceil((low + high) / 2) })
        if (fit.has(stage)) found = new Map(found).set(stage, tried.get(stage)!)
      }
    }
  })
  const [mostTokens, mostSlots] = [tokens.length - 1, slots.length - 1]
  yield* raise(mostTokens, Math.ceil(mostTokens / 2), (from, k) => ({
    microBatchTokens: up(tokens, from.microBatchTokens, k),
    slots: up(slots, from.slots, k)
  }))
  yield* raise(mostSlots, mostSlots, (from, k) => ({ ...from, slots: up(slots, from.slots, k) }))
  yield* raise(mostTokens, 1, (from, k) => ({ ...from, microBatchTokens: up(tokens, from.microBatchTokens, k) }))
  // What the rough plans left out.
  for (;;) {
    const made = yield* again(smallest, able, found, false)
    const fit = fitIn(made)
    const still = [...able].filter((stage) => !fit.has(stage) && found.get(stage)!.microBatchTokens! > tokens[0]!)
    if (still.length === 0) return { plain, planned: made, microBatches: found }
    found = new Map(found)
    for (const stage of still) {
      const { microBatchTokens, slots } = found.get(stage)!
      found.set(stage, { microBatchTokens: tokens[tokens.indexOf(microBatchTokens!) - 1]!, slots: slots! })
    }
  }
})

/**
 * The micro-batches of a run: none where neither the description nor the engine has a limit, or all fits. Says which, and what will not fit
 * whatever they are; it is run nevertheless, because completions may end before `maxNewTokens`.
 */
export const chosen = Effect.fn("microBatches")(function*(
  root: Artifact.Any,
  { addressable = Infinity, kind }: Pick<Engine, "addressable" | "kind">,
  options: PlanOptions
) {
  const limits = limitsIn(root)
  const capped = Artifact.lineage(root).some((artifact) => limits(artifact).memory < Infinity)
  if (kind === "tabular" || (!capped && addressable === Infinity)) return new Map<string, MicroBatches>()
  const room = roomWithin(addressable)
  const planned = planWith(options)
  // Rows that a rough plan does not see are not twice as long.
  const rough = yield* planned(root, new Map(), { rough: true })
  if (rough.unplanned.length === 0 && rough.stages.every((stage) => stage.bytes <= room(stage) / 2)) {
    return new Map<string, MicroBatches>()
  }
  const fit = yield* fitted(root, room, planned)
  for (const line of smaller(fit)) yield* Console.error(line)
  for (const stage of fit.planned.stages.filter((stage) => stage.bytes > room(stage))) {
    yield* Console.error(
      `${stage.stage} may take ${size(stage.bytes)} even so, and has ${
        size(room(stage))
      }: keel plan says what would fit.`
    )
  }
  return fit.microBatches
})
