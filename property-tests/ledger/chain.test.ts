/** What a description lets one know of distances: of every stage what it does to a chain, and where a chain begins. */
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Deduplicate,
  Ensemble,
  Filter,
  Gold,
  Grpo,
  Kl,
  Merge,
  MergeMethod,
  Mix,
  Pipeline,
  PolicyGradient,
  Ppo,
  RewardLoss,
  RewardModeling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Split,
  Verifier
} from "../../dsl/index.ts"
import { Gae } from "../../dsl/Advantage.ts"
import { Ziegler } from "../../dsl/KlControl.ts"
import { MovingAverage, ResetEvery } from "../../dsl/Reference.ts"
import { label } from "../../dsl/Render.ts"
import { accepted } from "../../src/ledger/acceptance.ts"
import * as Bounds from "../../src/ledger/bounds.ts"
import { chainsIn, knownOf } from "../../src/ledger/chain.ts"
import { aimsOf } from "../../src/ledger/trained.ts"
import type { Metrics } from "../../src/store/runLog.ts"
import { tiny } from "../interpreters/tiny.ts"

const { base, held, policy, prompts, reward, rl, sft } = tiny()

const sample = (options: Partial<Parameters<typeof Sample.make>[1]> = {}, of: Artifact.Any = sft) =>
  Sample.make({ policy: of as typeof sft, prompts }, { completionsPerPrompt: 8, maxNewTokens: 6, ...options })
const scored = (of = sample()) => Score.byJudge({ completions: of }, { gold: Gold.tales })
const best = (keep = 1, of = sample()) => Select.make({ completions: scored(of) }, { rule: Select.perPrompt(keep) })

const chainOf = (of: Artifact.Any, metrics?: Metrics) =>
  chainsIn(of, (stage) => stage === label(of) ? metrics : undefined)(of)
const mnats = (of: Artifact.Any, metrics?: Metrics) => knownOf(chainOf(of, metrics)).bound.mnats

describe("the chain of a law", () => {
  it("begins with the model that wrote, and ends where one is trained", () => {
    assert.deepStrictEqual(chainOf(sample()), { from: label(sft), links: [] })
    assert.strictEqual(chainOf(sample({}, policy)).from, label(rl))
    // Trained on what another wrote: its own law, whatever that was from.
    const again = Sft.make({ base, demonstrations: best(1, sample({}, policy)) }, { batchSize: 2, learningRate: 1e-3 })
    assert.deepStrictEqual(chainOf(again), { from: label(again), links: [] })
    assert.deepStrictEqual(chainOf(Source.demonstrations(Source.tales({ count: 4 }))), { from: null, links: [] })
  })

  it("knows the best of n and the k best of n, by the run's own count where it has one", () => {
    assert.strictEqual(mnats(best()), Bounds.bestOfN(8).mnats)
    assert.strictEqual(mnats(best(2)), Bounds.topOf(2, 8).mnats)
    // Two equal prompts were one with 16 candidates.
    assert.strictEqual(mnats(best(), { max_divergence: Math.log(16) }), Bounds.bestOfN(16).mnats)
    assert.strictEqual(mnats(best(2), { max_divergence: Math.log(8) }), Bounds.topOf(2, 16).mnats)
    const { kl } = knownOf(chainOf(best()))
    assert.strictEqual(kl, Math.ceil(1000 * Bounds.klOfBestOfN(8)))
    const control = Select.make({ completions: scored() }, { rule: Select.perPrompt(1), control: true })
    assert.strictEqual(mnats(control), 0)
    assert.isNull(mnats(Select.make({ completions: scored() }, { rule: Select.overall(3) })))
  })

  it("has no bound for a filter, whatever the run let through: that is evidence by prompt, which nothing is added to", () => {
    const filters = [
      Select.make({ completions: scored() }, { rule: Select.accept(0) }),
      Filter.make({ of: scored() }, { minScore: 0 })
    ]
    for (const filter of filters) {
      const counts = accepted(["a", "a", "b", "b"], ["a", "b", "b"])
      for (const metrics of [undefined, { "rows/in": 64, "rows/out": 0 }, { "rows/in": 4, "rows/out": 3, ...counts }]) {
        const known = knownOf(chainOf(filter, metrics))
        assert.deepStrictEqual([known.bound.mnats, known.kl, known.variation.millionths], [null, null, 1e6])
      }
      assert.isUndefined(chainOf(filter).links[0]!.accepted)
      const [link] = chainOf(filter, { "rows/in": 4, "rows/out": 3, ...counts }).links
      assert.match(link!.because, /: let 3 of 4 through$/u)
      assert.closeTo(link!.accepted!.mean, Math.LN2 / 2, 1e-12)
    }
  })

  it("bounds truncated sampling, by the vocabulary of the model that is sampled where it needs one, and says why not", () => {
    const of = (options: object, vocabulary: number | null) => {
      const artifact = best(1, sample(options))
      const chain = chainsIn(artifact, () => undefined, (model) => model.id === sft.id ? vocabulary : null)(artifact)
      return { mnats: knownOf(chain).bound.mnats, because: chain.links[0]!.because }
    }
    const bounded = (how: object, vocabulary: number | null) =>
      Bounds.chain(
        Bounds.sampled({ temperature: 1, topK: 0, topP: 1, ...how }, { tokens: 6, vocabulary }),
        Bounds.bestOfN(8)
      ).mnats
    assert.deepStrictEqual(of({ topP: 0.9 }, null), {
      mnats: bounded({ topP: 0.9 }, null),
      because: "top-p 0.9, for 6 tokens at most"
    })
    for (
      const how of [{ temperature: 0.7 }, { topK: 4 }, { temperature: 0 }, { temperature: 0.7, topK: 4, topP: 0.9 }]
    ) {
      assert.isNull(of(how, null).mnats)
      assert.match(of(how, null).because, /which is not known before there is the model$/u)
      assert.isNotNull(of(how, 300).mnats)
      assert.strictEqual(of(how, 300).mnats, bounded(how, 300))
      assert.match(of(how, 300).because, /for 6 tokens of 300 at most$/u)
    }
    assert.isNull(of({ temperature: 1.2 }, 300).mnats)
    assert.match(of({ temperature: 1.2 }, 300).because, /above temperature 1 a rare token may become likelier/u)
  })

  it("takes the furthest part of a mixture, if all are from one model", () => {
    assert.strictEqual(
      mnats(Mix.make({ a: best(), b: best(1, sample({ completionsPerPrompt: 2 })) })),
      Bounds.bestOfN(8).mnats
    )
    const mixed = Mix.make({ a: best(), b: best(1, sample({}, policy)) })
    assert.deepStrictEqual(chainOf(mixed), { from: null, links: [] })
  })

  it("is not moved by what looks at prompts alone, and is lost where duplicates go", () => {
    const [first] = Split.make({ of: best() }, { fraction: 0.5 })
    assert.strictEqual(mnats(first), Bounds.bestOfN(8).mnats)
    assert.strictEqual(mnats(Deduplicate.make({ of: best() }, { by: "prompt" })), Bounds.bestOfN(8).mnats)
    assert.isNull(mnats(Deduplicate.make({ of: best() }, {})))
  })
})

describe("what a training aims at", () => {
  const aims = (of: Artifact.Any) =>
    aimsOf(of, chainsIn(of, () => undefined)).map(({ chain, of }) => ({
      of,
      from: chain.from,
      mnats: knownOf(chain).bound.mnats,
      because: chain.links.at(-1)!.because
    }))

  it("says what a network learns to write like, that it is not bounded, and where it starts again", () => {
    const demonstrations = best(1, sample({}, policy))
    const training = { batchSize: 2, learningRate: 1e-3 }
    const [learns, model] = aims(Sft.make({ base: policy, demonstrations }, training))
    assert.deepInclude(learns, { of: "imitates", from: label(rl), mnats: Bounds.bestOfN(8).mnats })
    assert.deepInclude(model, { of: "moves", from: label(rl), mnats: null })
    const [, again] = aims(Sft.make({ base, demonstrations }, training))
    assert.deepInclude(again, { of: "moves", from: label(base), mnats: null })
    assert.include(
      again!.because,
      `starts again from ${label(base)}: its distance counts from there, not from ${label(rl)}`
    )
    assert.deepStrictEqual(aims(sft), [])
  })

  it("leaves a merge unknown, from any of its parents", () => {
    const merged = Merge.make({ held }, { sft, policy }, {
      method: MergeMethod.linear({ sft: 0.5, policy: 0.5 }),
      maxNewTokens: 6
    })
    assert.deepInclude(aims(merged)[0], { of: "moves", from: null, mnats: null })
  })

  const params = {
    allowance: Kl.mnatsPerSequence(100),
    steps: 40,
    batchSize: 2,
    groupSize: 4,
    learningRate: 1e-3,
    maxNewTokens: 6
  }
  const grpo = (options: object) =>
    Grpo.make({ init: sft, reference: sft, prompts, held }, {
      ...params,
      ...PolicyGradient.rloo,
      beta: 0.5,
      verifiers: [Verifier.keywords(), Verifier.lastNumber({ weight: 2 })],
      ...options
    })

  it("bounds the optimum of verifiable rewards by span / β, and says what a moving reference makes of β", () => {
    const frozen = aims(grpo({}))
    assert.deepInclude(frozen[0], { of: "optimum", from: label(sft), mnats: 6000 })
    assert.deepInclude(frozen[1], { of: "moves", mnats: null })
    // Moved after steps 10, 20 and 30, and after the last, where nothing follows.
    const moved = aims(grpo({ referencePolicy: new ResetEvery({ steps: 10 }) }))
    assert.deepInclude(moved[0], { of: "optimum", mnats: 24_000 })
    assert.match(moved[1]!.because, /moved to it 3 times: β bounds each stretch, not the drift .*β \/ 4 = 0\.125/u)
    const averaged = aims(grpo({ referencePolicy: new MovingAverage({ rate: 0.5, every: 1 }) }))
    assert.deepStrictEqual(averaged.map(({ of }) => of), ["moves"])
    assert.match(averaged[0]!.because, /β bounds a step, not the drift/u)
  })

  it("knows no optimum where the objective has another, or a model may say any number, and says which it is", () => {
    const why = (of: Artifact.Any) => {
      const found = aims(of)
      assert.deepStrictEqual(found.map(({ mnats, of }) => [of, mnats]), [["moves", null]])
      return found[0]!.because
    }
    assert.match(
      why(grpo(PolicyGradient.grpo)),
      /: GroupStd weighs prompts by their samples, k3 is not the reverse KL/u
    )
    assert.match(why(grpo({ temperature: 0.8 })), /no span \/ β of its optimum: it samples at temperature 0\.8$/u)
    const control = new Ziegler({ target: Kl.mnatsPerSequence(100) })
    assert.match(why(grpo({ klControl: control })), /: β follows the KL$/u)
    assert.match(why(rl), /: its reward model may say any number$/u)
    assert.match(why(grpo({ verifiers: [Verifier.own("Mine")] })), /: its verifier Mine may say any number$/u)
    assert.notInclude(why(Grpo.make({ init: sft, prompts, held }, { ...params, beta: 0 })), "optimum")
    assert.deepStrictEqual(aims(Pipeline.cap(grpo({}), { kl: Kl.mnatsPerSequence(100), from: sft })), [])
  })

  it("knows what process reward models can say: a probability, alone, together, beside verifiers, for PPO too", () => {
    const judged = (aggregation: "min" | "product") =>
      RewardModeling.make({ init: sft, preferences: Source.stepwise(Source.tales({ count: 4 })) }, {
        batchSize: 2,
        learningRate: 1e-3,
        loss: RewardLoss.process({ aggregation })
      })
    const both = [judged("min"), judged("product")] as const
    const ppo = (reward: typeof both[number], options: object = {}) =>
      Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
        ...params,
        beta: 0.5,
        ...options
      })
    const spans = (reward: typeof both[number], options: object = {}) => {
      const group = Grpo.make({ init: sft, reference: sft, reward, prompts, held }, {
        ...params,
        ...PolicyGradient.rloo,
        beta: 0.5,
        ...options
      })
      return [ppo(reward, options), group].map((of) => aims(of)[0]!).map(({ mnats, of }) =>
        of === "optimum" ? mnats! / 2000 : null
      )
    }
    assert.deepStrictEqual(spans(both[0]), [1, 1])
    assert.deepStrictEqual(spans(both[0], { missingEosPenalty: 0.5 }), [1.5, 1.5])
    assert.deepStrictEqual(spans(Ensemble.make(both, { rule: Ensemble.worstCase })), [1, 1])
    // Less λ times a variance of at most a quarter.
    assert.deepStrictEqual(spans(Ensemble.make(both, { rule: Ensemble.uncertaintyWeighted({ lambda: 2 }) })), [
      1.5,
      1.5
    ])
    assert.deepStrictEqual(spans(Ensemble.make([both[0], reward], { rule: Ensemble.mean })), [null, null])
    assert.match(aims(ppo(both[0], { advantage: new Gae({ gamma: 0.9 }) }))[0]!.because, /: γ 0\.9 discounts$/u)
    assert.strictEqual(
      aims(Grpo.make({ init: sft, reference: sft, reward: both[0], prompts, held }, {
        ...params,
        ...PolicyGradient.rloo,
        beta: 0.5,
        verifiers: [Verifier.keywords({ weight: 2 })]
      }))[0]!.mnats,
      6000
    )
  })
})
