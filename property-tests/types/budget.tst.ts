/** Budgets in types: what is spent, what is capped, and what the compiler says when it does not fit. */
import { describe, expect, test } from "tstyche"
import { Budget, Evaluate, Gold, Kl, Pipeline, Ppo } from "../../dsl/index.ts"
import type { Artifact } from "../../dsl/index.ts"
import type { KlBudgetExceeded, TrainingError } from "../../dsl/Errors.ts"
import type { Compute } from "../../dsl/Budget.ts"
import example from "../../examples/01-instruct-gpt.ts"
import { again, held, llama, ppo, ppoParams, preferences, prompts, reward, sft, waiting } from "./recipe.ts"

describe("running", () => {
  test("KL that nobody capped", () => {
    // @ts-expect-error '"This pipeline spends KL and nobody capped it: wrap the policy in Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … }), or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"'
    Pipeline.runnable(ppo)
    // @ts-expect-error '"This pipeline spends KL and nobody capped it: wrap the policy in Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … }), or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"'
    Pipeline.runnable(Pipeline.cap(ppo, { tokens: 1e6 }))
  })

  test("an input that is still open", () => {
    // @ts-expect-error '"This pipeline still waits for the input base: BaseModel: connect it with Pipeline.connect"'
    Pipeline.runnable(waiting)
  })

  test("capped KL, and no KL at all, can run", () => {
    expect(Pipeline.runnable).type.toBeCallableWith(Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000), from: sft }))
    expect(Pipeline.runnable).type.toBeCallableWith(sft)
    expect(Pipeline.runnable).type.toBeCallableWith(example)
  })
})

describe("caps", () => {
  test("more than the cap", () => {
    // @ts-expect-error '"KL over budget: 6000 mnats allotted, cap is 5999"'
    Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(5999), from: sft })
    // @ts-expect-error '"KL over budget: 6000 mnats allotted, cap is 999"'
    Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(999), from: sft })
    // @ts-expect-error '"KL over budget: 6000 mnats allotted, cap is 5999"'
    ppo.pipe(Pipeline.cap({ kl: Kl.mnatsPerSequence(5999), from: sft }))
  })

  test("an exact fit, and room to spare", () => {
    expect(Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000), from: sft })).type.not.toBe<never>()
    expect(ppo.pipe(Pipeline.cap({ kl: Kl.mnatsPerSequence(10_000), from: sft }))).type.not.toBe<never>()
  })

  test("two stages are summed", () => {
    expect<Artifact.AllottedOf<typeof again>>().type.toBe<9500>()
    // @ts-expect-error '"KL over budget: 9500 mnats allotted, cap is 9499"'
    Pipeline.cap(again, { kl: Kl.mnatsPerSequence(9499), from: sft })
    expect(Pipeline.cap(again, { kl: Kl.mnatsPerSequence(9500), from: sft })).type.not.toBe<never>()
  })

  test("a cap that the compiler does not know is left to check", () => {
    expect(Pipeline.cap(again, { kl: Kl.mnatsPerSequence<number>(1), from: sft })).type.not.toBe<never>()
  })

  test("a distance without a starting point", () => {
    // @ts-expect-error '"Pipeline.cap: kl needs `from`, the initial model that the distance is measured from, e.g. from: sft"'
    Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000) })
  })

  test("a distance from data, from a reward model or from another family", () => {
    const kl = Kl.mnatsPerSequence(6000)
    // @ts-expect-error is not assignable to type '"Pipeline.cap: from needs the initial model, a BaseModel or a Policy, e.g. from: sft, not a Preferences"'
    Pipeline.cap(ppo, { kl, from: preferences })
    // @ts-expect-error is not assignable to type '"Pipeline.cap: from needs the initial model, a BaseModel or a Policy, e.g. from: sft, not a Preferences"'
    Pipeline.runnable(Pipeline.cap(ppo, { kl, from: preferences }))
    // @ts-expect-error is not assignable to type '"Pipeline.cap: from needs the initial model, a BaseModel or a Policy, e.g. from: sft, not a RewardModel"'
    ppo.pipe(Pipeline.cap({ kl, from: reward }))
    // @ts-expect-error is not assignable to type '"Pipeline.cap: from is of family 'llama' but the policy is of 'tales': they must share a tokenizer"'
    Pipeline.cap(ppo, { kl, from: llama })
    // @ts-expect-error is not assignable to type '"Pipeline.cap: from is of family 'llama' but the policy is of 'tales': they must share a tokenizer"'
    Pipeline.runnable(Pipeline.cap(ppo, { kl, from: llama }))
    // @ts-expect-error "Pipeline.cap: from is of family 'llama' but the policy is of 'tales': they must share a tokenizer"
    ppo.pipe(Pipeline.cap({ kl, from: llama }))
  })

  test("a distance in a function over all families, and from a model of which nothing is known", () => {
    const over = <F extends string>(
      policy: Artifact.Artifact<"Policy", F>,
      from: Artifact.Artifact<"BaseModel" | "Policy", F>
    ) => Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(6000), from })
    expect<Artifact.FamilyOf<ReturnType<typeof over<"tales">>>>().type.toBe<"tales">()
    expect(Pipeline.cap).type.toBeCallableWith(ppo, { kl: Kl.mnatsPerSequence(6000), from: sft as Artifact.Any })
  })

  test("p95, max and what happens then, beside the cap on the mean and not without", () => {
    // @ts-expect-error '"Pipeline.cap: klP95, klMax and whenSpent stand beside kl, the cap on the mean over prompts: write both"'
    Pipeline.cap(ppo, { klP95: Kl.mnatsPerSequence(9000), from: sft })
    // @ts-expect-error '"Pipeline.cap: klP95, klMax and whenSpent stand beside kl, the cap on the mean over prompts: write both"'
    ppo.pipe(Pipeline.cap({ klMax: Kl.mnatsPerSequence(9000), from: sft }))
    // @ts-expect-error '"Pipeline.cap: klP95, klMax and whenSpent stand beside kl, the cap on the mean over prompts: write both"'
    Pipeline.cap(ppo, { whenSpent: "rollback", tokens: 1e6 })
    // @ts-expect-error Type '"adapt"' is not assignable to type
    Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000), from: sft, whenSpent: "adapt" })
    // @ts-expect-error Type '"token"' is not assignable to type '"sequence"'
    Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000), klMax: Kl.mnatsPerToken(50), from: sft })
    const all = { klP95: Kl.mnatsPerSequence(8000), klMax: Kl.mnatsPerSequence(9000), whenSpent: "rollback" } as const
    expect(Pipeline.runnable).type.toBeCallableWith(
      Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(6000), from: sft, ...all })
    )
    // @ts-expect-error '"KL over budget: 6000 mnats allotted, cap is 5999"'
    Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(5999), from: sft, ...all })
  })

  test("KL per token where per sequence is wanted", () => {
    // @ts-expect-error Type '"token"' is not assignable to type '"sequence"'
    Pipeline.cap(ppo, { kl: Kl.mnatsPerToken(50), from: sft })
    Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
      ...ppoParams,
      // @ts-expect-error Type 'Kl<"token", 50>' is not assignable to type 'Kl<"sequence", 50>'
      allowance: Kl.mnatsPerToken(50)
    })
    expect(Kl.overTokens(Kl.mnatsPerToken(50), 40)).type.toBe<Kl.Kl<"sequence", number>>()
    // @ts-expect-error Argument of type 'Kl<"sequence", 50>' is not assignable to parameter of type 'Kl<"token", number>'
    Kl.overTokens(Kl.mnatsPerSequence(50), 40)
  })

  test("an unknown resource, alone and beside others", () => {
    // @ts-expect-error there is no such budget; there are kl, tokens, generated, trained, prompts, flops, memory, disk, seconds, money and total
    Pipeline.cap(ppo, { dollars: 3, tokens: 1e6 })
    // @ts-expect-error 'dollars' does not exist in type
    Pipeline.cap(ppo, { total: { dollars: 3 } })
    // @ts-expect-error has no properties in common with type 'Given'
    Pipeline.cap<{ readonly dollars: 3 }>({ dollars: 3 })
  })

  test("an amount of another dimension", () => {
    // @ts-expect-error "memory is counted in bytes: write Budget.GiB(…), Budget.MiB(…) or Budget.bytes(…)"
    Pipeline.cap(ppo, { memory: Budget.hours(2) })
    // @ts-expect-error "seconds is counted in seconds: write Budget.hours(…), Budget.minutes(…) or a number of seconds"
    Pipeline.cap(ppo, { seconds: Budget.GiB(2) })
    // @ts-expect-error "generated is counted in tokens: write Budget.tokens(…) or a number"
    Pipeline.cap(ppo, { generated: Budget.prompts(2) })
    // @ts-expect-error "flops is counted in flops: write Budget.petaflops(…), Budget.teraflops(…) or Budget.flops(…)"
    ppo.pipe(Pipeline.cap({ flops: Budget.tokens(2) }))
    // @ts-expect-error money is counted in money: write Budget.dollars(…), Budget.cents(…) or Budget.money(
    Pipeline.cap(ppo, { total: { money: Budget.seconds(2) } })
  })

  test("a bare number where its unit cannot be guessed", () => {
    // @ts-expect-error "memory is counted in bytes: write Budget.GiB(…), Budget.MiB(…) or Budget.bytes(…)"
    Pipeline.cap(ppo, { memory: 40 })
    // @ts-expect-error "disk is counted in bytes: write Budget.GiB(…), Budget.MiB(…) or Budget.bytes(…)"
    Pipeline.cap(ppo, { total: { disk: 40 } })
    // @ts-expect-error money is counted in money: write Budget.dollars(…), Budget.cents(…) or Budget.money(
    Pipeline.cap(ppo, { money: 5 })
  })

  test("a total of what is not added up", () => {
    // @ts-expect-error "memory is held and not spent, so it has no total: cap it beside total"
    Pipeline.cap(ppo, { total: { memory: Budget.GiB(40) } })
  })

  test("every resource, each way of writing it, in both orders", () => {
    const all = {
      tokens: 3e6,
      generated: Budget.tokens(1e6),
      trained: 2e6,
      prompts: Budget.prompts(4000),
      flops: Budget.petaflops(3),
      memory: Budget.GiB(40),
      disk: Budget.TiB(1),
      seconds: Budget.hours(2),
      money: Budget.money("EUR", 12.5)
    } as const
    const { memory, ...total } = all
    expect(Pipeline.cap(ppo, { ...all, total })).type.not.toBe<never>()
    expect(ppo.pipe(Pipeline.cap({ memory, total }))).type.not.toBe<never>()
  })
})

describe("what a type tells", () => {
  test("kind, family, open inputs, uncapped budgets, KL allotted and errors", () => {
    expect(sft).type.toBe<Artifact.Artifact<"Policy", "tales", never, 0, Compute, TrainingError>>()
    expect(ppo).type.toBe<
      Artifact.Artifact<"Policy", "tales", never, 6000, Compute | "kl", TrainingError | KlBudgetExceeded>
    >()
    expect(waiting).type.toBe<Artifact.Artifact<"Policy", "tales", "base: BaseModel", 0, Compute, TrainingError>>()
  })

  test("a cap closes the budgets that it names, of each stage or of all", () => {
    expect<Artifact.UncappedOf<typeof ppo>>().type.toBe<
      "kl" | "tokens" | "generated" | "trained" | "prompts" | "flops" | "memory" | "disk" | "seconds" | "money"
    >()
    const capped = Pipeline.cap(ppo, {
      kl: Kl.mnatsPerSequence(6000),
      from: sft,
      seconds: 60,
      total: { money: Budget.dollars(5), flops: Budget.exaflops(1) }
    })
    expect<Artifact.UncappedOf<typeof capped>>().type.toBe<
      "tokens" | "generated" | "trained" | "prompts" | "memory" | "disk"
    >()
    expect<Artifact.AllottedOf<typeof capped>>().type.toBe<6000>()
    const piped = ppo.pipe(Pipeline.cap({ prompts: 100, disk: Budget.GiB(1) }))
    expect<Artifact.UncappedOf<typeof piped>>().type.toBe<Exclude<Compute, "prompts" | "disk"> | "kl">()
  })

  test("all tokens are the generated and the trained", () => {
    const both = Pipeline.cap(sft, { generated: 1e6, total: { trained: 1e6 } })
    expect<Artifact.UncappedOf<typeof both>>().type.toBe<Exclude<Compute, "tokens" | "generated" | "trained">>()
    const all = Pipeline.cap(sft, { tokens: 1e6 })
    expect<Artifact.UncappedOf<typeof all>>().type.toBe<Exclude<Compute, "tokens" | "generated" | "trained">>()
    const one = Pipeline.cap(sft, { generated: 1e6 })
    expect<Artifact.UncappedOf<typeof one>>().type.toBe<Exclude<Compute, "generated">>()
  })

  test("connecting closes an input, and opens those of what is connected", () => {
    const connected = Pipeline.connect(waiting, { base: Pipeline.input("other", "BaseModel", "tales") })
    expect<Artifact.OpenOf<typeof connected>>().type.toBe<"other: BaseModel">()
  })

  test("of an evaluation: the KL allotted along each model's lineage", () => {
    const report = Evaluate.make({ initial: sft, prompts: held }, { sft, ppo, again }, {
      gold: Gold.tales,
      maxNewTokens: 4
    })
    expect(report).type.toBe<
      Artifact.Artifact<"Evaluation", "", never, 0 | 6000 | 9500, Compute | "kl", TrainingError | KlBudgetExceeded>
    >()
  })
})
