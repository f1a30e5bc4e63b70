/**
 * Random well-typed pipelines. One generator per kind of artefact draws a step; a step picks its inputs from the
 * results of earlier steps, newest first, so nodes are shared and shrinking goes towards short chains.
 *
 * Drawn pipelines satisfy `check`: policies that spend KL are capped, and held-out prompts are never trained on. Sizes
 * are small enough to simulate (1 step, batches of at most 4, at most 4 new tokens).
 */
import fc from "fast-check"
import type * as Artifact from "../../../dsl/Artifact.ts"
import * as Judge from "../../../dsl/Judge.ts"
import * as Render from "../../../dsl/Render.ts"
import type { Making } from "../../../dsl/Stage.ts"
import * as Source from "../../../dsl/Source.ts"
import * as Evaluate from "../../../dsl/stages/Evaluate.ts"
import * as Verifier from "../../../dsl/Verifier.ts"
import { alignments } from "./alignment.ts"
import { gates, merges } from "./composition.ts"
import { composedRewards } from "./composedRewards.ts"
import { chosen, curated, scored } from "./data.ts"
import { distillations } from "./distillation.ts"
import { bases, sfts } from "./fineTuning.ts"
import { gold, index, maxNewTokens, seed, text } from "./parameters.ts"
import { preferences, rewards } from "./preferences.ts"
import { grpos, ppos } from "./reinforcement.ts"
import { family, onShelf, pick, type Shelf, type ShelfStep, stocked } from "./shelf.ts"
import { demonstrations, helds, prompts, texts } from "./sources.ts"

/** Steps that make a policy, by their main operation. */
const policies: Readonly<
  Record<Making<"Policy"> | "Merge", { readonly weight: number; readonly arbitrary: fc.Arbitrary<ShelfStep> }>
> = {
  Sft: { weight: 3, arbitrary: sfts },
  Ppo: { weight: 3, arbitrary: ppos },
  Grpo: { weight: 2, arbitrary: grpos },
  Dpo: { weight: 1, arbitrary: alignments },
  Kto: { weight: 1, arbitrary: alignments },
  Distill: { weight: 1, arbitrary: distillations },
  OnPolicyDistill: { weight: 1, arbitrary: distillations },
  Gate: { weight: 1, arbitrary: gates },
  Merge: { weight: 1, arbitrary: merges }
}

/** Steps by the kind of their result. */
export const steps = {
  Text: texts,
  Prompts: prompts,
  Held: helds,
  Demonstrations: demonstrations,
  BaseModel: bases,
  Policy: fc.oneof(...Object.values(policies)),
  Preferences: preferences,
  Scored: scored,
  Chosen: chosen,
  Curated: curated,
  RewardModel: rewards
} as const

/** One step of each kind, so that every step finds its inputs. */
const stocking: fc.Arbitrary<ReadonlyArray<ShelfStep>> = fc.tuple(
  texts,
  prompts,
  helds,
  demonstrations,
  bases,
  preferences
)

/** A pipeline, printed as text when a law fails: a graph of hundreds of shared nodes has no other readable form. */
export interface Drawn {
  readonly root: Artifact.Any
}

const drawn = (root: Artifact.Any): Drawn =>
  Object.assign({ root }, { [fc.toStringMethod]: () => `\n${Render.text(root)}\n` })

export interface Options {
  /** Steps of your own operations, drawn as often as Keel's own. */
  readonly own?: ReadonlyArray<fc.Arbitrary<ShelfStep>>
  /** Steps drawn after the first of each kind; a step makes up to three nodes. */
  readonly steps?: number
  readonly atLeast?: number
}

/** An evaluation of policies of one family: a whole pipeline, hundreds of nodes for `atLeast: 300`. */
export const pipelines = ({ atLeast = 0, own: extra = [], steps: size = 30 }: Options = {}): fc.Arbitrary<Drawn> =>
  fc.record({
    stocking,
    steps: fc.array(fc.oneof(...Object.values(steps), steps.Policy, steps.Policy, ...extra), {
      minLength: atLeast,
      maxLength: size,
      size: "max"
    }),
    family,
    initial: index,
    reward: fc.option(index),
    composed: composedRewards,
    /** The place of a policy that judges, for a win rate. */
    judge: fc.option(index),
    held: index,
    models: fc.uniqueArray(text, { minLength: 1, maxLength: 5 }),
    everything: fc.nat({ max: 3 }).map((n) => n > 0),
    params: fc.record({
      gold,
      maxNewTokens,
      seed,
      shown: fc.nat({ max: 2 }),
      verifiers: fc.constantFrom(undefined, [Verifier.ended(), Verifier.noRepetition()]),
      completionsPerPrompt: fc.integer({ min: 1, max: 3 }),
      text: fc.boolean()
    })
  }).map((d) => {
    const shelf: Shelf = {
      text: [],
      prompts: [],
      held: [],
      demonstrations: [],
      preferences: [],
      policies: new Map(),
      rewards: new Map(),
      scored: []
    }
    for (const step of [...d.stocking, ...d.steps]) step(shelf)
    const family = stocked(shelf, d.family)
    const policies = shelf.policies.get(family)!
    const own = onShelf(shelf.rewards, family)
    const names = d.everything ? policies.map((_, i) => `${d.models[0]!}${i}`) : d.models
    const models = Object.fromEntries(names.map((name, i) => [name, pick(policies, i)]))
    const { completionsPerPrompt, text, verifiers, ...params } = d.params
    return drawn(Evaluate.make(
      {
        initial: pick(policies, d.initial),
        prompts: pick(shelf.held, d.held),
        ...(d.reward === null || own.length === 0
          ? {}
          : { reward: d.composed(pick(own, d.reward), pick(policies, d.initial)) }),
        ...(text ? { text: Source.text(Source.tales({ count: 4, seed: 1_000_000 })) } : {}),
        ...(d.judge === null ? {} : { judge: pick(policies, d.judge) })
      },
      models,
      {
        ...params,
        ...(d.judge === null ? {} : { winRate: Judge.winRate({ against: names[0]! }) }),
        ...(verifiers === undefined ? {} : { verifiers, passAt: [completionsPerPrompt] }),
        ...(completionsPerPrompt === 1 ? {} : { completionsPerPrompt })
      }
    ))
  })
