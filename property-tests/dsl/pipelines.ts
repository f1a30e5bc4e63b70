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
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import * as Gold from "../../dsl/Gold.ts"
import * as Kl from "../../dsl/Kl.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as Render from "../../dsl/Render.ts"
import * as Source from "../../dsl/Source.ts"
import * as Compare from "../../dsl/stages/Compare.ts"
import * as Decontaminate from "../../dsl/stages/Decontaminate.ts"
import * as Deduplicate from "../../dsl/stages/Deduplicate.ts"
import * as Evaluate from "../../dsl/stages/Evaluate.ts"
import * as Filter from "../../dsl/stages/Filter.ts"
import * as Gate from "../../dsl/stages/Gate.ts"
import * as Mix from "../../dsl/stages/Mix.ts"
import * as Pair from "../../dsl/stages/Pair.ts"
import * as Ppo from "../../dsl/stages/Ppo.ts"
import * as Pretrain from "../../dsl/stages/Pretrain.ts"
import * as RewardModeling from "../../dsl/stages/RewardModeling.ts"
import * as Sample from "../../dsl/stages/Sample.ts"
import * as Score from "../../dsl/stages/Score.ts"
import * as Select from "../../dsl/stages/Select.ts"
import * as Sft from "../../dsl/stages/Sft.ts"
import * as Split from "../../dsl/stages/Split.ts"

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
  readonly scored: Array<Of<"ScoredCompletions">>
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

const parentWires: Readonly<Record<string, string>> = { Ppo: "init", Sft: "base", Cap: "of", Gate: "candidate" }

/** KL allotted on the way back from `of`, up to each model it descends from. */
const ancestors = (of: Artifact.Any): ReadonlyArray<{ readonly at: Policy; readonly allotted: number }> => {
  const found: Array<{ readonly at: Policy; readonly allotted: number }> = []
  let allotted = 0
  let at: Artifact.Any | undefined = of
  while (at !== undefined) {
    const { op, params, wires }: Artifact.Node = at.node
    if (op === "Ppo") allotted += (params as { readonly allowance: { readonly mnats: number } }).allowance.mnats
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
    cliprange: fc.double({ min: 0.05, max: 1, noNaN: true }),
    lam: fc.double({ min: 0, max: 1, noNaN: true }),
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
    reference: pick(policies, drawn.reference),
    reward: pick(own, drawn.reward),
    value: pick(own, drawn.value),
    prompts: pick(shelf.prompts, drawn.prompts),
    held: pick(shelf.held, drawn.held)
  }, { ...drawn.training, ...drawn.extra, ...drawn.params, steps: 1, allowance: Kl.mnatsPerSequence(drawn.allowance) })
  const { allotted, at } = pick(ancestors(policy), drawn.from)
  policies.push(
    Pipeline.cap(policy, {
      ...drawn.limits,
      kl: Kl.mnatsPerSequence<number>(allotted + drawn.slack),
      from: at
    }) as Policy
  )
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

/** Steps by the kind that they make. */
export const steps = {
  Text: texts,
  Prompts: prompts,
  Held: helds,
  Demonstrations: demonstrations,
  BaseModel: bases,
  Policy: fc.oneof(sfts, ppos, gates),
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
  /** Steps drawn after the first of each kind; a step makes up to three nodes. */
  readonly steps?: number
  readonly atLeast?: number
}

/** An evaluation of policies of one family: a whole pipeline, hundreds of nodes for `atLeast: 300`. */
export const pipelines = ({ atLeast = 0, steps: size = 30 }: Options = {}): fc.Arbitrary<Drawn> =>
  fc.record({
    stocking,
    steps: fc.array(fc.oneof(...Object.values(steps), ...Array.from({ length: 3 }, () => steps.Policy)), {
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
