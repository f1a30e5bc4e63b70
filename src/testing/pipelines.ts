/**
 * Random well-typed pipelines. One generator per kind of artefact draws a step; a step picks its inputs from what the steps
 * before it have made, newest first, so nodes are shared and shrinking goes towards short chains.
 *
 * What is drawn satisfies `check`: what spends KL is capped, held-out prompts are never trained on. Sizes are small enough to
 * simulate (1 step, batches of at most 4, at most 4 new tokens).
 */
import fc from "fast-check"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { Dimension } from "../../dsl/Budget.ts"
import * as Advantage from "../../dsl/Advantage.ts"
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import * as Distillation from "../../dsl/Distillation.ts"
import * as Gold from "../../dsl/Gold.ts"
import * as Kl from "../../dsl/Kl.ts"
import * as Lora from "../../dsl/Lora.ts"
import * as MergeMethod from "../../dsl/MergeMethod.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as PreferenceLoss from "../../dsl/PreferenceLoss.ts"
import * as Render from "../../dsl/Render.ts"
import * as RewardLoss from "../../dsl/RewardLoss.ts"
import * as Source from "../../dsl/Source.ts"
import { definitionOf } from "../../dsl/Stage.ts"
import * as Compare from "../../dsl/stages/Compare.ts"
import * as Dpo from "../../dsl/stages/Dpo.ts"
import * as Merge from "../../dsl/stages/Merge.ts"
import * as Kto from "../../dsl/stages/Kto.ts"
import * as Decontaminate from "../../dsl/stages/Decontaminate.ts"
import * as Deduplicate from "../../dsl/stages/Deduplicate.ts"
import * as Distill from "../../dsl/stages/Distill.ts"
import * as Ensemble from "../../dsl/stages/Ensemble.ts"
import * as Evaluate from "../../dsl/stages/Evaluate.ts"
import * as Filter from "../../dsl/stages/Filter.ts"
import * as Gate from "../../dsl/stages/Gate.ts"
import * as Mix from "../../dsl/stages/Mix.ts"
import * as Pair from "../../dsl/stages/Pair.ts"
import * as Grpo from "../../dsl/stages/Grpo.ts"
import * as OnPolicyDistill from "../../dsl/stages/OnPolicyDistill.ts"
import * as Ppo from "../../dsl/stages/Ppo.ts"
import * as Pretrain from "../../dsl/stages/Pretrain.ts"
import * as RewardModeling from "../../dsl/stages/RewardModeling.ts"
import * as Sample from "../../dsl/stages/Sample.ts"
import * as Score from "../../dsl/stages/Score.ts"
import * as Select from "../../dsl/stages/Select.ts"
import * as Sft from "../../dsl/stages/Sft.ts"
import * as Split from "../../dsl/stages/Split.ts"
import * as Verifier from "../../dsl/Verifier.ts"
import { groupAdvantages, policyLosses, referencePolicies } from "./policyLosses.ts"

/** An artefact of a kind of which the compiler knows nothing else. */
export type Of<K extends Artifact.Kind> = Artifact.Artifact<K, string, never, Dimension, number, unknown, string>
export type Policy = Of<"BaseModel" | "Policy">

/** What has been made so far. */
export interface Shelf {
  readonly text: Array<Of<"Text">>
  readonly prompts: Array<Of<"Prompts">>
  readonly held: Array<Of<"Prompts">>
  readonly demonstrations: Array<Of<"Demonstrations">>
  readonly preferences: Array<Of<"Preferences">>
  /** By family. */
  readonly policies: Map<string, Array<Policy>>
  readonly rewards: Map<string, Array<Of<"RewardModel">>>
  readonly scored: Array<Of<"ScoredCompletions">>
}

/** Makes one artefact, and what it needs when the shelf has none. */
export type Step = (shelf: Shelf) => void

/** The n-th newest. */
export const pick = <A>(shelf: ReadonlyArray<A>, n: number): A => shelf[shelf.length - 1 - (n % shelf.length)]!

const seed = fc.nat({ max: 2 ** 31 - 1 })
const index = fc.nat({ max: 999 })
const count = fc.integer({ min: 4, max: 12 })
const text = fc.string({ minLength: 1, maxLength: 8, unit: "binary" })
const rate = fc.double({ min: 1e-6, max: 1e-3, noNaN: true })
const gold = fc.constantFrom<Gold.Gold>(Gold.tales, Gold.stories)
const maxNewTokens = fc.integer({ min: 1, max: 4 })
const batchSize = fc.integer({ min: 1, max: 4 })

/** Some of the fields, often few of them, so that defaults are met too. */
const some = <A extends object>(fields: { readonly [K in keyof A]: fc.Arbitrary<A[K]> }) =>
  fc.record<A, never>(fields, { requiredKeys: [] })

const optimising = {
  schedule: fc.constantFrom("constant" as const, "linear" as const, "cosine" as const),
  warmupSteps: fc.nat({ max: 1 }),
  adamBeta1: fc.double({ min: 0, max: 0.99, noNaN: true }),
  adamBeta2: fc.double({ min: 0, max: 0.99, noNaN: true }),
  adamEpsilon: fc.double({ min: 1e-9, max: 1e-6, noNaN: true }),
  weightDecay: fc.double({ min: 0, max: 0.1, noNaN: true }),
  maxGradNorm: fc.double({ min: 0.1, max: 10, noNaN: true }),
  checkpointEvery: fc.integer({ min: 1, max: 5 }),
  precision: fc.constantFrom("f32" as const, "bf16" as const),
  recompute: fc.boolean(),
  seed
}

/** A model from nothing has no weights to adapt. */
const pretraining = some(optimising)

const training = some({
  ...optimising,
  lora: fc.record({
    rank: fc.integer({ min: 1, max: 4 }),
    alpha: fc.constantFrom(1, 16),
    targetModules: fc.constantFrom(Lora.allLinear, ["q_proj", "v_proj"] as const)
  })
})

const origin = (split: "train" | "held"): fc.Arbitrary<Source.Origin> =>
  fc.oneof(
    fc.record({ count, seed }).map((options) => Source.tales({ ...options, split })),
    fc.record({
      path: text,
      options: some({ offset: fc.nat({ max: 9 }), limit: count, fields: fc.dictionary(text, text) })
    })
      .map(({ options, path }) => Source.file(`${split}/${path}`, { limit: 8, ...options })),
    fc.record({ path: text, words: count, limit: count, continuation: count })
      .map(({ path, ...options }) => Source.openings(`${split}/${path}`, options))
  )

const texts: fc.Arbitrary<Step> = origin("train").map((of) => (shelf) => void shelf.text.push(Source.text(of)))
const prompts: fc.Arbitrary<Step> = origin("train").map((of) => (shelf) => void shelf.prompts.push(Source.prompts(of)))
const helds: fc.Arbitrary<Step> = origin("held").map((of) => (shelf) => void shelf.held.push(Source.prompts(of)))
const demonstrations: fc.Arbitrary<Step> = origin("train")
  .map((of) => (shelf) => void shelf.demonstrations.push(Source.demonstrations(of)))

const shape = fc.constantFrom(
  { dim: 4, layers: 1, heads: 1, kvHeads: 1, ffn: 4, context: 16 },
  { dim: 8, layers: 2, heads: 2, kvHeads: 1, ffn: 8, context: 32 }
)

const families = ["tales", "other"]
const family = fc.constantFrom(...families)

/** Those of a family; an empty list is put there when there is none. */
export const onShelf = <A>(shelf: Map<string, Array<A>>, of: string): Array<A> => {
  if (!shelf.has(of)) shelf.set(of, [])
  return shelf.get(of)!
}

const bases: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ family, shape, batchSize, learningRate: rate, training: pretraining, index }).map(
    ({ family, index, shape, training, ...params }) => (shelf: Shelf) =>
      void onShelf(shelf.policies, family).push(
        Pretrain.make({ text: pick(shelf.text, index) }, { ...training, ...params, family, model: shape, steps: 1 })
      )
  ),
  fc.record({ family, path: text }).map(({ family, path }) => (shelf: Shelf) =>
    void onShelf(shelf.policies, family).push(Checkpoint.huggingFace(family, path))
  )
)

/** The family drawn, or the one that has models when it has none. */
export const stocked = (shelf: Shelf, family: string): string =>
  shelf.policies.has(family) ? family : [...shelf.policies.keys()][0]!

const sfts: fc.Arbitrary<Step> = fc.record({
  family,
  base: index,
  data: index,
  params: fc.record({
    batchSize,
    learningRate: rate,
    training,
    reduction: fc.constantFrom("token-mean" as const, "sum" as const),
    options: some({
      batchTokens: fc.integer({ min: 20, max: 60 }),
      loss: fc.constantFrom("completion" as const, "assistant" as const, "all" as const),
      maxLength: fc.integer({ min: 8, max: 20 }),
      truncation: fc.constantFrom("error" as const, "keep-start" as const, "keep-end" as const)
    })
  })
}).map(({ base, data, family, params: { options, training, ...params } }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, family))
  policies.push(
    Sft.make({ base: pick(policies, base), demonstrations: pick(shelf.demonstrations, data) }, {
      ...training,
      ...options,
      ...params
    })
  )
})

const preferences: fc.Arbitrary<Step> = fc.oneof(
  origin("train").map((of) => (shelf: Shelf) => void shelf.preferences.push(Source.preferences(of))),
  fc.record({
    family,
    policy: index,
    data: index,
    params: fc.record({ gold, maxNewTokens, seed, completionsPerPrompt: fc.integer({ min: 2, max: 3 }) })
  }).map(({ data, family, params, policy }) => (shelf: Shelf) => {
    const policies = onShelf(shelf.policies, stocked(shelf, family))
    shelf.preferences.push(Compare.make({ policy: pick(policies, policy), prompts: pick(shelf.prompts, data) }, params))
  })
)

const center = fc.constantFrom(0, 0.01)
const judged = fc.constantFrom("pairs" as const, "rankings" as const, "answers" as const, "steps" as const)

const rewards: fc.Arbitrary<Step> = fc.record({
  family,
  init: index,
  data: index,
  judged,
  origin: origin("train"),
  listwise: fc.boolean(),
  center,
  process: fc.record({
    labels: fc.constantFrom("binary" as const, "ternary" as const),
    aggregation: fc.constantFrom("min" as const, "product" as const),
    separator: fc.constantFrom("\n", " .", "")
  }),
  params: fc.record({ batchSize, learningRate: rate, training })
}).map(
  ({ center, data, family, init, judged, listwise, origin, params: { training, ...params }, process }) => (shelf) => {
    const of = stocked(shelf, family)
    const from = pick(onShelf(shelf.policies, of), init)
    const [all, own] = [{ ...training, ...params }, onShelf(shelf.rewards, of)]
    const centred = { centerRewardsCoefficient: center }
    switch (judged) {
      case "pairs":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: pick(shelf.preferences, data) },
            { ...all, loss: RewardLoss.bradleyTerry(centred) }
          )
        )
      case "rankings":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: Source.rankings(origin) },
            { ...all, loss: listwise ? RewardLoss.plackettLuce : RewardLoss.kWise(centred) }
          )
        )
      case "answers":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: Source.unpairedPreferences(origin) },
            { ...all, loss: RewardLoss.outcome }
          )
        )
      case "steps":
        return void own.push(
          RewardModeling.make(
            { init: from, preferences: Source.stepwise(origin) },
            { ...all, loss: RewardLoss.process(process) }
          )
        )
    }
  }
)

const ensembles = fc.constantFrom(Ensemble.mean, Ensemble.worstCase, Ensemble.uncertaintyWeighted({ lambda: 0.5 }))

/** Distillation: off-policy from the teacher or from demonstrations, and on-policy within a cap. */
const distillations: fc.Arbitrary<Step> = fc.record({
  family,
  student: index,
  teacher: index,
  data: index,
  held: index,
  how: fc.constantFrom("teacher" as const, "demonstrations" as const, "on-policy" as const),
  whole: fc.boolean(),
  divergence: fc.record({ beta: fc.double({ min: 0, max: 1, noNaN: true }), temperature: fc.constantFrom(1, 0.9) }),
  lambda: fc.double({ min: 0, max: 1, noNaN: true }),
  from: index,
  slack: fc.constantFrom(0, 500),
  allowance: fc.integer({ min: 1, max: 40_000 }),
  params: fc.record({ batchSize, learningRate: rate, training })
}).map(({ divergence, params: { training, ...params }, ...drawn }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, drawn.family))
  const both = { student: pick(policies, drawn.student), teacher: pick(policies, drawn.teacher) }
  const jsd = Distillation.generalizedJsd(divergence)
  const all = { ...training, ...params }
  if (drawn.how === "on-policy") {
    const policy = OnPolicyDistill.make(
      { ...both, prompts: pick(shelf.prompts, drawn.data), held: pick(shelf.held, drawn.held) },
      {
        ...all,
        ...(drawn.whole ? { objective: Distillation.reverseKl() } : { objective: jsd, lambda: drawn.lambda }),
        steps: 1,
        maxNewTokens: 3,
        measureSamples: 2,
        allowance: Kl.mnatsPerSequence<number>(drawn.allowance)
      }
    )
    return void policies.push(capped(policy, { index: drawn.from, slack: drawn.slack }))
  }
  const objective = drawn.whole ? Distillation.sequenceLevel : jsd
  policies.push(
    drawn.how === "teacher"
      ? Distill.make({ ...both, prompts: pick(shelf.prompts, drawn.data) }, { ...all, objective, maxNewTokens: 3 })
      : Distill.make({ ...both, demonstrations: pick(shelf.demonstrations, drawn.data) }, { ...all, objective })
  )
})

/** KL allotted on the way back from `of`, up to each model it descends from. */
const ancestors = (of: Artifact.Any): ReadonlyArray<{ readonly at: Policy; readonly allotted: number }> => {
  const found: Array<{ readonly at: Policy; readonly allotted: number }> = []
  let allotted = 0
  let at: Artifact.Any | undefined = of
  while (at !== undefined) {
    const { params, wires }: Artifact.Node = at.node
    const definition = definitionOf(at.node)
    if (definition?.spendsKl === true) {
      allotted += (params as { readonly allowance: { readonly mnats: number } }).allowance.mnats
    }
    at = wires[definition?.parent ?? ""]
    if (at !== undefined && at.node.op !== "Cap") found.push({ at: at as Policy, allotted })
  }
  return found
}

/**
 * A policy that spends KL, capped: from the `index`-th of the models it descends from, with `slack` milli-nats more than is
 * allotted on the way.
 */
export const capped = (
  policy: Of<"Policy">,
  { index, limits = {}, slack }: {
    readonly index: number
    readonly slack: number
    readonly limits?: Omit<Pipeline.Limits, "kl" | "from">
  }
): Policy => {
  const { allotted, at } = pick(ancestors(policy), index)
  return Pipeline.cap(policy, {
    ...limits,
    kl: Kl.mnatsPerSequence<number>(allotted + slack),
    from: at
  }) as Policy
}

const ppos: fc.Arbitrary<Step> = fc.record({
  family,
  init: index,
  reference: index,
  reward: index,
  /** The reward model, or an ensemble of it and the one on the wire `value`. */
  ensemble: fc.option(ensembles),
  value: index,
  prompts: index,
  held: index,
  ptx: fc.boolean(),
  from: index,
  slack: fc.constantFrom(0, 1, 500),
  limits: some({ tokens: fc.constant(1e9), memory: fc.constant(1e12), seconds: fc.constant(3600) }),
  allowance: fc.integer({ min: 1, max: 40_000 }),
  training,
  params: fc.record({
    learningRate: rate,
    beta: fc.double({ min: 0, max: 1, noNaN: true }),
    batchSize,
    maxNewTokens,
    measureSamples: fc.integer({ min: 2, max: 4 })
  }),
  extra: some({
    numPpoEpochs: fc.integer({ min: 1, max: 2 }),
    loss: policyLosses.filter(({ objective }) => objective._tag !== "Contrastive"),
    advantage: some({
      gamma: fc.double({ min: 0, max: 1, noNaN: true }),
      lam: fc.double({ min: 0, max: 1, noNaN: true }),
      valueLam: fc.double({ min: 0, max: 1, noNaN: true })
    }).map((gae) => new Advantage.Gae(gae)),
    referencePolicy: referencePolicies,
    whitenAdvantages: fc.boolean(),
    valueLearningRate: rate,
    measureEvery: fc.integer({ min: 1, max: 2 }),
    missingEosPenalty: fc.double({ min: 0, max: 1, noNaN: true })
  })
}).map((drawn) => (shelf) => {
  const of = stocked(shelf, drawn.family)
  const policies = onShelf(shelf.policies, of)
  const own = onShelf(shelf.rewards, of)
  if (own.length === 0) {
    own.push(
      RewardModeling.make(
        { init: pick(policies, drawn.init), preferences: pick(shelf.preferences, 0) },
        { batchSize: 2, learningRate: 1e-4 }
      )
    )
  }
  const rewarded = pick(own, drawn.reward)
  const policy = Ppo.make({
    init: pick(policies, drawn.init),
    // With β = 0 there is none: the compiler wants one for a β that it does not know.
    ...(drawn.params.beta > 0 ? { reference: pick(policies, drawn.reference) } : {}) as { readonly reference: Policy },
    reward: drawn.ensemble === null
      ? rewarded
      : Ensemble.make([rewarded, pick(own, drawn.value)], { rule: drawn.ensemble }),
    value: pick(own, drawn.value),
    prompts: pick(shelf.prompts, drawn.prompts),
    held: pick(shelf.held, drawn.held),
    ...(drawn.ptx ? { pretraining: pick(shelf.text, drawn.prompts) } : {})
  }, {
    ...(drawn.ptx ? { ptxCoef: 2, ptxRatio: 2 } : {}),
    ...drawn.training,
    ...drawn.extra,
    ...drawn.params,
    steps: 1,
    allowance: Kl.mnatsPerSequence(drawn.allowance)
  })
  policies.push(capped(policy, { index: drawn.from, slack: drawn.slack, limits: drawn.limits }))
})

/** Far above what any of the drawn allowances add up to. */
const ample = Kl.mnatsPerSequence<number>(1_000_000_000)

const pairMethods = fc.oneof(
  fc.constant(MergeMethod.uniformSoup),
  fc.integer({ min: 0, max: 8 }).map((k) => MergeMethod.linear({ a: k / 8, b: 1 - k / 8 })),
  fc.integer({ min: 0, max: 8 }).map((k) => MergeMethod.slerp({ a: k / 8, b: 1 - k / 8 }))
)
const taskMethods = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }).map(MergeMethod.taskArithmetic),
  fc.integer({ min: 0, max: 8 }).map((k) => MergeMethod.taskSlerp({ a: k / 8, b: 1 - k / 8 })),
  fc.record({ density: fc.double({ min: 0.1, max: 1, noNaN: true }) }).map(MergeMethod.ties),
  fc.record({ dropRate: fc.double({ min: 0, max: 0.9, noNaN: true }), lambda: fc.constant(0.5) }).map(MergeMethod.dare)
)

const merges: fc.Arbitrary<Step> = fc.record({
  family,
  a: index,
  b: index,
  base: index,
  held: index,
  method: pairMethods,
  task: fc.option(taskMethods),
  rewards: fc.boolean(),
  seed,
  measuring: fc.record({ maxNewTokens, measureSamples: fc.integer({ min: 2, max: 4 }) })
}).map(({ a, b, base, family, held, measuring, method, rewards, seed, task }) => (shelf) => {
  const of = stocked(shelf, family)
  const own = onShelf(shelf.rewards, of)
  if (rewards && own.length > 0) {
    own.push(Merge.make({}, { a: pick(own, a), b: pick(own, b) }, { method, seed }))
    return
  }
  const policies = onShelf(shelf.policies, of)
  const models = { a: pick(policies, a), b: pick(policies, b) }
  const wires = { held: pick(shelf.held, held) }
  const params = { ...measuring, seed }
  const merged = task === null
    ? Merge.make(wires, models, { ...params, method })
    : Merge.make({ ...wires, base: pick(policies, base) }, models, { ...params, method: task })
  policies.push(Pipeline.cap(merged, { kl: ample, from: models.a }) as Policy)
})

const namedLosses: ReadonlyArray<() => PreferenceLoss.Loss<boolean>> = [
  PreferenceLoss.dpo,
  PreferenceLoss.dpoNorm,
  PreferenceLoss.ipo,
  PreferenceLoss.apoZero,
  PreferenceLoss.mpo,
  PreferenceLoss.simPo,
  PreferenceLoss.orpo
]

const alignments: fc.Arbitrary<Step> = fc.record({
  family,
  init: index,
  reference: index,
  data: index,
  held: index,
  from: index,
  loss: fc.constantFrom(...namedLosses),
  kto: fc.boolean(),
  allowance: fc.integer({ min: 1, max: 40_000 }),
  training,
  params: fc.record({
    learningRate: rate,
    batchSize,
    maxNewTokens,
    measureSamples: fc.integer({ min: 2, max: 4 })
  })
}).map((drawn) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, drawn.family))
  const loss = drawn.loss()
  const wires = {
    init: pick(policies, drawn.init),
    reference: pick(policies, drawn.reference),
    preferences: pick(shelf.preferences, drawn.data),
    held: pick(shelf.held, drawn.held)
  }
  // One measurement, at the end: what is cheap in one PPO step is not in every step of an epoch.
  const params = {
    ...drawn.training,
    ...drawn.params,
    batchSize: 4 * drawn.params.batchSize,
    measureEvery: 100,
    allowance: Kl.mnatsPerSequence(drawn.allowance)
  }
  const { reference: _, ...free } = wires
  const policy = drawn.kto
    ? Kto.make(wires, params)
    : loss.reference
    ? Dpo.make(wires, { ...params, loss: loss as PreferenceLoss.Loss<true> })
    : Dpo.make(free, { ...params, loss: loss as PreferenceLoss.Loss<false> })
  const { allotted, at } = pick(ancestors(policy), drawn.from)
  policies.push(Pipeline.cap(policy, { kl: Kl.mnatsPerSequence<number>(allotted), from: at }) as Policy)
})

/** Completions of one policy or of two together, scored by a judge, or by a reward model when there is one. */
const scored: fc.Arbitrary<Step> = fc.record({
  family,
  policy: index,
  other: fc.option(index),
  data: index,
  reward: fc.option(index),
  gold,
  params: fc.record({ completionsPerPrompt: fc.integer({ min: 1, max: 3 }), maxNewTokens, seed }),
  extra: some({
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    topK: fc.nat({ max: 3 }),
    topP: fc.double({ min: 0.5, max: 1, noNaN: true }),
    batchSize: fc.integer({ min: 1, max: 3 })
  })
}).map(({ data, extra, family, gold, other, params, policy, reward }) => (shelf) => {
  const of = stocked(shelf, family)
  const by = (n: number) =>
    Sample.make({ policy: pick(onShelf(shelf.policies, of), n), prompts: pick(shelf.prompts, data) }, {
      ...extra,
      ...params
    })
  const completions = other === null ? by(policy) : Mix.make({ one: by(policy), two: by(other) })
  const own = onShelf(shelf.rewards, of)
  shelf.scored.push(
    reward === null || own.length === 0
      ? Score.byJudge({ completions }, { gold })
      : Score.byReward({ completions, reward: pick(own, reward) })
  )
})

const rule: fc.Arbitrary<Select.Rule> = fc.oneof(
  fc.integer({ min: 1, max: 2 }).map(Select.perPrompt),
  fc.integer({ min: 1, max: 4 }).map(Select.overall),
  // Low enough to accept some in any world, mostly.
  fc.constantFrom(-9, 0).map(Select.accept)
)

/** What is chosen out of scored completions; nothing while there are none. */
const chosen: fc.Arbitrary<Step> = fc.record({
  of: index,
  rule,
  control: fc.boolean(),
  rejected: fc.constantFrom("random-lower" as const, "worst" as const),
  pairs: fc.boolean(),
  seed
}).map(({ control, of, pairs, rejected, rule, seed }) => (shelf) => {
  if (shelf.scored.length === 0) return
  const completions = pick(shelf.scored, of)
  if (pairs) shelf.preferences.push(Pair.make({ completions }, { rejected, seed }))
  else shelf.demonstrations.push(Select.make({ completions }, { rule, control, seed }))
})

/** Operations on data, of prompts and of demonstrations. */
const curated: fc.Arbitrary<Step> = fc.record({
  of: index,
  other: index,
  op: fc.constantFrom("mix", "filter", "split", "deduplicate", "decontaminate"),
  n: fc.integer({ min: 1, max: 4 }),
  fraction: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
  seed
}).map(({ fraction, n, of, op, other, seed }) => (shelf) => {
  const [one, two] = [pick(shelf.demonstrations, of), pick(shelf.demonstrations, other)]
  const [asked, held] = [pick(shelf.prompts, of), pick(shelf.held, other)]
  switch (op) {
    case "mix":
      // Not the whole of both: mixtures of mixtures would double and double.
      shelf.demonstrations.push(
        Mix.make({ one, two }, { take: { weights: { one: fraction, two: 1 }, count: 2 * n }, seed }),
        Mix.make({ one, two }, { take: { counts: { one: n, two: n } }, seed })
      )
      break
    case "filter":
      shelf.demonstrations.push(Filter.make({ of: one }, { maxWords: 9, ended: true }))
      break
    case "split":
      shelf.prompts.push(...Split.make({ of: asked }, { fraction, seed }))
      break
    case "deduplicate":
      shelf.demonstrations.push(Deduplicate.make({ of: one }))
      shelf.prompts.push(Deduplicate.make({ of: asked }, { by: "prompt" }))
      break
    case "decontaminate":
      shelf.prompts.push(Decontaminate.make({ of: asked, against: held }, { ngram: n }))
  }
})

/** A gate between the newest policy and another one of its family. */
const gates: fc.Arbitrary<Step> = fc.record({
  family,
  candidate: index,
  previous: index,
  held: index,
  gold,
  maxNewTokens,
  tolerance: fc.double({ min: 0, max: 3, noNaN: true })
}).map(({ candidate, family, gold, held, maxNewTokens, previous, tolerance }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, family))
  policies.push(
    Gate.make({
      candidate: pick(policies, candidate),
      previous: pick(policies, previous),
      held: pick(shelf.held, held)
    }, {
      gold,
      maxNewTokens,
      tolerance: { gold: tolerance, length: tolerance },
      // A gate that fails would end most of what is drawn.
      otherwise: "roll-back"
    })
  )
})

const verifiers = fc.constantFrom<ReadonlyArray<Verifier.Verifier>>(
  [Verifier.format(["the end ."])],
  [Verifier.keywords(), Verifier.lastNumber({ weight: 0.5 })],
  [Verifier.finalAnswer("####")]
)

const grpos: fc.Arbitrary<Step> = fc.record({
  family,
  init: index,
  reference: index,
  /** Of a reward model; without one the verifiers are the reward. */
  reward: fc.option(index),
  verifiers,
  prompts: index,
  held: index,
  from: index,
  slack: fc.constantFrom(0, 500),
  allowance: fc.integer({ min: 1, max: 40_000 }),
  training,
  params: fc.record({
    learningRate: rate,
    beta: fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1, noNaN: true })),
    batchSize,
    groupSize: fc.integer({ min: 2, max: 3 }),
    maxNewTokens,
    measureSamples: fc.integer({ min: 2, max: 4 })
  }),
  extra: some({
    loss: policyLosses,
    advantage: groupAdvantages,
    referencePolicy: referencePolicies,
    numIterations: fc.integer({ min: 1, max: 2 }),
    dynamicSampling: fc.record({ maxBatches: fc.integer({ min: 1, max: 2 }) }),
    overlong: fc.record({ share: fc.double({ min: 0.1, max: 1, noNaN: true }) })
  })
}).map((drawn) => (shelf) => {
  const of = stocked(shelf, drawn.family)
  const policies = onShelf(shelf.policies, of)
  const own = onShelf(shelf.rewards, of)
  const reward = drawn.reward === null || own.length === 0 ? undefined : pick(own, drawn.reward)
  const policy = Grpo.make({
    init: pick(policies, drawn.init),
    ...(drawn.params.beta > 0 ? { reference: pick(policies, drawn.reference) } : {}) as { readonly reference: Policy },
    ...(reward === undefined ? {} : { reward }),
    prompts: pick(shelf.prompts, drawn.prompts),
    held: pick(shelf.held, drawn.held)
  }, {
    ...drawn.training,
    ...drawn.extra,
    ...drawn.params,
    ...(reward === undefined ? { verifiers: drawn.verifiers } : {}),
    steps: 1,
    allowance: Kl.mnatsPerSequence(drawn.allowance)
  })
  const { allotted, at } = pick(ancestors(policy), drawn.from)
  policies.push(
    Pipeline.cap(policy, { kl: Kl.mnatsPerSequence<number>(allotted + drawn.slack), from: at }) as Policy
  )
})

/** Steps by the kind that they make. */
export const steps = {
  Text: texts,
  Prompts: prompts,
  Held: helds,
  Demonstrations: demonstrations,
  BaseModel: bases,
  Policy: fc.oneof(
    { weight: 3, arbitrary: sfts },
    { weight: 3, arbitrary: ppos },
    { weight: 2, arbitrary: grpos },
    { weight: 2, arbitrary: alignments },
    { weight: 2, arbitrary: distillations },
    { weight: 1, arbitrary: gates },
    { weight: 1, arbitrary: merges }
  ),
  Preferences: preferences,
  Scored: scored,
  Chosen: chosen,
  Curated: curated,
  RewardModel: rewards
} as const

/** One of each, so that every step finds what it needs. */
const stocking: fc.Arbitrary<ReadonlyArray<Step>> = fc.tuple(texts, prompts, helds, demonstrations, bases, preferences)

/** A pipeline, printed as text when a law fails: a graph of hundreds of shared nodes has no other readable form. */
export interface Drawn {
  readonly root: Artifact.Any
}

const drawn = (root: Artifact.Any): Drawn =>
  Object.assign({ root }, { [fc.toStringMethod]: () => `\n${Render.text(root)}\n` })

export interface Options {
  /** Steps of your own operations, drawn as often as Keel's own. */
  readonly own?: ReadonlyArray<fc.Arbitrary<Step>>
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
    held: index,
    models: fc.uniqueArray(text, { minLength: 1, maxLength: 5 }),
    everything: fc.nat({ max: 3 }).map((n) => n > 0),
    params: fc.record({ gold, maxNewTokens, seed, shown: fc.nat({ max: 2 }) })
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
    return drawn(Evaluate.make(
      {
        initial: pick(policies, d.initial),
        prompts: pick(shelf.held, d.held),
        ...(d.reward === null || own.length === 0 ? {} : { reward: pick(own, d.reward) })
      },
      models,
      d.params
    ))
  })
