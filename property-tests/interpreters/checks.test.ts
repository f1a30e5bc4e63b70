/** What `check` refuses: a description that is silently odd, one rule at a time. Every rule at once, on generated pipelines: `breakages.test.ts`. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  BestOfN,
  Budget,
  Compare,
  Decontaminate,
  Distill,
  Distillation,
  Dpo,
  Evaluate,
  Filter,
  Gate,
  Gold,
  Grpo,
  Kl,
  Kto,
  Mix,
  Pair,
  Pipeline,
  PreferenceLoss,
  Pretrain,
  Reference,
  RewardModeling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Split
} from "../../dsl/index.ts"
import { prompts as tales } from "../../src/data/tales/tales.ts"
import { problems } from "../../src/interpreters/check.ts"
import { shortestTale } from "../../src/interpreters/checks/context.ts"
import { bytesAtLeast } from "../../src/interpreters/checks/memory.ts"

const gold = Gold.tales
const model = { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 64 }
const text = Source.text(Source.tales({ count: 8 }))
const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
const base = Pretrain.make({ text }, { family: "tales" as const, model, steps: 4, batchSize: 2, learningRate: 1e-3 })
const fit = { batchSize: 2, learningRate: 1e-3 }
const sft = Sft.make({ base, demonstrations }, fit)
const preferences = Compare.make({ policy: sft, prompts }, { gold, maxNewTokens: 4 })
const reward = RewardModeling.make({ init: sft, preferences }, fit)
const spends = { allowance: Kl.mnatsPerSequence<number>(100), maxNewTokens: 4 }
const rl = { ...fit, ...spends, beta: 0.1, steps: 4 }
const wires = { init: sft, reference: sft, prompts, held }
const capped = <P extends Artifact.Artifact<"Policy", "tales", never, number, Budget.Dimension, unknown>>(policy: P) =>
  Pipeline.cap(policy as never, { kl: Kl.mnatsPerSequence<number>(200), from: sft } as never) as Artifact.Any
const grpo = (params: object = {}, on: object = {}) =>
  capped(Grpo.make({ ...wires, reward, ...on } as never, { ...rl, groupSize: 2, ...params } as never) as never)
const sampled = (params: object = {}) =>
  Sample.make({ policy: sft, prompts }, { completionsPerPrompt: 3, maxNewTokens: 4, ...params })
const scored = Score.byJudge({ completions: sampled() }, { gold })
const evaluated = (policy: unknown, on: Artifact.Any) =>
  Evaluate.make({ initial: base, prompts: on } as never, { policy } as never, { gold, maxNewTokens: 4 })

const lines = (root: unknown): ReadonlyArray<string> => problems(root as Artifact.Any).map(({ problem }) => problem)

/** The one line about `root`, which is right but for it. */
const only = (root: unknown): string => {
  const found = lines(root)
  assert.lengthOf(found, 1, found.join("\n"))
  return found[0]!
}

describe("what does not divide", () => {
  const cases: ReadonlyArray<readonly [name: string, root: () => unknown, line: RegExp]> = [
    [
      "a batch larger than the data",
      () => Sft.make({ base, demonstrations }, { ...fit, batchSize: 9 }),
      /^batchSize 9 is more than the 8 rows that demonstrations has: .*take 8 or fewer/
    ],
    [
      "a batch larger than what is left of the data",
      () =>
        Sft.make({ base, demonstrations: Select.make({ completions: scored }, { rule: Select.overall(1) }) }, {
          ...fit,
          batchSize: 2
        }),
      /^batchSize 2 is more than the 1 rows that demonstrations has/
    ],
    [
      "a warm-up longer than the epochs",
      () => Sft.make({ base, demonstrations }, { ...fit, epochs: 2, warmupSteps: 9 }),
      /^warmupSteps 9 is more than the 8 steps of 2 epochs over demonstrations: .*take 8 or fewer/
    ],
    [
      "rows longer than a batch by tokens",
      () => Sft.make({ base, demonstrations }, { ...fit, maxLength: 40, batchTokens: 30 }),
      /^maxLength 40 is more than batchTokens 30.*raise batchTokens/
    ],
    [
      "mini-batches that are not of whole groups",
      () => grpo({ batchSize: 4, numMiniBatches: 3 }),
      /^batchSize 4 does not divide into 3 equal mini-batches/
    ],
    [
      "best of more than there are",
      () => BestOfN.make({ completions: scored }, { gold, sizes: [2, 4] }),
      /^best of 4 needs 4 completions of a prompt, and there are 3: raise completionsPerPrompt/
    ],
    [
      "more kept than there are",
      () => Select.make({ completions: scored }, { rule: Select.perPrompt(4) }),
      /^keeping 4 of each prompt needs 4 completions .*there are 3: raise/
    ],
    [
      "pairs of one",
      () => Pair.make({ completions: Score.byJudge({ completions: sampled({ completionsPerPrompt: 1 }) }, { gold }) }),
      /^a pair needs 2 completions of a prompt, and there is 1: raise/
    ],
    [
      "several greedy completions",
      () => sampled({ temperature: 0 }),
      /^temperature 0 is greedy, so the 3 completions .*ask for 1, or sample/
    ],
    ["several completions of one token", () => sampled({ topK: 1 }), /^topK 1 is greedy/],
    [
      "a split with an empty part",
      () => Split.make({ of: prompts }, { fraction: 1 })[0],
      /^fraction 1 leaves one part empty/
    ],
    [
      "a reference that is reset after the end",
      () => grpo({ referencePolicy: new Reference.ResetEvery({ steps: 400 }) }),
      /^referencePolicy ResetEvery moves after 400 steps and there are 4: lower it, or take Frozen/
    ],
    [
      "a reference that averages nothing in",
      () => grpo({ referencePolicy: new Reference.MovingAverage({ rate: 0, every: 1 }) }),
      /^referencePolicy MovingAverage with rate 0 never moves: raise rate/
    ],
    [
      "answers asked of a teacher who is not asked",
      () =>
        Distill.make({ student: sft, teacher: base, demonstrations }, {
          ...fit,
          objective: Distillation.sequenceLevel,
          maxNewTokens: 4
        }),
      /^maxNewTokens is of no use: .*leave it out/
    ],
    [
      "KTO without others",
      () =>
        capped(
          Kto.make({ init: sft, reference: sft, held, preferences } as never, {
            ...fit,
            ...spends,
            batchSize: 1
          }) as never
        ),
      /^batchSize 1 leaves the loss kto no other answer .*raise it, or take apo-zero/
    ],
    [
      "KTO without weights",
      () =>
        capped(
          Kto.make({ init: sft, reference: sft, held, preferences } as never, {
            ...fit,
            ...spends,
            desirableWeight: 0,
            undesirableWeight: 0
          }) as never
        ),
      /^desirableWeight and undesirableWeight are both 0: nothing would be learnt/
    ]
  ]
  for (const [name, root, line] of cases) it(name, () => assert.match(only(root()), line))
})

describe("numbers out of range", () => {
  const set = (path: string, value: unknown) => {
    const one = Pipeline.set(grpo() as never, path, value as never)
    assert(one._tag === "Success")
    return only(one.success)
  }
  it("a learning rate of 0, below 0, or of a typing error", () => {
    assert.match(set("grpo.learningRate", 0), /must be above 0 .*learningRate/)
    assert.match(set("grpo.learningRate", -1e-6), /must be above 0 .*learningRate/)
    assert.match(set("grpo.learningRate", 2e4), /^learningRate 20000 is above 10, .*: was 5e-5 meant\?$/)
  })
  it("AdamW's betas of 1, and its epsilon of 0", () => {
    assert.match(set("grpo.adamBeta1", 1), /must be 0 or more and below 1 .*adamBeta1/)
    assert.match(set("grpo.adamBeta2", 1), /must be 0 or more and below 1 .*adamBeta2/)
    assert.match(set("grpo.adamEpsilon", 0), /must be above 0 .*adamEpsilon/)
  })
  it("a beta below 0, a temperature of 0 where log-probabilities are needed", () => {
    assert.match(set("grpo.beta", -0.1), /must be 0 or more .*beta/)
    assert.match(set("grpo.temperature", 0), /must be above 0 .*temperature/)
  })
  it("label smoothing that learns nothing, or the opposite", () => {
    const loss = PreferenceLoss.cDpo({ labelSmoothing: 0.5 })
    const policy = capped(
      Dpo.make({ init: sft, reference: sft, held, preferences } as never, { ...fit, ...spends, loss } as never) as never
    )
    assert.match(only(policy), /must be 0 or more and below 1\/2 .*labelSmoothing/)
  })
  it("adapters for a model whose own description is wrong: what is wrong with that, and no crash", () => {
    const lora = { rank: 1, alpha: 1, targetModules: ["q_proj"] }
    const shapeless = Pretrain.make({ text }, { ...fit, family: "tales", steps: 1 } as never)
    const root = Sft.make({ base: shapeless, demonstrations } as never, { ...fit, lora } as never)
    assert.deepStrictEqual(lines(root), [
      "model is missing: give the shape of the new model, or connect Pretrain.init"
    ])
  })
  it("an allowance of the forward KL, which nobody measures", () => {
    const allowance = Kl.mnatsPerSequence<number>(1, { direction: "forward" })
    assert.match(only(grpo({ allowance })), /^allowance is of the forward KL/)
  })
})

describe("a reference", () => {
  const dpo = (loss: object, reference: boolean) =>
    capped(
      Dpo.make(
        { init: sft, preferences, held, ...(reference ? { reference: sft } : {}) } as never,
        { ...fit, ...spends, loss } as never
      ) as never
    )
  it("that is lacking, with the penalty in the reward or in the loss", () => {
    for (const estimator of ["k2", "k3", "k3-corrected"]) {
      const root = grpo({}, { reference: undefined })
      const inLoss = Pipeline.set(root as never, "grpo.loss.kl", { _tag: "KlInLoss", estimator })
      assert(inLoss._tag === "Success")
      assert.match(only(inLoss.success), /^Grpo.reference is missing: connect .*reference: sft$/)
    }
    assert.match(only(dpo(PreferenceLoss.dpo(), false)), /^Dpo.reference is missing: connect .*reference: sft$/)
  })
  it("that is of no use: beta 0, a loss without one, cross-entropy alone", () => {
    assert.match(only(grpo({ beta: 0 })), /^beta is 0, so Grpo.reference has no use: leave it out, or raise beta$/)
    assert.match(only(dpo(PreferenceLoss.simPo(), true)), /^Dpo.reference needs no reference, .*leave that wire out/)
    const alone = { ...PreferenceLoss.dpoNll(), terms: [] }
    assert.match(only(dpo(alone, true)), /^loss.reference is true, and cross-entropy alone has no use for one/)
    const moving = { beta: 0, referencePolicy: new Reference.ResetEvery({ steps: 1 }) }
    assert.match(only(grpo(moving, { reference: undefined })), /^referencePolicy ResetEvery has no use with beta 0/)
  })
})

describe("the context", () => {
  const short = (context: number) =>
    Pretrain.make({ text }, { family: "tales", model: { ...model, context }, steps: 1, ...fit })

  it("holds the prompt and the completion of every stage that samples, or says what would fit", () => {
    // A beginning, 11 words, and what is new.
    const root = (maxNewTokens: number) =>
      Sample.make({ policy: short(16), prompts }, { completionsPerPrompt: 1, maxNewTokens })
    assert.deepStrictEqual(lines(root(4)), [])
    assert.match(
      only(root(5)),
      /^maxNewTokens 5 after prompts of 12 tokens or more is longer than the context 16 of policy, of pretrain-[0-9a-f]{8}: take 4 or fewer, or a model with a longer context$/
    )
  })

  it("is that of every model of the stage, a reward model's too", () => {
    const small = RewardModeling.make({ init: short(14), preferences }, fit)
    assert.match(only(grpo({}, { reward: small })), /is longer than the context 14 of reward/)
  })

  it("holds the openings of stories, word by word", () => {
    const openings = Source.prompts(Source.openings("stories.jsonl", { words: 30 }))
    const filtered = Filter.make({ of: openings }, { minWords: 2 })
    const of = (context: number) =>
      Compare.make({ policy: short(context), prompts: filtered }, { gold, maxNewTokens: 4 })
    assert.deepStrictEqual(lines(of(35)), [])
    assert.match(only(of(34)), /^maxNewTokens 4 after prompts of 31 tokens or more/)
  })

  it("is no less than maxLength", () => {
    assert.match(
      only(Sft.make({ base, demonstrations }, { ...fit, maxLength: 65 })),
      /^maxLength 65 is more than the context 64 of pretrain-[0-9a-f]{8}: take 64, or leave it out$/
    )
  })

  it("no instruction of tales is shorter than is said", () => {
    const lengths = (["train", "held"] as const).flatMap((split) =>
      tales(split).map(({ prompt }) => prompt.split(" ").length)
    )
    assert.strictEqual(Math.min(...lengths), shortestTale)
  })
})

describe("memory", () => {
  it("that cannot be enough, for weights, gradients and moments alone", () => {
    const root = Pipeline.cap(base, { memory: Budget.KiB(16) })
    assert.match(
      only(root),
      /^memory is capped at 16.0 KiB, and its models' weights, gradients and AdamW moments alone take \d\d\.\d KiB: raise the cap, take a smaller model$/
    )
    assert.deepStrictEqual(lines(Pipeline.cap(base, { memory: Budget.MiB(1) })), [])
  })

  it("is less with adapters", () => {
    const lora = { rank: 1, alpha: 1, targetModules: ["q_proj"] }
    const all = Sft.make({ base, demonstrations }, fit)
    const adapted = Sft.make({ base, demonstrations }, { ...fit, lora } as never)
    assert.strictEqual(
      bytesAtLeast(all as Artifact.Any, new Map()),
      4 * bytesAtLeast(adapted as Artifact.Any, new Map())
    )
    assert.match(only(Pipeline.cap(all, { from: base, memory: Budget.KiB(8) })), /or train adapters with lora$/)
  })
})

describe("prompts of training and evaluation", () => {
  const file = (offset: number, limit?: number) =>
    Source.file("rows.jsonl", { offset, ...(limit === undefined ? {} : { limit }) })
  const trained = (of: unknown) => Sft.make({ base, demonstrations: of } as never, fit)
  const refused = (root: unknown, origin: string) => {
    const line = only(root)
    assert.match(line, /^its \w+ are prompts that a model was trained on \(\w+-[0-9a-f]{8} was trained on the same /)
    assert.include(line, `of ${origin}): use other rows`)
  }
  const fine = (root: unknown) => assert.deepStrictEqual(lines(root), [])

  it("two tales of one split share prompts, whatever their counts and seeds; demonstrations are of the split train", () => {
    refused(evaluated(grpo(), Source.prompts(Source.tales({ count: 4, seed: 7 }))), "the train split of tales")
    refused(evaluated(sft, Source.prompts(Source.tales({ count: 4, seed: 7 }))), "the train split of tales")
    fine(evaluated(grpo(), Source.prompts(Source.tales({ count: 4, seed: 7, split: "held" }))))
    const heldHere = Source.prompts(Source.tales({ count: 4, seed: 7 }))
    assert.match(only(grpo({}, { held: heldHere })), /^prompts and held share prompts, of the train split of tales/)
  })

  it("ranges of one file, read in any role and under any spelling of its path", () => {
    const rows = Source.demonstrations(file(0, 10))
    refused(evaluated(trained(rows), Source.prompts(file(9, 10))), "rows.jsonl")
    refused(evaluated(trained(rows), Source.prompts(Source.file("./rows.jsonl", { offset: 9 }))), "rows.jsonl")
    refused(evaluated(trained(rows), Source.prompts(Source.openings("rows.jsonl", { words: 3 }))), "rows.jsonl")
    fine(evaluated(trained(rows), Source.prompts(file(10))))
    fine(evaluated(trained(rows), Source.prompts(Source.file("others.jsonl"))))
    refused(evaluated(trained(Source.demonstrations(file(5))), Source.prompts(file(99, 1))), "rows.jsonl")
  })

  it("two ranges of a file: they share rows exactly when the ranges do", () => {
    const range = fc.record({ offset: fc.nat({ max: 12 }), limit: fc.option(fc.integer({ min: 1, max: 6 })) })
    fc.assert(fc.property(range, range, (a, b) => {
      const rows = ({ limit, offset }: typeof a) => new Set(Array.from({ length: limit ?? 30 }, (_, i) => offset + i))
      const [one, two] = [rows(a), rows(b)]
      const meet = [...one].some((row) => two.has(row))
      const of = ({ limit, offset }: typeof a) => file(offset, limit ?? undefined)
      const found = lines(evaluated(
        Sft.make({ base, demonstrations: Source.demonstrations(of(a)) } as never, { ...fit, batchSize: 1 }),
        Source.prompts(of(b))
      ))
      assert.strictEqual(found.length > 0, meet, found.join("\n"))
    }))
  })

  it("what is made of training rows, down to what is chosen of the answers to them", () => {
    const chosen = Select.make({ completions: scored }, { rule: Select.perPrompt(1) })
    const mixed = Mix.make({ a: Source.demonstrations(Source.file("other.jsonl")), b: chosen })
    const tuned = Sft.make({ base, demonstrations: Filter.make({ of: mixed }, { ended: true }) }, fit)
    refused(evaluated(tuned, prompts), "the train split of tales")
    const gate = { gold, maxNewTokens: 4, tolerance: { gold: 0 }, otherwise: "fail" } as const
    refused(Gate.make({ candidate: tuned, previous: base, held: prompts }, gate), "the train split of tales")
    const own = { initial: base, reward, prompts: held, preferences }
    refused(Evaluate.make(own, { base }, { gold, maxNewTokens: 4 }), "the train split of tales")
  })

  it("the two sides of a split share none, nor do parts of the sides; other splits may", () => {
    const all = Source.prompts(file(0))
    const [first, rest] = Split.make({ of: all }, { fraction: 0.8 })
    const [, late] = Split.make({ of: rest }, { fraction: 0.9 })
    const of = (trained: unknown, by: unknown) => {
      const policy = Grpo.make({ init: base, reference: base, prompts: trained, held: by } as never, {
        ...rl,
        groupSize: 2,
        verifiers: [{ _tag: "Format", parts: ["."], weight: 1 }]
      } as never)
      return lines(Pipeline.cap(policy as never, { kl: Kl.mnatsPerSequence<number>(200), from: base } as never))
    }
    assert.deepStrictEqual(of(first, rest), [])
    assert.deepStrictEqual(of(first, Filter.make({ of: late }, { maxWords: 9 })), [])
    assert.deepStrictEqual(of(Split.make({ of: first }, { fraction: 0.5 })[1], rest), [])
    const [other] = Split.make({ of: all }, { fraction: 0.5, seed: 1 })
    for (const [a, b] of [[first, all], [other, rest], [first, Split.make({ of: all }, { fraction: 0.5 })[1]]]) {
      assert.match(of(a, b).join("\n"), /^prompts and held share prompts, of rows.jsonl: [^\n]*$/)
    }
  })

  it("what was decontaminated against the evaluation shares none with it or a part of it, and may with the rest", () => {
    const own = Source.demonstrations(file(0, 20))
    const asked = Source.prompts(file(10, 5))
    const clean = Decontaminate.make({ of: own, against: asked }, { ngram: 8 })
    fine(evaluated(trained(clean), asked))
    fine(evaluated(trained(Filter.make({ of: clean }, { maxWords: 9 })), Filter.make({ of: asked }, { minWords: 2 })))
    refused(evaluated(trained(clean), Source.prompts(file(12, 5))), "rows.jsonl")
    refused(evaluated(trained(Mix.make({ clean, own })), asked), "rows.jsonl")
    // Against a part is not against the whole.
    const some = Decontaminate.make({ of: own, against: Filter.make({ of: asked }, { minWords: 2 }) }, { ngram: 8 })
    refused(evaluated(trained(some), asked), "rows.jsonl")
  })
})
