/** What the compiler says when something from outside Keel has no meaning where it is run. The texts are pinned. */
import {
  type Artifact,
  BestOfN,
  Compare,
  Distillation,
  Dpo,
  Environment,
  Evaluate,
  Gate,
  Gold,
  Grpo,
  Interpreter,
  Kl,
  Kto,
  OnPolicyDistill,
  Pipeline,
  PolicyLoss,
  Ppo,
  PreferenceLoss,
  Sample,
  Score
} from "keel"
import type { Effect } from "effect"
import { type Ran, run, type RunOptions, simulate } from "keel/interpreters"
import { environment, policyLoss, preferenceLoss } from "keel/stage"
import { describe, expect, test } from "tstyche"
import { aboutAsLong, make, rwr } from "../../examples/13-own-stage.ts"

import { base, held, preferences, prompts, reward, sft } from "./recipe.ts"

const own = make({ init: sft, reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(10),
  beta: 1,
  steps: 1,
  batchSize: 1,
  groupSize: 2,
  learningRate: 1e-3,
  maxNewTokens: 4
})
const policy = Pipeline.cap(own, { kl: Kl.mnatsPerSequence(10), from: sft })
const judged = Compare.make({ policy, prompts }, { gold: Gold.own("AboutAsLong"), maxNewTokens: 4 })
declare const options: Pick<RunOptions, "backend" | "out">

describe("a stage from outside", () => {
  test("is in the type of what is made from it", () => {
    expect<Artifact.OutsideOf<typeof own>>().type.toBe<"stage Rwr">()
    expect<Artifact.OutsideOf<typeof policy>>().type.toBe<"stage Rwr">()
    expect<Artifact.OutsideOf<typeof judged>>().type.toBe<"stage Rwr" | "reward AboutAsLong">()
    expect<Artifact.OutsideOf<typeof sft>>().type.toBe<never>()
  })

  test("without its implementation is an error where it is run", () => {
    // @ts-expect-error "This pipeline has the stage Rwr from outside Keel without its implementation: pass stages: [rwr] in the options"
    simulate(policy)
    // @ts-expect-error "This pipeline has the stage Rwr from outside Keel without its implementation: pass stages: [rwr] in the options"
    run(policy, options)
    expect(simulate).type.toBeCallableWith(policy, { stages: [rwr] })
    expect(run).type.toBeCallableWith(policy, { ...options, stages: [rwr] })
  })

  test("has parameters and wires that are checked like Keel's own", () => {
    // @ts-expect-error Property '"Rwr.reward needs a RewardModel: train one with RewardModeling.make(…), not a Policy"'
    make({ init: sft, reward: sft, prompts, held }, { ...own.node.params as any, allowance: Kl.mnatsPerSequence(10) })
  })
})

test("a run says whether it made a model", () => {
  const model = <M extends string | null>(ran: Effect.Effect<Ran<M>, unknown>) => ran as unknown as M
  expect(model(run(sft))).type.toBe<string>()
  expect(model(run(judged, { stages: [rwr], rewards: [aboutAsLong] }))).type.toBe<null>()
})

describe("a reward from outside", () => {
  test("is needed by run, and not by simulate, where the world's stands for it", () => {
    // @ts-expect-error "This pipeline has the reward AboutAsLong from outside Keel without its implementation: pass rewards: [aboutAsLong] in the options"
    run(judged, { ...options, stages: [rwr] })
    expect(run).type.toBeCallableWith(judged, { ...options, stages: [rwr], rewards: [aboutAsLong] })
    expect(simulate).type.toBeCallableWith(judged, { stages: [rwr] })
  })

  test("in an evaluation", () => {
    const report = Evaluate.make({ initial: sft, prompts: held }, { sft }, {
      gold: Gold.own("AboutAsLong"),
      maxNewTokens: 4
    })
    expect<Artifact.OutsideOf<typeof report>>().type.toBe<"reward AboutAsLong">()
    expect(run).type.toBeCallableWith(report, { ...options, rewards: [aboutAsLong] })
  })
})

test("a reward from outside is in the type of whatever judges by it", () => {
  const gold = Gold.own("AboutAsLong")
  const completions = Score.byJudge({
    completions: Sample.make({ policy: sft, prompts }, { completionsPerPrompt: 2, maxNewTokens: 4 })
  }, { gold })
  expect<Artifact.OutsideOf<typeof completions>>().type.toBe<"reward AboutAsLong">()
  const best = BestOfN.make({ completions }, { gold: Gold.own("Other"), sizes: [2] })
  expect<Artifact.OutsideOf<typeof best>>().type.toBe<"reward AboutAsLong" | "reward Other">()
  const gate = Gate.make({ candidate: sft, previous: sft, held }, {
    gold,
    maxNewTokens: 4,
    tolerance: { gold: 0 },
    otherwise: "fail"
  })
  expect<Artifact.OutsideOf<typeof gate>>().type.toBe<"reward AboutAsLong">()
})

describe("a reward from outside that is only observed while a policy trains", () => {
  const wires = { init: sft, reference: sft, prompts, held }
  const fit = { batchSize: 2, learningRate: 1e-3 }
  const spends = { ...fit, allowance: Kl.mnatsPerSequence(10), maxNewTokens: 4 }
  const steps = { ...spends, beta: 0.1, steps: 1 }
  const observe = { gold: Gold.own("AboutAsLong"), stopAtPeak: {} }
  const grpo = Grpo.make({ ...wires, reward }, { ...steps, groupSize: 2, observe })
  const capped = Pipeline.cap(grpo, { kl: Kl.mnatsPerSequence(10), from: sft })

  test("is in the type of every stage that can observe, and of what is made from it", () => {
    expect<Artifact.OutsideOf<typeof grpo>>().type.toBe<"reward AboutAsLong">()
    expect<Artifact.OutsideOf<typeof capped>>().type.toBe<"reward AboutAsLong">()
    const ppo = Ppo.make({ ...wires, reward, value: reward }, { ...steps, observe })
    expect<Artifact.OutsideOf<typeof ppo>>().type.toBe<"reward AboutAsLong">()
    const aligned = { init: sft, reference: sft, held, preferences }
    const dpo = Dpo.make(aligned, { ...spends, loss: PreferenceLoss.dpo(), observe })
    expect<Artifact.OutsideOf<typeof dpo>>().type.toBe<"reward AboutAsLong">()
    const kto = Kto.make(aligned, { ...spends, observe })
    expect<Artifact.OutsideOf<typeof kto>>().type.toBe<"reward AboutAsLong">()
    const distilled = OnPolicyDistill.make({ student: sft, teacher: base, prompts, held }, {
      ...spends,
      steps: 1,
      objective: Distillation.reverseKl(),
      observe
    })
    expect<Artifact.OutsideOf<typeof distilled>>().type.toBe<"reward AboutAsLong">()
  })

  test("is none where one of Keel's is, or none, or nobody knows", () => {
    const keels = Grpo.make({ ...wires, reward }, { ...steps, groupSize: 2, observe: { gold: Gold.tales } })
    expect<Artifact.OutsideOf<typeof keels>>().type.toBe<never>()
    const none = Grpo.make({ ...wires, reward }, { ...steps, groupSize: 2 })
    expect<Artifact.OutsideOf<typeof none>>().type.toBe<never>()
    const some = Grpo.make({ ...wires, reward }, {
      ...steps,
      groupSize: 2,
      observe: { gold: Gold.tales as ReturnType<typeof Gold.own> | typeof Gold.tales }
    })
    expect<Artifact.OutsideOf<typeof some>>().type.toBe<never>()
  })

  test("without its implementation is an error where it is run", () => {
    // @ts-expect-error "This pipeline has the reward AboutAsLong from outside Keel without its implementation: pass rewards: [aboutAsLong] in the options"
    run(capped, options)
    expect(run).type.toBeCallableWith(capped, { ...options, rewards: [aboutAsLong] })
    expect(simulate).type.toBeCallableWith(capped)
  })

  test("is a gold reward", () => {
    // @ts-expect-error Type 'string' is not assignable to type
    Grpo.make({ ...wires, reward }, { ...steps, groupSize: 2, observe: { gold: "AboutAsLong" } })
  })
})

test("a pipeline of which nothing is known is judged when it is run", () => {
  expect(simulate).type.toBeCallableWith(policy as Artifact.Any)
})

describe("an interpreter of one's own", () => {
  const one = () => 1
  const cases = Object.assign({} as Interpreter.Cases<number>, {})

  test("without a case for an operation of Keel's is an error", () => {
    const { Sft: _, ...rest } = cases
    // @ts-expect-error Property 'Sft' is missing in type
    Interpreter.fold<number, typeof sft>(sft, rest)
    expect(Interpreter.fold<number, typeof sft>(sft, cases)).type.toBe<number>()
  })

  test("without a case for an operation from outside that the pipeline has is an error", () => {
    // @ts-expect-error Property 'Rwr' is missing in type
    Interpreter.fold<number, typeof policy>(policy, cases)
    expect(Interpreter.fold<number, typeof policy>(policy, { ...cases, Rwr: one })).type.toBe<number>()
  })
})

describe("a loss from outside", () => {
  const spends = { batchSize: 2, learningRate: 1e-3, allowance: Kl.mnatsPerSequence(10), maxNewTokens: 4 }
  const cap = { kl: Kl.mnatsPerSequence(10), from: sft } as const
  const wires = { init: sft, held, preferences }
  const dpo = Pipeline.cap(
    Dpo.make({ ...wires, reference: sft }, { ...spends, loss: PreferenceLoss.own("Mine", { target: 2 }) }),
    cap
  )
  const rl = { init: sft, reference: sft, prompts, held, reward }
  const grpo = Pipeline.cap(
    Grpo.make(rl, { ...spends, beta: 0.1, steps: 1, groupSize: 2, loss: PolicyLoss.own("Yours") }),
    cap
  )
  const mine = preferenceLoss("Mine", ({ logps }) => ({ loss: 0, gradient: logps, metrics: {} }))
  const yours = policyLoss("Yours", ({ advantages }) => ({ loss: 0, gradient: advantages, metrics: {} }))

  test("is in the type of the stage that learns by it", () => {
    expect<Artifact.OutsideOf<typeof dpo>>().type.toBe<"preference loss Mine">()
    expect<Artifact.OutsideOf<typeof grpo>>().type.toBe<"policy loss Yours">()
    const ppo = Ppo.make({ ...rl, value: reward }, { ...spends, beta: 0.1, steps: 1, loss: PolicyLoss.own("Yours") })
    expect<Artifact.OutsideOf<typeof ppo>>().type.toBe<"policy loss Yours">()
    const both = Grpo.make(rl, {
      ...spends,
      beta: 0.1,
      steps: 1,
      groupSize: 2,
      loss: PolicyLoss.own("Yours"),
      observe: { gold: Gold.own("AboutAsLong") }
    })
    expect<Artifact.OutsideOf<typeof both>>().type.toBe<"policy loss Yours" | "reward AboutAsLong">()
  })

  test("without its implementation is an error where it is run, in simulation too", () => {
    // @ts-expect-error "This pipeline has the preference loss Mine from outside Keel without its implementation: pass losses: [mine] in the options"
    run(dpo, options)
    // @ts-expect-error "This pipeline has the policy loss Yours from outside Keel without its implementation: pass losses: [yours] in the options"
    simulate(grpo, { losses: [mine] })
    // @ts-expect-error "This pipeline has the preference loss Mine from outside Keel without its implementation: pass losses: [mine] in the options"
    simulate(dpo, { losses: [policyLoss("Mine", yours.of)] })
    expect(run).type.toBeCallableWith(dpo, { ...options, losses: [yours, mine] })
    expect(simulate).type.toBeCallableWith(grpo, { losses: [yours] })
  })

  test("says whether the stage has a reference, and is of its kind", () => {
    const none = PreferenceLoss.own("Mine", {}, { reference: false })
    expect(Dpo.make).type.toBeCallableWith(wires, { ...spends, loss: none })
    // @ts-expect-error Dpo.reference is missing: connect the policy that log-ratios are taken against, e.g. reference: sft
    Dpo.make(wires, { ...spends, loss: PreferenceLoss.own("Mine") })
    // @ts-expect-error is not assignable to type
    Dpo.make({ ...wires, reference: sft }, { ...spends, loss: PolicyLoss.own("Yours") })
    // @ts-expect-error is not assignable to type
    Grpo.make(rl, { ...spends, beta: 0.1, steps: 1, groupSize: 2, loss: PreferenceLoss.own("Mine") })
  })
})

describe("an interpreter with a case for all the others", () => {
  const otherwise = (_: object, { inputs }: Interpreter.At<number>) => Object.keys(inputs).length

  test("may leave cases out, and has none that there is no operation for", () => {
    expect(Interpreter.foldOr(policy, { Sft: ({ epochs }) => epochs, Rwr: () => 1 }, otherwise)).type.toBe<number>()
    // @ts-expect-error Object literal may only specify known properties
    Interpreter.foldOr(sft, { Stf: () => 1 }, otherwise)
  })
})

describe("an environment from outside", () => {
  const wires = { init: sft, prompts, held }
  const steps = {
    allowance: Kl.mnatsPerSequence(10),
    beta: 0,
    steps: 1,
    batchSize: 2,
    learningRate: 1e-3,
    maxNewTokens: 4
  } as const
  const thermostat = environment("Thermostat", () => ({ reward: 1 }))
  const grpo = Grpo.make(wires, { ...steps, groupSize: 2, environment: Environment.own("Thermostat") })
  const capped = Pipeline.cap(grpo, { kl: Kl.mnatsPerSequence(10), from: sft })

  test("is in the type, and asked for where it is run", () => {
    expect<Artifact.OutsideOf<typeof capped>>().type.toBe<"environment Thermostat">()
    // @ts-expect-error "This pipeline has the environment Thermostat from outside Keel without its implementation: pass rewards: [thermostat] in the options"
    run(capped, options)
    expect(run).type.toBeCallableWith(capped, { ...options, rewards: [thermostat] })
    expect(simulate).type.toBeCallableWith(capped)
  })

  test("is a reward by itself for PPO too; one of Keel's needs no implementation", () => {
    const ppo = Ppo.make({ ...wires, value: sft }, { ...steps, environment: Environment.own("Thermostat") })
    expect<Artifact.OutsideOf<typeof ppo>>().type.toBe<"environment Thermostat">()
    const keels = Ppo.make({ ...wires, value: sft }, { ...steps, environment: Environment.guessNumber() })
    expect<Artifact.OutsideOf<typeof keels>>().type.toBe<never>()
    // @ts-expect-error Type 'string' is not assignable to type
    Grpo.make(wires, { ...steps, groupSize: 2, environment: "calculator" })
  })
})
