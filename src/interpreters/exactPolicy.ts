/**
 * What enumeration says of a policy that learned from a reward: the most reward that any policy has at its distance, and, if its training
 * aims at one, its optimum π* ∝ π_ref exp(r/β).
 */
import * as Effect from "effect/Effect"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { Grpo } from "../../dsl/stages/Grpo.ts"
import type { Ppo } from "../../dsl/stages/Ppo.ts"
import { codecOf } from "../engine/tabular/codec.ts"
import { answered, passesChecks } from "../engine/tabular/data.ts"
import { completions, expectedReward, kl, mostReward, optimum, type Table } from "../engine/tabular/exact.ts"
import { CurrentEngine } from "../engine/current.ts"
import { tabular } from "../engine/tabular/tabular.ts"
import type { World } from "../engine/tabular/world.ts"
import type { Weights } from "../engine/engine.ts"
import { noOptimum } from "../ledger/trained.ts"
import type { Composed, KindOf } from "../rewards/composed.ts"
import { atOnce } from "../rewards/judge.ts"
import { opened } from "../rewards/rewarding.ts"
import * as MemoryStore from "../store/memory.ts"
import { RunLog } from "../store/runLog.ts"
import { judgeOpened } from "../training/openReward.ts"
import { scored } from "../training/scoring.ts"

/** Of the stage's own reward, all its parts and penalties included; KL in nats per sequence. */
export interface Attainable {
  /** The model that KL is taken from: the reference, or the start where there is none. */
  readonly from: string
  /** KL(π‖from). */
  readonly kl: number
  /** E[r] of `from`. */
  readonly start: number
  /** E_π[r]. */
  readonly reward: number
  /** The highest E[r] of all policies with that KL. */
  readonly best: number
}

export interface Optimum {
  /** KL(π*‖π_ref), the closed form. */
  readonly kl: number
  /** KL(π‖π_ref). */
  readonly klNow: number
  /** KL(π‖π*): 0 when the stage has converged. */
  readonly distance: number
  readonly gold: number
}

/** The kind of a prompt, where rows have no columns: each kind in turn. */
export const kindIn = (world: World): KindOf => ({ prompt }, _, kinds) =>
  kinds[world.prompts.indexOf(prompt) % kinds.length]

/** The score of every completion, as the stage's own rollouts are scored at its end; whitening leaves it as it is. */
export const scoresOf = Effect.fnUntraced(
  function*(world: World, stage: Grpo | Ppo, reward: Composed<Weights> | null) {
    const codec = codecOf(world)
    const passes = passesChecks(world)
    const all = completions(world)
    const scoring = {
      reward: reward === null
        ? null
        : yield* opened(
          reward,
          (weights) => Effect.sync(() => tabular(world).scorer(weights)),
          () => codec,
          (leaf) => judgeOpened({ key: "", label: stage._tag, limits: { kl: [] } }, leaf)
        ),
      codec,
      stage: stage._tag,
      verifiers: stage.verifiers ?? [],
      judge: { verifies: atOnce(({ completion, prompt }) => passes(prompt, completion)), kindOf: kindIn(world) },
      missingEosPenalty: stage.missingEosPenalty,
      maxNewTokens: stage.maxNewTokens,
      overlong: stage.overlong
    }
    const now = { step: Infinity, running: {}, whitened: false }
    const table: Array<Float64Array> = []
    for (const { answer, prompt } of answered(world)) {
      const rows = all.map(({ tokens }) => ({ prompt: codec.encodePrompt(prompt), completion: tokens }))
      const ended = all.map(({ finished, tokens }) => ({ completion: tokens, finished, logps: new Float64Array() }))
      table.push((yield* scored(scoring, rows, ended, all.map(() => ({ prompt, answer, row: 1 })), now)).scores)
    }
    return table as Table
  },
  (scores, world) =>
    scores.pipe(
      Effect.provideService(CurrentEngine, tabular(world)),
      Effect.provideService(RunLog, { emit: () => Effect.void }),
      Effect.provide(MemoryStore.layer),
      Effect.scoped
    )
)

/** Why this stage has no such optimum in this world. */
export const withoutOptimum = (
  world: World,
  stage: Grpo | Ppo,
  reward: Artifact.Any | undefined
): ReadonlyArray<string> => [
  ...noOptimum(stage, reward),
  ...stage.environment === undefined
    ? []
    : ["an environment answers it, and its reward is not of the completion alone"],
  ...stage.referencePolicy._tag === "ResetEvery" ? ["its reference is moved to it"] : [],
  ...stage.maxNewTokens < world.horizon ? [`maxNewTokens ${stage.maxNewTokens} cuts the world's completions`] : []
]

export const attainable = (now: Table, anchor: Table, reward: Table, from: string): Attainable => {
  const distance = kl(now, anchor).mean
  const [start, own] = [anchor, now].map((of) => expectedReward(of, reward).mean) as [number, number]
  return { from, kl: distance, start, reward: own, best: mostReward(anchor, reward, distance) }
}

export const optimumOf = (now: Table, reference: Table, reward: Table, gold: Table, beta: number): Optimum => {
  const { kl: best, logps } = optimum(reference, reward, beta)
  return {
    kl: best.mean,
    klNow: kl(now, reference).mean,
    distance: kl(now, logps).mean,
    gold: expectedReward(logps, gold).mean
  }
}
