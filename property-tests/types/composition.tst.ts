/** Sampling stages, operations on data, gates and rounds: their types and what the compiler says to a wrong wire. */
import { describe, expect, test } from "tstyche"
import type { Artifact } from "../../dsl/index.ts"
import {
  Ask,
  Checkpoint,
  Compare,
  Gate,
  Gold,
  Judge,
  Kl,
  Mix,
  Pair,
  Pipeline,
  Ppo,
  RejectionSampling,
  Reward,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type { GateFailed, JudgeFailed } from "../../dsl/Errors.ts"
import { demonstrations, held, params, ppo, ppoParams, prompts, reward, sft } from "./recipe.ts"

const completions = Sample.make({ policy: sft, prompts }, { completionsPerPrompt: 4, maxNewTokens: 4 })
const scored = Score.byReward({ completions, reward })
const rankings = Source.rankings(Source.rows([{ prompt: "p", completions: ["a", "b"] }]))
const rule = Select.perPrompt()
const verified = Reward.verify(Verifier.lastNumber())

describe("a function over artefacts", () => {
  test("that is generic in the family needs no cast", () => {
    const moved = <const F extends string>(base: Artifact.Of<"BaseModel", F>): Artifact.Of<"Policy", F> => {
      const start = Sft.make({ base, demonstrations }, params)
      const rl = Ppo.make({ init: start, reference: start, reward: verified, value: start, prompts }, ppoParams)
      const capped: Artifact.Of<"Policy", F> = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(500), from: start })
      return Pipeline.observe(capped, { kl: Kl.measured, from: start, held, maxNewTokens: 4 })
    }
    expect<Artifact.FamilyOf<ReturnType<typeof moved<"tales">>>>().type.toBe<"tales">()
    expect(Pipeline.runnable).type.toBeCallableWith(moved(Checkpoint.huggingFace("tales", "models/tiny")))
  })
})

describe("observation", () => {
  const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts }, ppoParams)

  test("closes KL, without an allowance and held prompts of the stage", () => {
    // @ts-expect-error or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"
    Pipeline.runnable(rl)
    const observed = Pipeline.observe(rl, { kl: Kl.measured, from: sft, held, maxNewTokens: 4, measure: { every: 5 } })
    expect(Pipeline.runnable).type.toBeCallableWith(observed)
    expect<Artifact.AllottedOf<typeof observed>>().type.toBe<0>()
    expect(Pipeline.runnable).type.toBeCallableWith(rl.pipe(Pipeline.observe({ kl: Kl.measured, from: sft })))
  })

  test("says what is wrong with it", () => {
    // @ts-expect-error "Pipeline.observe: held needs maxNewTokens beside it: how long may a completion be when KL is measured?"
    Pipeline.observe(rl, { kl: Kl.measured, from: sft, held })
    // @ts-expect-error Pipeline.observe has no 'every'
    Pipeline.observe(rl, { kl: Kl.measured, from: sft, every: 5 })
    // @ts-expect-error Property 'from' is missing
    Pipeline.observe(rl, { kl: Kl.measured })
    // @ts-expect-error '"KL over budget: 6000 mnats allotted, cap is 5999"'
    Pipeline.observe(ppo, { kl: Kl.mnatsPerSequence(5999), from: sft })
    // @ts-expect-error klP95, klMax and whenSpent stand beside kl
    Pipeline.observe(rl, { kl: Kl.measured, from: sft, whenSpent: "warn" })
  })
})

describe("wrong wires", () => {
  test("completions that nobody scored", () => {
    // @ts-expect-error Property '"Select.completions needs scored completions, e.g. Score.byReward(…), not a Completions"'
    Select.make({ completions }, { rule })
    // @ts-expect-error Property '"Pair.completions needs scored completions, e.g. Score.byJudge(…), not a Completions"'
    Pair.make({ completions })
    // @ts-expect-error Property '"Pair.rankings needs ranked completions, e.g. Source.rankings(…), not a Prompts"'
    Pair.make({ rankings: prompts })
    // @ts-expect-error "Pair has nothing to pair: connect completions with scores, or rankings"
    Pair.make({})
    // @ts-expect-error "Pair has completions and rankings: connect one of them"
    Pair.make({ completions: scored, rankings }, { minMargin: 1 })
    const pairs = Pair.make({ rankings }, { rejected: "every-lower" })
    expect<Artifact.KindOf<typeof pairs>>().type.toBe<"Preferences">()
  })

  test("answers of foreign models are completions of no family, and mix with a policy's own", () => {
    const pool = Source.completions(Source.file("pool.jsonl", { rows: 10 }))
    const mixed = Mix.make({ completions, pool }, { take: { perPrompt: 4 } })
    expect<Artifact.KindOf<typeof mixed>>().type.toBe<"Completions">()
    expect(Score.byReward({ completions: mixed, reward })).type.toBeAssignableTo<
      Artifact.Artifact<"ScoredCompletions", "", never, number, any, any>
    >()
    // @ts-expect-error Property 'rows' is missing in type
    Source.described("a pool", { tokens: { prompt: 1 } })
    // @ts-expect-error 'answer' does not exist in type
    Source.described("a pool", { rows: 1, tokens: { answer: 1 } })
  })

  test("a score by a reward model that is none, or is not there", () => {
    // @ts-expect-error Property '"Score.reward needs a RewardModel: train one with RewardModeling.make(…), not a Policy"'
    Score.byReward({ completions, reward: sft })
    // @ts-expect-error required in type '{ readonly reward: "Score.reward is missing: connect a RewardModel: train one with RewardModeling.make(…)"; }'
    Score.byReward({ completions })
    // @ts-expect-error required in type '{ readonly reward: "RejectionSampling.reward is missing: connect a RewardModel
    RejectionSampling.make({ policy: sft, prompts }, { completionsPerPrompt: 4, maxNewTokens: 4, rule })
  })

  test("a judge that is no policy; one of another family is right", () => {
    const rubric = Judge.rubric("How short it is.")
    // @ts-expect-error Property '"Score.judge needs a policy that judges; it may be of another family, not a RewardModel"'
    Score.byRubric({ completions, judge: reward }, { rubric })
    // @ts-expect-error Property '"Compare.judge needs a policy that judges; it may be of another family, not a Prompts"'
    Compare.byJudge({ policy: sft, prompts, judge: prompts }, { maxNewTokens: 4 })
    // @ts-expect-error is not assignable to type '"Reward.judge needs a policy that judges or Judge.endpoint(…), not a RewardModel"'
    Reward.judge(reward, { rubric })
    const other = Checkpoint.huggingFace("other", "models/other")
    expect(Score.byRubric({ completions, judge: other }, { rubric })).type.toBeAssignableTo<
      Artifact.Artifact<"ScoredCompletions", "", never, number, any, any>
    >()
    expect<Artifact.ErrorOf<ReturnType<typeof byRubric>>>().type.toBe<
      Artifact.ErrorOf<typeof completions> | JudgeFailed
    >()
    // A judge of another family is a reward of every policy.
    expect<Artifact.FamilyOf<ReturnType<typeof rewarding>>>().type.toBe<never>()
    const rewarding = () => Reward.judge(other, { rubric })
    const byRubric = () => Score.byRubric({ completions, judge: other }, { rubric })
  })

  test("feedback: scores with a rubric, preferences without; a wrong wire says so", () => {
    const rubric = Judge.rubric("How short it is.")
    const crowd = Judge.people("crowd", { verdicts: "week-1.jsonl", rows: 10 })
    const [rated, pairs] = [
      Judge.make({ completions }, { by: crowd, rubric }),
      Judge.make({ completions, judge: sft }, { asks: "Which is shorter?" })
    ]
    expect<Artifact.KindOf<typeof rated>>().type.toBe<"ScoredCompletions">()
    expect<Artifact.KindOf<typeof pairs>>().type.toBe<"Preferences">()
    const own = Judge.make({ completions }, { by: Gold.own("mine") })
    expect<Artifact.OutsideOf<typeof own>>().type.toBe<"reward mine">()
    // @ts-expect-error "Judge.completions needs completions, e.g. Sample.make(…) or Source.completions(…), not a Prompts"
    Judge.make({ completions: prompts }, { by: crowd, rubric })
    // @ts-expect-error "Judge.judge needs a policy that judges; it may be of another family, not a RewardModel"
    Judge.make({ completions, judge: reward }, {})
    // @ts-expect-error No overload matches this call
    Judge.make({ completions }, { by: Gold.tales, asks: "Which is shorter?" })
  })

  test("asking with a context: completions or prompts come out, and completions may go in", () => {
    const sampling = { completionsPerPrompt: 1, maxNewTokens: 4 }
    const again = Sample.make({ policy: sft, prompts: completions }, {
      ...sampling,
      ask: Ask.template("{{completion}}")
    })
    expect<Artifact.KindOf<typeof again>>().type.toBe<"Completions">()
    const generated = Sample.prompts({ policy: sft, prompts, examples: prompts }, { ...sampling, ask: Ask.fewShot(3) })
    expect<Artifact.KindOf<typeof generated>>().type.toBe<"Prompts">()
    // @ts-expect-error "Sample.examples needs examples to show before a prompt, e.g. Source.demonstrations(…), not a Policy"
    Sample.make({ policy: sft, prompts, examples: sft }, sampling)
    // @ts-expect-error "Sample.prompts needs instructions, e.g. Source.prompts(…), or completions to write anew, not a Demonstrations"
    Sample.make({ policy: sft, prompts: demonstrations }, sampling)
    // @ts-expect-error 'makes' does not exist in type
    Sample.make({ policy: sft, prompts }, { ...sampling, makes: "Prompts" })
  })

  test("a mixture of different kinds, and a share that is missing", () => {
    // @ts-expect-error Mix.parts must be of one kind, not
    Mix.make({ prompts, demonstrations })
    // @ts-expect-error Property 'b' is missing in type
    Mix.make({ a: prompts, b: held }, { take: { counts: { a: 1 } } })
  })

  test("the number of completions: K has no default", () => {
    // @ts-expect-error Property 'completionsPerPrompt' is missing in type
    Sample.make({ policy: sft, prompts }, { maxNewTokens: 4 })
  })
})

describe("what a type tells", () => {
  test("a mixture is of the kind of its parts", () => {
    expect<Artifact.KindOf<ReturnType<typeof mixed>>>().type.toBe<"Prompts">()
  })
  const mixed = () => Mix.make({ prompts, held }, { take: { weights: { prompts: 3, held: 1 }, count: 8 } })

  test("a gate that fails says so in its errors, one that rolls back has none to say", () => {
    const on = { gold: Gold.tales, maxNewTokens: 4, tolerance: { gold: 0 } }
    const fails = Gate.make({ candidate: ppo, previous: sft, held }, { ...on, otherwise: "fail" })
    const rolls = Gate.make({ candidate: ppo, previous: sft, held }, { ...on, otherwise: "roll-back" })
    expect<Extract<Artifact.ErrorOf<typeof fails>, GateFailed>>().type.toBe<GateFailed>()
    expect<Extract<Artifact.ErrorOf<typeof rolls>, GateFailed>>().type.toBe<never>()
    // Whichever goes on: the KL allotted along either.
    expect<Artifact.AllottedOf<typeof rolls>>().type.toBe<0 | 6000>()
  })

  test("rounds: a literal where each restarts, a number where they go on; kind and family either way", () => {
    const restarting = Pipeline.repeat(sft, 3, (previous) => {
      const { selected } = RejectionSampling.make({ policy: previous, prompts, reward }, {
        completionsPerPrompt: 4,
        maxNewTokens: 4,
        rule
      })
      return Ppo.make({
        init: Sft.make({ base: sft, demonstrations: selected }, params),
        reference: sft,
        reward,
        value: reward,
        prompts,
        held
      }, { ...ppoParams, allowance: Kl.mnatsPerSequence(500) })
    })
    expect<Artifact.AllottedOf<typeof restarting>>().type.toBe<500>()
    expect<Artifact.FamilyOf<typeof restarting>>().type.toBe<"tales">()
    // @ts-expect-error '"KL over budget: 500 mnats allotted, cap is 499"'
    Pipeline.cap(restarting, { kl: Kl.mnatsPerSequence(499), from: sft })
    // @ts-expect-error This pipeline spends KL and nobody capped it
    Pipeline.runnable(restarting)

    const going = Pipeline.repeat(
      sft,
      3,
      (previous) =>
        Ppo.make({ init: previous, reference: sft, reward, value: reward, prompts, held }, {
          ...ppoParams,
          allowance: Kl.mnatsPerSequence(500)
        })
    )
    expect<Artifact.AllottedOf<typeof going>>().type.toBe<number>()
    expect<"kl" extends Artifact.UncappedOf<typeof going> ? true : false>().type.toBe<true>()
  })

  test("a round that makes another kind", () => {
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel" | "Policy"'
    Pipeline.repeat(sft, 2, () => reward)
  })
})
