import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit, Result } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import {
  Advantage,
  Distill,
  Distillation,
  Dpo,
  Grpo,
  Kl,
  Kto,
  OnPolicyDistill,
  Pipeline,
  PreferenceLoss,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type { Computing, Engine } from "../../src/engine/engine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { problems } from "../../src/interpreters/check.ts"
import { prepare } from "../../src/planning/prepare.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { reference } from "../../src/tensor/reference.ts"
import { rounded } from "../engine/transformer/rounded.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, failed, type Ran, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("precision")
const trained = ["pretrain", "sft", "rewardmodeling", "ppo"]

const set = (root: Artifact.Any, field: string, value: string | boolean): Artifact.Any =>
  trained.reduce((of, name) => Result.getOrThrow(Pipeline.set(of, `${name}.${field}`, value)), root)

/** An engine that writes down how models are opened. */
const noting = (engine: Engine, opened: Array<Computing | undefined>): Engine => ({
  ...engine,
  policy: (weights, computing) => {
    opened.push(computing)
    return engine.policy(weights, computing)
  },
  scorer: (weights, computing) => {
    opened.push(computing)
    return engine.scorer(weights, computing)
  }
})

const stepsOf = ({ events }: Ran, operation: string) =>
  events.flatMap((event) => event._tag === "Step" && event.stage.startsWith(operation) ? [event] : [])
const gaps = (metrics: object): ReadonlyArray<string> => Object.keys(metrics).filter((name) => name.startsWith("bf16/"))

describe("precision bf16", () => {
  const root = set(tiny().root, "precision", "bf16")

  it("is refused where it is not offered, before anything is loaded, with what offers it", async () => {
    const store = folder()
    const error = failed(await runs(root, store))
    assert.strictEqual(error._tag, "Refused")
    assert.strictEqual(error.message.split("\n").length, 1 + trained.length)
    for (const line of error.message.split("\n").slice(1)) {
      assert.match(line, /precision bf16 is not offered here, only f32; .*--backend native .*AVX512-BF16 or AMX/)
    }
    assert.deepStrictEqual([...contents(store).keys()], [])
    const before = (engine?: Engine) =>
      Effect.runPromise(
        Effect.exit(Effect.provide(prepare(root, engine === undefined ? {} : { engine }), NodeServices.layer))
      )
    assert.isTrue(Exit.isFailure(await before(transformer(reference()))))
    assert.isTrue(Exit.isSuccess(await before(transformer(rounded(reference())))))
    assert.isTrue(Exit.isSuccess(await before()))
  })

  it("is how models that a stage only reads are opened, where the stage says so", async () => {
    const { root } = tiny()
    for (const stage of ["compare", "evaluate"]) {
      const opened: Array<Computing | undefined> = []
      const rounds = Result.getOrThrow(Pipeline.set(root, `${stage}.precision`, "bf16"))
      succeeded(await runs(rounds, folder(), { engine: noting(transformer(rounded(reference())), opened) }))
      assert.isAbove(opened.filter((computing) => computing?.precision === "bf16").length, 0, stage)
    }
  })

  it("is how every model of its stages is opened, and what it does is reported at the first and the last step", async () => {
    const opened: Array<Computing | undefined> = []
    const ran = succeeded(await runs(root, folder(), { engine: noting(transformer(rounded(reference())), opened) }))
    // Pretrain 1, Sft 1, RewardModeling 1, Ppo policy, value, reference (the initial model too) and reward; the rest is not trained.
    assert.strictEqual(opened.filter((computing) => computing?.precision === "bf16").length, 7)
    for (const operation of trained) {
      const steps = stepsOf(ran, operation)
      assert.isAbove(steps.length, 1)
      const name = operation === "rewardmodeling" ? "value" : "logp"
      steps.forEach(({ metrics }, i) => {
        if (i > 0 && i < steps.length - 1) return assert.deepStrictEqual(gaps(metrics), [])
        const [mean, max] = [metrics[`bf16/${name}_gap_mean`]!, metrics[`bf16/${name}_gap_max`]!]
        assert.isAtMost(mean, max)
        assert.isBelow(max, 0.1)
        // A new reward model is zero in any precision.
        if (operation === "rewardmodeling" && i === 0) assert.strictEqual(max, 0)
        else assert.isAbove(mean, 1e-7)
      })
    }
  })

  it("is nothing to a world that is exact", async () => {
    const { events } = await Effect.runPromise(simulate(root))
    for (const event of events) if (event._tag === "Step") assert.deepStrictEqual(gaps(event.metrics), [])
    assert.isTrue(events.some(({ _tag }) => _tag === "Step"))
  })
})

describe("rounding is measured at the first and the last step, and only there, of", () => {
  const { base, compared: preferences, held, prompts, sft: init } = tiny()
  const demonstrations = Source.demonstrations(Source.tales({ count: 9 }))
  const off = { batchSize: 3, learningRate: 3e-3, precision: "bf16" } as const
  const on = { allowance: Kl.mnatsPerSequence<number>(1), steps: 3, maxNewTokens: 4, measureSamples: 4, ...off }
  const { steps: _, ...byEpoch } = on
  const [student, teacher] = [base, init]
  const grpo = (learningRate: number) =>
    Grpo.make({ init, prompts, held }, {
      ...on,
      batchSize: 2,
      groupSize: 2,
      beta: 0,
      verifiers: [Verifier.format(["a"])],
      advantage: new Advantage.MonteCarlo({}),
      missingEosPenalty: 1,
      learningRate
    })
  const stages: Readonly<Record<string, Artifact.Any>> = {
    Dpo: Dpo.make({ init, preferences, held }, { ...byEpoch, loss: PreferenceLoss.simPo() }),
    Kto: Kto.make({ init, reference: init, preferences, held }, byEpoch),
    Grpo: grpo(3e-3),
    "Distill, sequences": Distill.make({ student, teacher, demonstrations }, {
      ...off,
      objective: Distillation.sequenceLevel
    }),
    "Distill, words": Distill.make({ student, teacher, demonstrations }, { ...off, objective: Distillation.wordLevel }),
    "OnPolicyDistill, reverse KL": OnPolicyDistill.make({ student, teacher, prompts, held }, {
      ...on,
      objective: Distillation.reverseKl()
    }),
    "OnPolicyDistill, divergence": OnPolicyDistill.make({ student, teacher, prompts, held }, {
      ...on,
      objective: Distillation.generalizedJsd({ beta: 0.5 })
    })
  }
  const told = async (of: Artifact.Any) => {
    const distance = { kl: Kl.mnatsPerSequence(1e6), from: of.node.op === "OnPolicyDistill" ? base : init }
    const root = "allowance" in (of.node.params as object) ? Pipeline.cap(of, distance) : of
    return stepsOf(
      succeeded(await runs(root as Artifact.Any, folder(), { engine: transformer(rounded(reference())) })),
      of.node.op.toLowerCase()
    )
  }

  for (const [name, root] of Object.entries(stages)) {
    it(name, async () => {
      const steps = await told(root)
      assert.isAbove(steps.length, 2)
      steps.forEach(({ metrics }, i) => {
        const ends = i === 0 || i === steps.length - 1
        assert.sameMembers(gaps(metrics) as Array<string>, ends ? ["bf16/logp_gap_mean", "bf16/logp_gap_max"] : [])
        if (!ends) return
        assert.isAbove(metrics["bf16/logp_gap_mean"]!, 1e-7)
        assert.isBelow(metrics["bf16/logp_gap_max"]!, 0.1)
      })
    })
  }

  it("the samples, before an update moves the policy", async () => {
    // After an update of this size log-probabilities are elsewhere altogether.
    for (const { metrics } of (await told(grpo(0.3))).slice(0, 1)) {
      assert.isBelow(metrics["bf16/logp_gap_max"]!, 0.02)
    }
  })
})

it("f32 and no precision are offered everywhere, and no gap is reported", async () => {
  for (const root of [tiny().sft, set(tiny().root, "precision", "f32")]) {
    const ran = succeeded(await runs(root, folder()))
    assert.isNotEmpty(stepsOf(ran, "sft"))
    for (const { metrics } of stepsOf(ran, "")) assert.deepStrictEqual(gaps(metrics), [])
  }
})

it("recompute reaches every trained model", async () => {
  const opened: Array<Computing | undefined> = []
  const root = set(tiny().root, "recompute", true)
  succeeded(await runs(root, folder(), { engine: noting(transformer(reference()), opened) }))
  assert.strictEqual(opened.filter((computing) => computing?.recompute === true).length, 7)
  assert.isTrue(opened.every((computing) => computing?.precision === "f32" || computing === undefined))
})

it("naming the default changes nothing, another value does, and both are read back from JSON", () => {
  const { root } = tiny()
  for (
    const [field, value, same] of [
      ["precision", "f32", true],
      ["precision", "bf16", false],
      ["recompute", false, true],
      ["recompute", true, false]
    ] as const
  ) {
    const changed = set(root, field, value)
    assert.strictEqual(changed.id === root.id, same)
    assert.strictEqual(Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(changed))).id, changed.id)
    assert.deepStrictEqual(problems(changed), [])
  }
})

it("another precision is a mistake in every stage that names it", () => {
  const found = problems(set(tiny().root, "precision", "fp16"))
  assert.deepStrictEqual(found.map(({ stage }) => stage.split("-")[0]), trained)
  for (const { problem } of found) assert.match(problem, /Expected "f32" \| "bf16" at \["precision"\]/)
  assert.isTrue(found.every(({ stage }) => stage !== label(tiny().root)))
})
