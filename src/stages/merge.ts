/**
 * Merges the weights of several models; see `dsl/stages/Merge.ts` and, for the formulas, `src/merging`. KL of merged
 * policies is then measured on held prompts: from every parent, without a cap, and from the initial model of each cap.
 */
import * as Effect from "effect/Effect"
import { Diverged, Unmergeable, unsoundWeights, type UnusableData } from "../../dsl/Errors.ts"
import { label as nameOf } from "../../dsl/Render.ts"
import type { Merge } from "../../dsl/stages/Merge.ts"
import { encodePairs, encodePrompts } from "../data/encode.ts"
import type { PreferenceRow, PromptRow, TextRow } from "../data/rows.ts"
import { encodeWindows } from "../data/windows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Engine, Tensors, Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { measureKl } from "../ledger/measure.ts"
import { afterLast } from "../losses/ragged.ts"
import { best, type Judged, type Soup } from "../merging/best.ts"
import { dare } from "../merging/dare.ts"
import { greedySoup } from "../merging/greedySoup.ts"
import { linear } from "../merging/linear.ts"
import { posterior } from "../merging/posterior.ts"
import { slerp, taskSlerp } from "../merging/slerp.ts"
import { taskArithmetic } from "../merging/taskArithmetic.ts"
import { ties } from "../merging/ties.ts"
import type { Composed } from "../rewards/composed.ts"
import { Judge, type Unjudged } from "../rewards/judge.ts"
import { judgeable } from "../rewards/rewarding.ts"
import { mismatches } from "../model/sameNetwork.ts"
import { RunLog } from "../store/runLog.ts"
import { withinCaps } from "../training/budgets.ts"
import { heldAtEnd } from "../training/heldAtEnd.ts"
import { measuredBy } from "../training/movePolicy.ts"
import { finite, NotFinite, observer } from "../training/loop.ts"
import { observedRows } from "../training/observedRows.ts"
import { openReward } from "../training/openReward.ts"
import { CurrentRehearsal, type Rehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** A model on a wire, and its name in the ledger. */
export interface Parent {
  readonly label: string
  readonly weights: Weights
}

interface Wires {
  readonly models: Readonly<Record<string, Parent>>
  readonly base: Weights | undefined
  readonly held: ReadonlyArray<PromptRow> | undefined
  readonly reward: Composed<Weights> | undefined
  readonly preferences: ReadonlyArray<PreferenceRow> | undefined
  readonly text: ReadonlyArray<TextRow> | undefined
}

const kept = "the models that it merges"

/** Fails unless all models are of one network. */
const sameNetwork = Effect.fnUntraced(function*(stage: string, models: Readonly<Record<string, Weights>>) {
  const [[first, of], ...others] = Object.entries(models) as [[string, Weights], ...Array<[string, Weights]>]
  for (const [name, weights] of others) {
    const [found, ...more] = mismatches(of, weights)
    if (found === undefined) continue
    const { problem, what } = found
    return yield* new Unmergeable({ stage, models: [first, name], tensor: what, problem, mismatches: more.length + 1 })
  }
})

type Unscored = Unjudged | UnusableData | NotFinite

type Score = (tensors: Tensors) => Effect.Effect<number, Unscored, Judge>

/** The score of weights on the held-out set; equal weights give equal numbers. */
const judge = Effect.fnUntraced(function*(
  engine: Engine,
  stage: Merge,
  wires: Wires,
  like: Weights,
  scope: Scope
) {
  const { label } = scope
  const codec = engine.codec(like)
  const use = { stage: label, codec, context: Infinity }
  if (wires.preferences !== undefined) {
    const pairs = yield* encodePairs(use, wires.preferences)
    const rows = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]
    const score: Score = Effect.fnUntraced(function*(tensors) {
      const scorer = yield* observer(engine.scorer, { ...like, tensors })
      const scores = afterLast(scorer.values(rows).values, offsetsOf(rows))
      return pairs.filter((_, i) => scores[i]! > scores[pairs.length + i]!).length / pairs.length
    }, Effect.scoped)
    return score
  }
  const held = wires.held!
  const prompts = yield* encodePrompts(use, held)
  yield* judgeable(label, yield* Judge, wires.reward!, held)
  const reward = yield* openReward(scope, wires.reward!, engine.scorer)
  const score: Score = Effect.fnUntraced(function*(tensors) {
    const { make } = observedRows(yield* observer(engine.policy, { ...like, tensors }), {
      name: "a model",
      stage: label,
      rows: held,
      prompts,
      sampling: { maxNewTokens: stage.maxNewTokens!, temperature: 1, stop: codec.stop },
      seed: (i) => `${scope.stream}/soup/${i}`,
      decode: codec.decode,
      gold: undefined,
      initial: undefined,
      reward
    })
    const { rows } = yield* make(0, held.length)
    return rows.reduce((sum, { proxy }) => sum + proxy!, 0) / rows.length
  }, Effect.scoped)
  return score
})

/** Gives each model the score that it asks for. */
const judged = Effect.fnUntraced(function*(asking: Judged, score: Score) {
  let step = asking.next()
  while (step.done !== true) step = asking.next(yield* score(step.value))
  return step.value
})

/** log p(document) under a model, nats, of each document. */
const likelihood = (engine: Engine, texts: ReadonlyArray<TextRow>, stage: string) =>
  Effect.fnUntraced(function*(weights: Weights) {
    const policy = yield* observer(engine.policy, weights)
    const use = { stage, codec: engine.codec(weights), context: policy.context }
    const documents = yield* encodeWindows(use, texts)
    return documents.map(({ rows }) => policy.logprobs(rows).logps.reduce((sum, logp) => sum + logp, 0))
  }, Effect.scoped)

interface Merged {
  readonly tensors: Tensors
  readonly soup?: Soup
  /** The weights of `Posterior`. */
  readonly posterior?: Readonly<Record<string, number>>
}

/** The merged weights, and the ingredients of a greedy soup or the weights by Bayes' rule. */
const combine = <E, R>(
  { method }: Merge,
  models: Readonly<Record<string, Tensors>>,
  base: Tensors | undefined,
  { stream }: Scope,
  soup: (asking: Judged) => Effect.Effect<Soup, E, R>,
  likelihoods: () => Effect.Effect<Readonly<Record<string, ReadonlyArray<number>>>, UnusableData>
): Effect.Effect<Merged, E | UnusableData, R> => {
  switch (method._tag) {
    case "Linear":
      return Effect.succeed({ tensors: linear(models, method) })
    case "GreedySoup":
      return Effect.map(soup(greedySoup(models)), (soup) => ({ tensors: soup.tensors, soup }))
    case "Best":
      return Effect.map(soup(best(models)), (soup) => ({ tensors: soup.tensors, soup }))
    case "Posterior":
      return Effect.map(likelihoods(), (logps) => {
        const weights = posterior(logps, method.top)
        return { tensors: linear(models, { weights, normalize: false }), posterior: weights }
      })
    case "Slerp":
      return Effect.succeed({ tensors: slerp(models, method) })
    case "TaskArithmetic":
      return Effect.succeed({ tensors: taskArithmetic(base!, models, method) })
    case "TaskSlerp":
      return Effect.succeed({ tensors: taskSlerp(base!, models, method) })
    case "Ties":
      return Effect.succeed({ tensors: ties(base!, models, method) })
    case "Dare":
      return Effect.succeed({ tensors: dare(base!, models, { ...method, seed: `${stream}/dare` }) })
  }
}

/** The model calls of a merge, from shapes alone: a judge scores each model, and a greedy soup each soup with one more. */
const rehearse = Effect.fnUntraced(function*(
  { method }: Merge,
  scorer: ReturnType<typeof judge>,
  likelihoods: Effect.Effect<unknown, UnusableData>,
  tensors: Tensors,
  count: number,
  rehearsal: Rehearsal
) {
  if (method._tag === "Posterior") yield* rehearsal.times(count, likelihoods)
  if ("metric" in method) {
    const score = Effect.flatMap(scorer, (score) => score(tensors)).pipe(Effect.scoped)
    yield* rehearsal.times(method._tag === "Best" ? count : 2 * count - 1, score)
  }
  return { tensors } satisfies Merged as Merged
})

/** KL from each parent, reported once: not of those that a cap is held against. */
const measureParents = Effect.fnUntraced(function*(
  by: NonNullable<ReturnType<typeof measuredBy>>,
  wires: Wires,
  merged: Weights,
  scope: Scope
) {
  const [engine, log] = [yield* CurrentEngine, yield* RunLog]
  const policy = yield* observer(engine.policy, merged)
  const codec = engine.codec(merged)
  const { stop } = codec
  const held = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, by.held)
  const { maxNewTokens, measureSamples: samples } = by.measured
  const capped = new Set(scope.limits.kl.map(({ from }) => nameOf(from)))
  for (const { label, weights } of Object.values(wires.models).filter(({ label }) => !capped.has(label))) {
    // One parent at a time: closed before the next is opened.
    const found = yield* Effect.scoped(Effect.map(
      observer(engine.policy, weights),
      (parent) => measureKl(policy, parent, held, { samples, maxNewTokens, stop, seed: `${scope.stream}/measure/1` })
    ))
    yield* finite({ [`kl from ${label}`]: found.mean })
    const how = {
      against: "parent",
      estimator: "rao-blackwell",
      direction: "reverse",
      temperature: 1,
      cap: null
    } as const
    const measurement = { ...found, asked: samples, stage: scope.label, step: 1, from: label, ...how }
    yield* log.emit({ _tag: "Measured", measurement })
  }
}, Effect.scoped)

/** A number that is not finite is a typed failure of the stage. */
const sound = <A, E, R>(
  effect: Effect.Effect<A, E | NotFinite, R>,
  { label }: Scope
): Effect.Effect<A, E | Diverged, R> =>
  Effect.mapError(effect, (error) => {
    if (!(error instanceof NotFinite)) return error
    const { quantity, value } = error
    return new Diverged({ stage: label, step: 1, quantity, value: String(value), kept, remedy: unsoundWeights })
  })

const named = (prefix: string, numbers: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(numbers).map(([name, x]) => [`${prefix}_${name}`, x]))

export const merge = Effect.fn("merge")(function*(stage: Merge, wires: Wires, scope: Scope) {
  const [engine, log] = [yield* CurrentEngine, yield* RunLog]
  const weights = Object.fromEntries(Object.entries(wires.models).map(([name, { weights }]) => [name, weights]))
  yield* sameNetwork(scope.label, wires.base === undefined ? weights : { base: wires.base, ...weights })
  yield* log.emit({ _tag: "Started", stage: scope.label, steps: 1, from: 0 })
  const like = Object.values(weights)[0]!
  const models = Object.fromEntries(Object.entries(weights).map(([name, { tensors }]) => [name, tensors]))
  const scorer = judge(engine, stage, wires, like, scope)
  const rehearsal = yield* CurrentRehearsal
  const likelihoodOf = likelihood(engine, wires.text ?? [], scope.label)
  const { posterior: bayes, soup, tensors } = rehearsal === null
    ? yield* combine(
      stage,
      models,
      wires.base?.tensors,
      scope,
      (asking) =>
        Effect.flatMap(scorer, (score) => judged(asking, score)).pipe(Effect.scoped, (of) => sound(of, scope)),
      () => Effect.all(Object.fromEntries(Object.entries(weights).map(([name, of]) => [name, likelihoodOf(of)])))
    )
    : yield* sound(
      rehearse(stage, scorer, likelihoodOf(like), like.tensors, Object.keys(models).length, rehearsal),
      scope
    )
  const merged: Weights = { config: like.config, tensors, tokenizer: like.tokenizer }
  const by = measuredBy({ ...stage, measureEvery: 1 }, wires.held, scope)
  if (by !== null) {
    // The best is one of its parents.
    if (stage.method._tag !== "Best") yield* sound(measureParents(by, wires, merged, scope), scope)
    yield* heldAtEnd(scope, merged, { ...by, kept })
  }
  const metrics = bayes !== undefined ? named("posterior/weight", bayes) : soup === undefined ? {} : {
    "soup/score": soup.score,
    ...named("soup/score", soup.scores),
    ...Object.fromEntries(
      Object.keys(models).map((name) => [`soup/has_${name}`, Number(soup.ingredients.includes(name))])
    )
  }
  yield* log.emit({ _tag: "Step", stage: scope.label, step: 1, steps: 1, tokens: 0, metrics })
  yield* withinCaps(scope, Effect.succeed(kept))
  yield* log.emit({ _tag: "Finished", stage: scope.label, tokens: 0 })
  return merged
}, Effect.scoped)
