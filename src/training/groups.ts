/** The rollout of a step (`dsl/Rollout.ts`): groups of completions, in batches, until enough of them can train. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { type Changing, valuesAt } from "../../dsl/FromStep.ts"
import type { PromptRow } from "../data/rows.ts"
import { offsetsOf, type Policy } from "../engine/engine.ts"
import { informative } from "../losses/advantages.ts"
import { type Running, runningOf, runningState } from "../rewards/composed.ts"
import type { Metrics } from "../store/runLog.ts"
import type { Answering, Prompt } from "./answering.ts"
import { batchAt } from "./batches.ts"
import { average } from "./miniBatches.ts"
import { readsSampler } from "./ownLosses.ts"
import { type Episodes, pick, rollout, type Sampled } from "./rollout.ts"
import type { Scope } from "./scope.ts"
import type { Scoring } from "./scoring.ts"
import { after, drawn, type Solved, solvedOf, solvedState, tellSolved } from "./solved.ts"

interface Rolls extends Changing {
  readonly steps: number
  readonly batchSize: number
  readonly groupSize?: number
  readonly dynamicSampling?: { readonly maxBatches: number }
  readonly solvedAgain?: number
}

interface Batch {
  /** The places of its prompts. */
  readonly chosen: ReadonlyArray<number>
  readonly episodes: Sampled
  /** The groups that train. */
  readonly kept: ReadonlyArray<number>
  /** Prompts out of the pool of solved prompts. */
  readonly ofPool: number
  /** The pool after it. */
  readonly solved: Solved
}

/** The batches of a step; `episodes` are the groups that train, one after the other, at most `batchSize` of them. */
export interface Groups {
  readonly batches: ReadonlyArray<Batch>
  readonly all: Episodes
  readonly episodes: Episodes
  /** The number of groups in `episodes`. */
  readonly count: number
}

/** Mean score; of groups of two or more, the mean standard deviation (ddof 1), and the share whose scores are all equal. */
const groupMetrics = (scores: Float64Array, groupSize: number): Metrics => {
  const groups = Array.from(
    { length: scores.length / groupSize },
    (_, g) => scores.subarray(g * groupSize, (g + 1) * groupSize)
  )
  const deviation = (group: Float64Array): number => {
    const mean = group.reduce((sum, x) => sum + x, 0) / groupSize
    return Math.sqrt(group.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, groupSize - 1))
  }
  const useful = informative(scores, groupSize).filter(Boolean).length
  const reward = scores.reduce((sum, x) => sum + x, 0) / scores.length
  if (groupSize === 1) return { reward }
  return {
    reward,
    "reward_std": groups.reduce((sum, group) => sum + deviation(group), 0) / groups.length,
    "frac_reward_zero_std": 1 - useful / groups.length
  }
}

/** The rows of some groups. */
export const rowsOf = (groups: ReadonlyArray<number>, groupSize: number): ReadonlyArray<number> =>
  groups.flatMap((g) => Array.from({ length: groupSize }, (_, i) => g * groupSize + i))

/** Joins some rows of each rollout into a single rollout. */
const joined = (
  parts: ReadonlyArray<{ readonly episodes: Episodes; readonly rows: ReadonlyArray<number> }>
): Episodes => {
  const flat = (of: (episodes: Episodes) => Float64Array): Float64Array =>
    Float64Array.from(parts.flatMap(({ episodes, rows }) => Array.from(pick(of(episodes), episodes.offsets, rows))))
  const rows = parts.flatMap(({ episodes, rows }) => rows.map((i) => episodes.rows[i]!))
  return {
    rows,
    offsets: offsetsOf(rows),
    logps: flat(({ logps }) => logps),
    samplerLogps: flat(({ samplerLogps }) => samplerLogps),
    refLogps: parts.some(({ episodes }) => episodes.refLogps === null) ? null : flat(({ refLogps }) => refLogps!),
    earned: parts.some(({ episodes }) => episodes.earned === null) ? null : flat(({ earned }) => earned!),
    scores: Float64Array.from(parts.flatMap(({ episodes, rows }) => rows.map((i) => episodes.scores[i]!))),
    passed: parts.flatMap(({ episodes, rows }) => rows.map((i) => episodes.passed[i]!)),
    metrics: {}
  }
}

/** The rollouts of a stage, from the `state` of a checkpoint on; batch k of step n has its random streams at `place(n, k)`. */
export const grouping = (
  stage: Rolls,
  scope: Scope,
  { answering, asks, place, policy, prompts, reference, scoring, state }: {
    readonly answering: Answering
    readonly policy: Policy
    readonly reference: Policy | null
    readonly scoring: Scoring
    readonly prompts: ReadonlyArray<Int32Array>
    /** The rows of the prompts. */
    readonly asks: ReadonlyArray<PromptRow>
    readonly state: Schema.Json
    readonly place: (step: number, batch: number) => string
  }
) => {
  const { batchSize, dynamicSampling, groupSize = 1, solvedAgain: again } = stage
  const { stream } = scope
  const maxBatches = dynamicSampling?.maxBatches ?? 1
  let running = runningOf(state)
  let solved = solvedOf(state)

  /** The completions of `batchSize` prompts, group after group; a step may ask for several batches. */
  const sample = Effect.fnUntraced(function*(n: number, k: number, running: Running, solved: Solved) {
    const { maxNewTokens, temperature } = valuesAt(stage, n)
    const at = place(n, k)
    const taking = { count: prompts.length, size: batchSize, key: stream, place: at }
    const { chosen, ofPool, solved: took } = again === undefined
      ? { chosen: batchAt(stream, prompts.length, batchSize, n * maxBatches + k), ofPool: 0, solved }
      : drawn(solved, { ...taking, again })
    const asked = chosen.flatMap((i, g) =>
      Array.from({ length: groupSize }, (): Prompt => ({
        ids: prompts[i]!,
        row: { ...asks[i]!, row: i + 1 },
        world: `${stream}/${at}/world/${g}`
      }))
    )
    const episodes = yield* rollout(
      {
        answering,
        policy,
        reference,
        sampling: { maxNewTokens, temperature, topK: 0, topP: 1, stop: scoring.codec.stop },
        scoring: { ...scoring, maxNewTokens },
        readsSampler: readsSampler(stage.loss),
        now: { step: n, running }
      },
      asked,
      asked.map((_, i) => `${stream}/${at}/${i}`)
    )
    const kept = dynamicSampling === undefined
      ? chosen.map((_, g) => g)
      : informative(episodes.scores, groupSize).flatMap((yes, g) => yes ? [g] : [])
    const pool = again === undefined ? solved : after(took, chosen, episodes.passed, groupSize)
    return { chosen, episodes, kept, ofPool, solved: pool } satisfies Batch as Batch
  })

  return {
    groupSize,
    /** For a checkpoint. */
    state: () => ({ ...runningState(running), ...solvedState(solved) }),
    /** The groups of step `n`; twice the same. */
    at: Effect.fnUntraced(function*(n: number) {
      const batches: Array<Batch> = []
      let [missing, seen, pool] = [batchSize, running, solved]
      while (missing > 0 && batches.length < maxBatches) {
        const batch = yield* sample(n, batches.length, seen, pool)
        seen = batch.episodes.running
        pool = batch.solved
        batches.push({ ...batch, kept: batch.kept.slice(0, missing) })
        missing -= batch.kept.length
      }
      const episodes = joined(batches.map(({ episodes, kept }) => ({ episodes, rows: rowsOf(kept, groupSize) })))
      return {
        batches,
        all: joined(batches.map(({ episodes }) => ({ episodes, rows: episodes.rows.map((_, i) => i) }))),
        episodes,
        count: episodes.scores.length / groupSize
      } satisfies Groups as Groups
    }),
    /** After step `n` has learned from its groups: the metrics of the sampling and of the groups. */
    learned: Effect.fnUntraced(function*(n: number, { all, batches, count }: Groups) {
      const before = solved
      ;({ episodes: { running }, solved } = batches.at(-1)!)
      if (again !== undefined) yield* tellSolved(scope.label, before, solved, prompts.length, n + 1 === stage.steps)
      // A batch may have no completion of a kind that a part of the reward judges.
      const sampled: Metrics = average(batches.map(({ episodes }) => episodes.metrics), { lacking: "left out" })
      const grouped: Metrics = {
        groups: count,
        ...(again === undefined ? {} : {
          "solved/prompts": solved.rows.size,
          "solved/share": batches.reduce((sum, { ofPool }) => sum + ofPool, 0) / (batches.length * batchSize)
        }),
        episode: (n + 1) * batchSize * groupSize
      }
      return { sampled, scores: groupMetrics(all.scores, groupSize), grouped }
    })
  }
}
