/**
 * Random well-typed pipelines. One generator per kind of artefact draws a step; a step picks its inputs from what the steps
 * before it have made, newest first, so nodes are shared and shrinking goes towards short chains.
 *
 * What is drawn satisfies `check`: every PPO is capped, held-out prompts are never trained on. Sizes are small enough to
 * simulate (1 step, batches of at most 4, at most 4 new tokens).
 */
import fc from "fast-check"
import type * as Artifact from "../../dsl/Artifact.ts"
import type { Dimension } from "../../dsl/Budget.ts"
import * as Advantage from "../../dsl/Advantage.ts"
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import * as Gold from "../../dsl/Gold.ts"
import * as Kl from "../../dsl/Kl.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as Render from "../../dsl/Render.ts"
import * as Source from "../../dsl/Source.ts"
import * as Compare from "../../dsl/stages/Compare.ts"
import * as Evaluate from "../../dsl/stages/Evaluate.ts"
import * as Grpo from "../../dsl/stages/Grpo.ts"
import * as Ppo from "../../dsl/stages/Ppo.ts"
import * as Pretrain from "../../dsl/stages/Pretrain.ts"
import * as RewardModeling from "../../dsl/stages/RewardModeling.ts"
import * as Sft from "../../dsl/stages/Sft.ts"
import * as Verifier from "../../dsl/Verifier.ts"
import { groupAdvantages, policyLosses, referencePolicies } from "./policyLosses.ts"

/** An artefact of a kind of which the compiler knows nothing else. */
type Of<K extends Artifact.Kind> = Artifact.Artifact<K, string, never, Dimension, number, unknown>
type Policy = Of<"BaseModel" | "Policy">

/** What has been made so far. */
interface Shelf {
  readonly text: Array<Of<"Text">>
  readonly prompts: Array<Of<"Prompts">>
  readonly held: Array<Of<"Prompts">>
  readonly demonstrations: Array<Of<"Demonstrations">>
  readonly preferences: Array<Of<"Preferences">>
  /** By family. */
  readonly policies: Map<string, Array<Policy>>
  readonly rewards: Map<string, Array<Of<"RewardModel">>>
}

/** Makes one artefact, and what it needs when the shelf has none. */
type Step = (shelf: Shelf) => void

/** The n-th newest. */
const pick = <A>(shelf: ReadonlyArray<A>, n: number): A => shelf[shelf.length - 1 - (n % shelf.length)]!

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

const training = some({
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

const onShelf = <A>(shelf: Map<string, Array<A>>, of: string): Array<A> => {
  if (!shelf.has(of)) shelf.set(of, [])
  return shelf.get(of)!
}

const bases: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ family, shape, batchSize, learningRate: rate, training, index }).map(
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
const stocked = (shelf: Shelf, family: string): string =>
  shelf.policies.has(family) ? family : [...shelf.policies.keys()][0]!

const sfts: fc.Arbitrary<Step> = fc.record({
  family,
  base: index,
  data: index,
  params: fc.record({
    batchSize,
    learningRate: rate,
    training,
    reduction: fc.constantFrom("token-mean" as const, "sum" as const)
  })
}).map(({ base, data, family, params: { training, ...params } }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, family))
  policies.push(
    Sft.make({ base: pick(policies, base), demonstrations: pick(shelf.demonstrations, data) }, {
      ...training,
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

const rewards: fc.Arbitrary<Step> = fc.record({
  family,
  init: index,
  data: index,
  params: fc.record({ batchSize, learningRate: rate, training, centerRewardsCoefficient: fc.constantFrom(0, 0.01) })
}).map(({ data, family, init, params: { training, ...params } }) => (shelf) => {
  const of = stocked(shelf, family)
  onShelf(shelf.rewards, of).push(
    RewardModeling.make(
      { init: pick(onShelf(shelf.policies, of), init), preferences: pick(shelf.preferences, data) },
      { ...training, ...params }
    )
  )
})

const parentWires: Readonly<Record<string, string>> = { Grpo: "init", Ppo: "init", Sft: "base", Cap: "of" }

/** KL allotted on the way back from `of`, up to each model it descends from. */
const ancestors = (of: Artifact.Any): ReadonlyArray<{ readonly at: Policy; readonly allotted: number }> => {
  const found: Array<{ readonly at: Policy; readonly allotted: number }> = []
  let allotted = 0
  let at: Artifact.Any | undefined = of
  while (at !== undefined) {
    const { op, params, wires }: Artifact.Node = at.node
    if (op === "Ppo" || op === "Grpo") {
      allotted += (params as { readonly allowance: { readonly mnats: number } }).allowance.mnats
    }
    at = wires[parentWires[op] ?? ""]
    if (at !== undefined && at.node.op !== "Cap") found.push({ at: at as Policy, allotted })
  }
  return found
}

const ppos: fc.Arbitrary<Step> = fc.record({
  family,
  init: index,
  reference: index,
  reward: index,
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
  const policy = Ppo.make({
    init: pick(policies, drawn.init),
    // With β = 0 there is none: the compiler wants one for a β that it does not know.
    ...(drawn.params.beta > 0 ? { reference: pick(policies, drawn.reference) } : {}) as { readonly reference: Policy },
    reward: pick(own, drawn.reward),
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
  const { allotted, at } = pick(ancestors(policy), drawn.from)
  policies.push(
    Pipeline.cap(policy, {
      ...drawn.limits,
      kl: Kl.mnatsPerSequence<number>(allotted + drawn.slack),
      from: at
    }) as Policy
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
  Policy: fc.oneof(sfts, ppos, grpos),
  Preferences: preferences,
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
  /** Steps drawn after the first of each kind; a step makes up to three nodes. */
  readonly steps?: number
  readonly atLeast?: number
}

/** An evaluation of policies of one family: a whole pipeline, hundreds of nodes for `atLeast: 300`. */
export const pipelines = ({ atLeast = 0, steps: size = 30 }: Options = {}): fc.Arbitrary<Drawn> =>
  fc.record({
    stocking,
    steps: fc.array(fc.oneof(...Object.values(steps), steps.Policy, steps.Policy), {
      minLength: atLeast,
      maxLength: size,
      size: "max"
    }),
    family,
    initial: index,
    reward: fc.option(index),
    held: index,
    models: fc.uniqueArray(text, { minLength: 1, maxLength: 5 }),
    everything: fc.boolean(),
    params: fc.record({ gold, maxNewTokens, seed, shown: fc.nat({ max: 2 }) })
  }).map((d) => {
    const shelf: Shelf = {
      text: [],
      prompts: [],
      held: [],
      demonstrations: [],
      preferences: [],
      policies: new Map(),
      rewards: new Map()
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
