/**
 * Policy gradients without a value model; see `dsl/stages/Grpo.ts` for the formulas. One step: sample groups of completions, score
 * them, then a few passes of updates on mini-batches of whole groups. KL from the initial model is measured as in `ppo.ts`.
 *
 * Deviations from TRL's GRPOTrainer: (1) mini-batches are of whole groups, TRL's of shuffled completions; (2) completion i of prompt p
 * in step n has a random stream of its own; (3) `DAPO`'s and `CISPO`'s token mean is over the tokens of one update.
 */
import * as Effect from "effect/Effect"
import { changesOf, valuesAt } from "../../dsl/FromStep.ts"
import type { Grpo } from "../../dsl/stages/Grpo.ts"
import type { PromptRow } from "../data/rows.ts"
import { offsetsOf, type Update, type Weights } from "../engine/engine.ts"
import { informative, tokenAdvantages } from "../losses/advantages.ts"
import { grpoMetrics } from "../losses/grpo.ts"
import { tokenRewards } from "../losses/rewards.ts"
import { type Composed, type Running, runningOf, runningState, turnsOf } from "../rewards/composed.ts"
import { answered } from "../rewards/answers.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable } from "../rewards/rewarding.ts"
import type { Metrics } from "../store/runLog.ts"
import { type Prompt, transcriptOf } from "../training/answering.ts"
import { batchAt } from "../training/batches.ts"
import { fitted } from "../training/fitted.ts"
import { klControl, movedMost } from "../training/klControl.ts"
import { finite } from "../training/loop.ts"
import { movePolicy } from "../training/movePolicy.ts"
import { average, miniBatches } from "../training/miniBatches.ts"
import { readsSampler } from "../training/ownLosses.ts"
import { openReward } from "../training/openReward.ts"
import { policyUpdate } from "../training/policyUpdate.ts"
import type { Openers } from "../training/precision.ts"
import { movingReference, referenceOf } from "../training/reference.ts"
import { type Episodes, pick, rollout } from "../training/rollout.ts"
import type { Scope } from "../training/scope.ts"
import { after, drawn, type Solved, solvedOf, solvedState, tellSolved } from "../training/solved.ts"

/** Mean score; of groups of two or more, the mean standard deviation (ddof 1), and the share whose scores are all equal. */
const groupMetrics = (scores: Float64Array, groupSize: number): Record<string, number> => {
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

interface Wires {
  readonly init: Weights
  /** Present if and only if β > 0. */
  readonly reference: Weights | undefined
  readonly reward: Composed<Weights> | undefined
  readonly prompts: ReadonlyArray<PromptRow>
  readonly held: ReadonlyArray<PromptRow> | undefined
}

export const grpo = Effect.fn("grpo")(function*(stage: Grpo, { held, init, ...wires }: Wires, scope: Scope) {
  const judge = yield* Judge
  yield* answered(scope.label, judge, stage.verifiers, wires.prompts)
  if (wires.reward !== undefined) yield* judgeable(scope.label, judge, wires.reward, wires.prompts)
  const beside = (open: Openers) => movingReference(stage.referencePolicy, wires.reference, open.policy)
  return yield* movePolicy(stage, { init, held, beside }, scope, (at) =>
    Effect.gen(function*() {
      const { answering, codec, open, policy, use } = at
      const { reference, told } = yield* referenceOf(stage.referencePolicy, wires.reference, at)
      const { batchSize, dynamicSampling, groupSize, solvedAgain: again } = stage
      const { encoded: prompts, rows: asks } = yield* fitted(
        use,
        wires.prompts,
        answering.encoding(stage.maxNewTokens),
        stage
      )
      const scoring = {
        reward: wires.reward === undefined ? null : yield* openReward(scope, wires.reward, open.scorer),
        codec,
        stage: scope.label,
        verifiers: stage.verifiers,
        judge,
        missingEosPenalty: stage.missingEosPenalty,
        maxNewTokens: stage.maxNewTokens,
        overlong: stage.overlong
      }
      const maxBatches = dynamicSampling?.maxBatches ?? 1
      const control = klControl(stage, at.state)
      let running = runningOf(at.state)
      let solved = solvedOf(at.state)
      const inReward = stage.loss.kl._tag === "KlInReward"

      /** The completions of `batchSize` prompts, group after group; a step may ask for several batches. */
      const sample = Effect.fnUntraced(function*(n: number, k: number, running: Running, solved: Solved) {
        const { maxNewTokens, temperature } = valuesAt(stage, n)
        const taking = { count: prompts.length, size: batchSize, key: scope.stream, place: `${n}/${k}` }
        const { chosen, ofPool, solved: took } = again === undefined
          ? { chosen: batchAt(scope.stream, prompts.length, batchSize, n * maxBatches + k), ofPool: 0, solved }
          : drawn(solved, { ...taking, again })
        const asked = chosen.flatMap((i, g) =>
          Array.from({ length: groupSize }, (): Prompt => ({
            ids: prompts[i]!,
            row: { ...asks[i]!, row: i + 1 },
            world: `${scope.stream}/${n}/${k}/world/${g}`
          }))
        )
        const seeds = asked.map((_, i) => `${scope.stream}/${n}/${k}/${i}`)
        const episodes = yield* rollout(
          {
            answering,
            policy,
            reference,
            sampling: { maxNewTokens, temperature, topK: 0, topP: 1, stop: codec.stop },
            scoring: { ...scoring, maxNewTokens },
            readsSampler: readsSampler(stage.loss),
            now: { step: n, running }
          },
          asked,
          seeds
        )
        const kept = dynamicSampling === undefined
          ? chosen.map((_, g) => g)
          : informative(episodes.scores, groupSize).flatMap((yes, g) => yes ? [g] : [])
        const pool = again === undefined ? solved : after(took, chosen, episodes.passed, groupSize)
        return { chosen, episodes, kept, ofPool, solved: pool }
      })
      const rowsOf = (groups: ReadonlyArray<number>): ReadonlyArray<number> =>
        groups.flatMap((g) => Array.from({ length: groupSize }, (_, i) => g * groupSize + i))

      /** The batches of step n with the groups to train on, no more than `batchSize` of them. */
      const sampledAt = Effect.fnUntraced(function*(n: number) {
        const batches: Array<Effect.Success<ReturnType<typeof sample>>> = []
        let [missing, seen, pool] = [batchSize, running, solved]
        while (missing > 0 && batches.length < maxBatches) {
          const batch = yield* sample(n, batches.length, seen, pool)
          seen = batch.episodes.running
          pool = batch.solved
          batches.push({ ...batch, kept: batch.kept.slice(0, missing) })
          missing -= batch.kept.length
        }
        return batches
      })

      return {
        ...told,
        steps: stage.steps,
        turns: [...changesOf(stage), ...wires.reward === undefined ? [] : turnsOf(wires.reward)],
        proxy: scoring.reward,
        scoring,
        state: () => ({ ...control.state(), ...runningState(running), ...solvedState(solved) }),
        step: Effect.fnUntraced(function*(n: number) {
          const { loss, maxNewTokens, temperature } = valuesAt(stage, n)
          const batches = yield* sampledAt(n)
          const { chosen, episodes: first } = batches[0]!
          const all = joined(batches.map(({ episodes }) => ({ episodes, rows: episodes.rows.map((_, i) => i) })))
          const episodes = joined(batches.map(({ episodes, kept }) => ({ episodes, rows: rowsOf(kept) })))
          yield* finite({ reward: all.scores.reduce((sum, x) => sum + x, 0) })
          const { advantages } = tokenAdvantages(
            stage.advantage,
            { ...episodes, refLogps: inReward ? episodes.refLogps : null },
            { beta: control.beta(n), groupSize }
          )
          const groups = episodes.scores.length / groupSize
          const learn = Effect.fnUntraced(function*(update: Update) {
            const updates: Array<Metrics> = []
            const minis = groups === 0
              ? []
              : miniBatches(`${scope.stream}/${n}`, groups, {
                miniBatches: stage.numMiniBatches,
                passes: stage.numIterations
              })
            for (const mini of minis) {
              const rows = rowsOf(mini)
              /** Advantages that include the current KL of the policy, and move with it. */
              const contrasted = (logps: Float64Array, offsets: Int32Array): Float64Array =>
                tokenAdvantages(stage.advantage, {
                  scores: Float64Array.from(rows, (row) => episodes.scores[row]!),
                  logps,
                  refLogps: inReward && episodes.refLogps !== null
                    ? pick(episodes.refLogps, episodes.offsets, rows)
                    : null,
                  earned: episodes.earned === null ? null : pick(episodes.earned, episodes.offsets, rows),
                  offsets
                }, { beta: control.beta(n), groupSize }).advantages
              const metrics = yield* policyUpdate(policy, episodes, rows, {
                loss,
                beta: control.beta(n),
                ...movedMost(stage),
                maxNewTokens: answering.maxTurns * maxNewTokens,
                temperature,
                update,
                advantages: loss._tag === "PolicyLoss" && loss.objective._tag === "Contrastive"
                  ? contrasted
                  : () => pick(advantages, episodes.offsets, rows)
              }, grpoMetrics)
              if (metrics === null) break
              updates.push(metrics)
            }
            const { metrics } = tokenRewards(all.logps, all.refLogps, all.scores, all.offsets, {
              beta: inReward ? control.beta(n) : 0
            })
            const coefficient = control.metrics(n)
            control.seen(metrics["objective/kl"], all.scores.length)
            const before = solved
            ;({ episodes: { running }, solved } = batches.at(-1)!)
            if (again !== undefined) {
              yield* tellSolved(scope.label, before, solved, prompts.length, n + 1 === stage.steps)
            }
            return {
              ...metrics,
              // A batch may have no completion of a kind that a part of the reward judges.
              ...average(batches.map(({ episodes }) => episodes.metrics), { lacking: "left out" }),
              ...groupMetrics(all.scores, groupSize),
              ...average(updates),
              ...(stage.targetKl === undefined ? {} : { "policy/updates": updates.length }),
              ...coefficient,
              groups,
              ...(again === undefined ? {} : {
                "solved/prompts": solved.rows.size,
                "solved/share": batches.reduce((sum, { ofPool }) => sum + ofPool, 0) / (batches.length * batchSize)
              }),
              lr: update.learningRate,
              episode: (n + 1) * batchSize * groupSize
            }
          })
          return {
            passed: { rows: first.rows, numbers: temperature === 1 ? first.logps : null },
            learn,
            tokens: all.logps.length + episodes.logps.length * stage.numIterations,
            sampled: () => ({
              prompt: asks[chosen[0]!]!.prompt,
              completion: transcriptOf(codec, first.first),
              score: first.scores[0]!
            })
          }
        })
      }
    }))
})

/** Joins some rows of each rollout into a single rollout. */
const joined = (
  parts: ReadonlyArray<{ readonly episodes: Episodes; readonly rows: ReadonlyArray<number> }>
) => {
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
    metrics: {}
  }
}
