/**
 * Looks for changes that make a pipeline fit where micro-batches do not suffice: plans each change, the gentle changes
 * first, and compares the fitting changes by cost. All knowledge about memory is in the plan.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Artifact from "../../dsl/Artifact.ts"
import type { Lora } from "../../dsl/Lora.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { definitionOf, fieldsOf } from "../../dsl/Stage.ts"
import type { MicroBatches, Precision } from "../engine/engine.ts"
import type { Phase, Term } from "../tensor/counting/memoryTerms.ts"
import { check } from "../interpreters/check.ts"
import { type Fitted, fitted, type MicroBatchPlan, type Room } from "./microBatches.ts"
import type { Planned, StagePlan } from "./plan.ts"

/** How a change affects a stage's result: only the order of sums; other numbers for the same result; another result. */
export const effects = ["the same", "about the same", "another"] as const
export type Effects = typeof effects[number]

/** A parameter, as `--set` takes it: `ppo.recompute=true`. */
export interface Change {
  readonly path: string
  readonly value: Parameters<typeof Pipeline.set>[2]
  readonly result: Effects
}

/** A combination of changes, planned. */
export interface Verdict {
  /** Empty: micro-batches alone. */
  readonly changes: ReadonlyArray<Change>
  readonly result: Effects
  /** The run's own choice with these changes; undefined if none is needed. */
  readonly microBatches: MicroBatches | undefined
  readonly fits: boolean
  /** Peak memory of the stage; if it does not fit, with the smallest micro-batches. */
  readonly bytes: number
  /** Relative to the stage's cost without a memory limit, which is 1. */
  readonly cost: number
}

export interface Misfit {
  readonly stage: string
  /** Other stages of the operation that need between 99 % and 100 % of its memory: the same change helps all. */
  readonly alike: ReadonlyArray<string>
  /** Available and needed bytes. */
  readonly room: number
  readonly bytes: number
  readonly phase: Phase
  /** The largest term of the peak. */
  readonly term: { readonly what: Term; readonly bytes: number }
  /** Fitting verdicts first, by their effect on the result, then by cost; then the others, the smallest first. */
  readonly verdicts: ReadonlyArray<Verdict>
}

export interface Fitting extends Fitted {
  /** Stages that do not fit unchanged. */
  readonly misfits: ReadonlyArray<Misfit>
}

export interface FitOptions {
  readonly room: Room
  readonly plan: MicroBatchPlan
  /** The plan of the unchanged pipeline, if there is one already. */
  readonly known?: Planned
  /** Precisions of the backend: without bf16, it is never proposed. */
  readonly precisions?: ReadonlyArray<Precision>
}

/** The cost of a stage in any unit: seconds if costs are known, else floating-point operations. */
const cost = ({ flops, seconds }: StagePlan): number => seconds ?? flops
const both: ReadonlyArray<Precision> = ["f32", "bf16"]

/** The order of advice. */
const before = (a: Verdict, b: Verdict): number =>
  Number(b.fits) - Number(a.fits) ||
  (a.fits ? effects.indexOf(a.result) - effects.indexOf(b.result) || a.cost - b.cost : a.bytes - b.bytes) ||
  a.changes.length - b.changes.length

/** Defaults where no stage of the pipeline has adapters: the projections that Hu et al. adapt. */
const adapters: Lora = { rank: 16, alpha: 32, targetModules: ["q_proj", "v_proj"] }

const setOf = (root: Artifact.Any, changes: ReadonlyArray<Change>): Artifact.Any | null => {
  let changed = root
  for (const { path, value } of changes) {
    const set = Pipeline.set(changed, path, value)
    if (Result.isFailure(set)) return null
    changed = set.success
  }
  return Result.isSuccess(check(changed)) ? changed : null
}

/** Changes of a stage that keep its purpose. */
const changesOf = (root: Artifact.Any, artifact: Artifact.Any, precisions: ReadonlyArray<Precision>) => {
  const all = Artifact.lineage(root)
  // The operation names the stage if it is the only one: the id differs after the first change.
  const name = artifact.node.op.toLowerCase()
  const params = fieldsOf(artifact)
  const lora = all.map((one) => fieldsOf(one).lora).find((one) => one !== undefined)
  const { fields } = definitionOf(artifact.node)!.schema as { readonly fields?: Readonly<Record<string, unknown>> }
  const has = (field: string): boolean => fields !== undefined && Object.hasOwn(fields, field)
  const change = (field: string, value: Change["value"], result: Effects): Change => ({
    path: `${name}.${field}`,
    value,
    result
  })
  const gentle = [
    ...(has("recompute") && params.recompute !== true ? [change("recompute", true, "the same")] : []),
    ...(has("precision") && params.precision !== "bf16" && precisions.includes("bf16")
      ? [change("precision", "bf16", "about the same")]
      : []),
    ...(has("lora") && params.lora === undefined ? [change("lora", { ...(lora ?? adapters) }, "about the same")] : [])
  ]
  const less = (field: "maxNewTokens" | "batchSize"): ReadonlyArray<Change> => {
    const now = params[field]
    if (now === undefined) return []
    return [2, 4, 8].map((by) => Math.floor(now / by)).filter((n) => n >= 1).map((n) => change(field, n, "another"))
  }
  return { gentle, harsh: [less("maxNewTokens"), less("batchSize")] }
}

const operationOf = ({ stage }: StagePlan): string => stage.slice(0, stage.lastIndexOf("-"))

/** Whether two stages of an operation need the same memory except for the length of their rows. */
const nearly = (one: StagePlan, largest: StagePlan): boolean =>
  operationOf(one) === operationOf(largest) && one.precision === largest.precision &&
  one.terms[0]?.what === largest.terms[0]?.what && one.bytes > 0.99 * largest.bytes

/** A stage that does not fit, its worst phase, the largest term of it, and similar stages. */
export type Overflow = Pick<Misfit, "stage" | "alike" | "room" | "bytes" | "phase" | "term">

/** Groups of stages that do not fit, the largest first: rounds of a recipe need nearly the same. */
const groupsOf = (stages: ReadonlyArray<StagePlan>, room: Room): ReadonlyArray<[StagePlan, ...Array<StagePlan>]> => {
  const groups: Array<[StagePlan, ...Array<StagePlan>]> = []
  const over = stages.filter((stage) => stage.bytes > room(stage)).sort((a, b) => b.bytes - a.bytes)
  for (const stage of over) {
    const group = groups.find(([largest]) => nearly(stage, largest) && room(stage) === room(largest))
    if (group === undefined) groups.push([stage])
    else group.push(stage)
  }
  return groups
}

const overflow = ([stage, ...alike]: readonly [StagePlan, ...Array<StagePlan>], room: Room): Overflow => {
  const worst = stage.phases.find(({ bytes }) => bytes === stage.bytes)!
  return {
    stage: stage.stage,
    alike: alike.map((one) => one.stage),
    room: room(stage),
    bytes: stage.bytes,
    phase: worst.phase,
    term: worst.terms[0]!
  }
}

/** The stages of a plan that do not fit. */
export const overflows = (stages: ReadonlyArray<StagePlan>, room: Room): ReadonlyArray<Overflow> =>
  groupsOf(stages, room).map((group) => overflow(group, room))

export const fits: (
  root: Artifact.Any,
  options: FitOptions,
  /** The label of the only stage in question; by default every stage that does not fit. */
  only?: string
) => Effect.Effect<Fitting, never, FileSystem.FileSystem> = Effect.fn("fits")(
  function*(root, { known, plan, precisions = both, room: allowed }: FitOptions, only) {
    const room: Room = (stage) => only === undefined || stage.stage === only ? allowed(stage) : Infinity
    const found = yield* fitted(root, room, plan, known === undefined ? {} : { known })
    const lineage = Artifact.lineage(root)
    const misfits: Array<Misfit> = []
    for (const group of groupsOf(found.plain.stages, room)) {
      const [plain] = group
      const at = lineage.findIndex((artifact) => label(artifact) === plain.stage)
      const verdicts: Array<Verdict> = []
      const judge = (
        changes: ReadonlyArray<Change>,
        { microBatches, planned }: Fitted,
        stage: string
      ): Verdict | null => {
        const made = planned.stages.find((one) => one.stage === stage)
        if (made === undefined) return null
        const verdict: Verdict = {
          changes,
          result: effects[Math.max(0, ...changes.map(({ result }) => effects.indexOf(result)))]!,
          microBatches: microBatches.get(stage),
          fits: made.bytes <= allowed(made),
          bytes: made.bytes,
          cost: cost(made) / cost(plain)
        }
        verdicts.push(verdict)
        return verdict
      }
      /** Plans the changes, with micro-batches if needed; null if the pipeline is then invalid or cannot be planned. */
      const tried = Effect.fnUntraced(function*(...changes: ReadonlyArray<Change>) {
        const changed = setOf(root, changes)
        if (changed === null) return null
        const stage = label(Artifact.lineage(changed)[at]!)
        return judge(changes, yield* fitted(changed, allowed, plan, { only: new Set([stage]) }), stage)
      })
      const alone = judge([], found, plain.stage)!
      const { gentle, harsh } = changesOf(root, lineage[at]!, precisions)
      if (!alone.fits) {
        // A change that saves no memory alone saves none with others.
        let useful: ReadonlyArray<Change> = []
        for (const change of gentle) {
          const verdict = yield* tried(change)
          if (verdict !== null && verdict.bytes < alone.bytes) useful = [...useful, change]
        }
        const enough = (changes: ReadonlyArray<Change>) =>
          changes.length < 2
            ? Effect.succeed(false)
            : Effect.map(tried(...changes), (verdict) => verdict?.fits === true)
        if (!verdicts.some(({ fits }) => fits) && (yield* enough(useful))) {
          // Drops each change that is not needed, the harshest first.
          for (const change of useful.toReversed()) {
            const fewer = useful.filter((one) => one !== change)
            if (yield* enough(fewer)) useful = fewer
          }
        }
        for (const field of verdicts.some(({ fits }) => fits) ? [] : harsh) {
          for (const change of field) if ((yield* tried(...useful, change))?.fits === true) break
        }
      }
      // Changes of the result that save less than 1 % are no advice.
      const smallest = Math.min(...verdicts.filter(({ result }) => result !== "another").map(({ bytes }) => bytes))
      misfits.push({
        ...overflow(group, room),
        verdicts: verdicts
          .filter(({ bytes, fits, result }) => fits || result !== "another" || bytes <= 0.99 * smallest)
          .sort(before)
      })
    }
    return { ...found, misfits }
  }
)
