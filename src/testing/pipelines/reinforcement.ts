/** Policies by reinforcement learning: PPO and the group of GRPO. */
import fc from "fast-check"
import * as Advantage from "../../../dsl/Advantage.ts"
import * as Budget from "../../../dsl/Budget.ts"
import * as Environment from "../../../dsl/Environment.ts"
import * as Kl from "../../../dsl/Kl.ts"
import * as Reference from "../../../dsl/Reference.ts"
import * as Verifier from "../../../dsl/Verifier.ts"
import * as Ensemble from "../../../dsl/stages/Ensemble.ts"
import * as Grpo from "../../../dsl/stages/Grpo.ts"
import * as Ppo from "../../../dsl/stages/Ppo.ts"
import * as RewardModeling from "../../../dsl/stages/RewardModeling.ts"
import { groupAdvantages, policyLosses, referencePolicies } from "../policyLosses.ts"
import { capped } from "./capped.ts"
import { composedRewards } from "./composedRewards.ts"
import { allowance, batchSize, index, maxNewTokens, measureSamples, rate, some, training } from "./parameters.ts"
import { family, onShelf, pick, type ShelfPolicy, type ShelfStep, stocked } from "./shelf.ts"

/** An environment for every other stage. */
const environmentOf = (index: number): { readonly environment?: Environment.Environment } => {
  if (index % 2 === 0) return {}
  return {
    environment: index % 4 === 1 ? Environment.calculator({ maxTurns: 2 }) : Environment.guessNumber({ discount: 0.5 })
  }
}

/** A pool of solved prompts for every other stage. */
const poolOf = (index: number): { readonly solvedAgain?: number } => index % 2 === 0 ? {} : { solvedAgain: 0.1 }

const ensembles = fc.constantFrom(Ensemble.mean, Ensemble.worstCase, Ensemble.uncertaintyWeighted({ lambda: 0.5 }))

export const ppos: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  init: index,
  reference: index,
  reward: index,
  composed: composedRewards,
  /** The reward of it, or an ensemble of it and the reward model on the wire `value`. */
  ensemble: fc.option(ensembles),
  value: index,
  prompts: index,
  held: index,
  ptx: fc.boolean(),
  from: index,
  slack: fc.constantFrom(0, 1, 500),
  limits: some({
    tokens: fc.constant(1e9),
    flops: fc.constant(Budget.exaflops(1)),
    memory: fc.constant(Budget.TiB(1)),
    disk: fc.constant(Budget.TiB(1)),
    seconds: fc.constant(3600),
    total: fc.constant({ generated: 1e9, seconds: Budget.hours(2) })
  }),
  allowance,
  training,
  params: fc.record({
    learningRate: rate,
    beta: fc.double({ min: 0, max: 1, noNaN: true }),
    batchSize,
    maxNewTokens,
    measureSamples
  }),
  extra: some({
    numPpoEpochs: fc.integer({ min: 1, max: 2 }),
    loss: policyLosses.filter(({ objective }) => objective._tag !== "Contrastive"),
    advantage: some({
      gamma: fc.double({ min: 0, max: 1, noNaN: true }),
      lam: fc.double({ min: 0, max: 1, noNaN: true }),
      valueLam: fc.double({ min: 0, max: 1, noNaN: true }),
      lamByLength: fc.double({ min: 0.01, max: 1, noNaN: true })
    }).map((gae) => new Advantage.Gae(gae)),
    referencePolicy: referencePolicies(1),
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
    // With β = 0 there is no reference: the compiler asks for it when β is unknown.
    ...(drawn.params.beta > 0 ? { reference: pick(policies, drawn.reference) } : {}) as {
      readonly reference: ShelfPolicy
    },
    reward: drawn.ensemble === null
      ? drawn.composed(rewarded, pick(policies, drawn.from))
      : Ensemble.make([rewarded, pick(own, drawn.value)], { rule: drawn.ensemble }),
    value: pick(own, drawn.value),
    prompts: pick(shelf.prompts, drawn.prompts),
    held: pick(shelf.held, drawn.held),
    ...(drawn.ptx ? { pretraining: pick(shelf.text, drawn.prompts) } : {})
  }, {
    ...(drawn.ptx ? { ptxCoef: 2, ptxRatio: 2 } : {}),
    ...drawn.training,
    ...drawn.extra,
    ...environmentOf(drawn.held),
    ...(drawn.params.beta > 0 ? {} : { referencePolicy: new Reference.Frozen() }),
    ...drawn.params,
    steps: 1,
    allowance: Kl.mnatsPerSequence(drawn.allowance)
  })
  policies.push(capped(policy, { index: drawn.from, slack: drawn.slack, limits: drawn.limits }))
})

const verifiers = fc.constantFrom<ReadonlyArray<Verifier.Verifier>>(
  [Verifier.format(["the end ."])],
  [Verifier.keywords(), Verifier.lastNumber({ weight: 0.5 })],
  [Verifier.finalAnswer("####")],
  [Verifier.mathematics(), Verifier.exactMatch({ loose: true }), Verifier.ended({ weight: 0.1 })],
  [Verifier.instructions({ instructions: [{ id: "punctuation:no_comma", kwargs: {} }], partly: true })],
  [
    Verifier.targetLength({ shape: "max", unit: "words", target: 4 }),
    Verifier.overlong({ unit: "tokens", max: 9, buffer: 4 })
  ],
  [Verifier.pattern("(?i)end"), Verifier.noRepetition({ n: 2 }), Verifier.languageConsistency("en")],
  [Verifier.jsonSchema({ type: "object" }), Verifier.countdown(), Verifier.letterCount()]
)

export const grpos: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  init: index,
  reference: index,
  /** Of a reward model, which a judge may help; without it the verifiers are the reward. */
  reward: fc.option(fc.record({ of: index, judge: index, composed: composedRewards })),
  verifiers,
  prompts: index,
  held: index,
  from: index,
  slack: fc.constantFrom(0, 500),
  allowance,
  training,
  params: fc.record({
    learningRate: rate,
    beta: fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1, noNaN: true })),
    batchSize,
    groupSize: fc.integer({ min: 2, max: 3 }),
    maxNewTokens,
    measureSamples
  }),
  extra: some({
    loss: policyLosses,
    advantage: groupAdvantages,
    referencePolicy: referencePolicies(1),
    numIterations: fc.integer({ min: 1, max: 2 }),
    dynamicSampling: fc.record({ maxBatches: fc.integer({ min: 1, max: 2 }) }),
    overlong: fc.record({ share: fc.double({ min: 0.1, max: 1, noNaN: true }) })
  })
}).map((drawn) => (shelf) => {
  const of = stocked(shelf, drawn.family)
  const policies = onShelf(shelf.policies, of)
  const own = onShelf(shelf.rewards, of)
  const reward = drawn.reward === null || own.length === 0
    ? undefined
    : drawn.reward.composed(pick(own, drawn.reward.of), pick(policies, drawn.reward.judge))
  const policy = Grpo.make({
    init: pick(policies, drawn.init),
    ...(drawn.params.beta > 0 ? { reference: pick(policies, drawn.reference) } : {}) as {
      readonly reference: ShelfPolicy
    },
    ...(reward === undefined ? {} : { reward }),
    prompts: pick(shelf.prompts, drawn.prompts),
    held: pick(shelf.held, drawn.held)
  }, {
    ...drawn.training,
    ...drawn.extra,
    ...environmentOf(drawn.held),
    ...(drawn.params.beta > 0 ? {} : { referencePolicy: new Reference.Frozen() }),
    ...drawn.params,
    ...(reward === undefined ? { verifiers: drawn.verifiers, ...poolOf(drawn.held) } : {}),
    steps: 1,
    allowance: Kl.mnatsPerSequence(drawn.allowance)
  })
  policies.push(capped(policy, { index: drawn.from, slack: drawn.slack }))
})
