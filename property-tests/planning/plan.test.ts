import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, type FileSystem, Result, type Schema } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Compare,
  Evaluate,
  Gold,
  Mix,
  Pretrain,
  RejectionSampling,
  RewardModeling,
  Select,
  Sft,
  Source
} from "../../dsl/index.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import instruct from "../../examples/01-instruct-gpt.ts"
import grpo from "../../examples/03-grpo.ts"
import { label } from "../../dsl/Render.ts"
import { planWith } from "../../src/planning/microBatches.ts"
import { plan, type Planned, type StagePlan } from "../../src/planning/plan.ts"
import { tiny } from "../interpreters/tiny.ts"

const planned = (root: Artifact.Any, rehearsed?: number): Promise<Planned> =>
  Effect.runPromise(
    Effect.provide(plan(root, rehearsed === undefined ? {} : { rehearsed }), NodeFileSystem.layer)
  )

const run = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeFileSystem.layer))
const stagesOf = (root: Artifact.Any): ReadonlyArray<string> => Artifact.lineage(root).map(label)

/** Shares of steps are no whole numbers, and a meter that has counted more before rounds its sums otherwise. */
const rounded = (stages: unknown): unknown =>
  JSON.parse(
    JSON.stringify(stages, (_, value) => typeof value === "number" ? String(Number(value.toPrecision(12))) : value)
  )

const shrunken = (root: Artifact.Any, sets: Readonly<Record<string, Schema.Json>>): Artifact.Any =>
  Object.entries(sets).reduce((root, [key, value]) => Result.getOrThrow(Pipeline.set(root, key, value)), root)

const examples = {
  "examples/01-instruct-gpt.ts": shrunken(instruct, {
    "pretrain.steps": 400,
    "rewardmodeling.batchSize": 600,
    "ppo.steps": 20,
    "ppo.batchSize": 8,
    "ppo.measureEvery": 7
  }),
  "examples/03-grpo.ts": shrunken(grpo, {
    "pretrain.steps": 400,
    "grpo.steps": 20,
    "grpo.batchSize": 2,
    "grpo.measureEvery": 7
  })
}

describe("a plan", () => {
  for (const [name, root] of Object.entries(examples)) {
    it(`of ${name} says what all steps take, from a few of them`, async () => {
      const [few, all] = [await planned(root), await planned(root, Infinity)]
      assert.deepStrictEqual([few.unplanned, all.unplanned], [[], []])
      assert.deepStrictEqual(few.stages.map(({ stage }) => stage), all.stages.map(({ stage }) => stage))
      for (const [i, { bytes, flops, generated, stage, steps, trained }] of few.stages.entries()) {
        const of = all.stages[i]!
        assert.strictEqual(steps, of.steps, stage)
        // Completions have one length; texts do not, and those of some steps stand for all.
        assert.strictEqual(generated, of.generated, stage)
        if (generated > 0) assert.strictEqual(trained, of.trained, stage)
        else if (of.trained > 0) assert.approximately(trained / of.trained, 1, 0.01, stage)
        assert.approximately(flops / of.flops, 1, 0.01, stage)
        assert.isAtMost(bytes, of.bytes, stage)
      }
    }, 60_000)
  }

  for (const [name, root] of Object.entries(examples)) {
    it(`of one stage of ${name} is that of all, after one of all`, async () => {
      const plan = planWith({})
      const all = await run(plan(root, new Map()))
      for (const { stage, ...of } of all.stages) {
        const { stages, unplanned } = await run(plan(root, new Map(), { only: new Set([stage]) }))
        assert.deepStrictEqual(unplanned, [])
        assert.deepStrictEqual(rounded(stages), rounded([{ stage, ...of }]))
      }
      // And of one that was changed, which has another label, with what did not change before it.
      const changed = Result.getOrThrow(Pipeline.set(root, `${name.includes("grpo") ? "grpo" : "ppo"}.recompute`, true))
      const [other] = stagesOf(changed).filter((one) => !stagesOf(root).includes(one))
      const [{ host, ...alone }] = (await run(plan(changed, new Map(), { only: new Set([other!]) }))).stages as [
        StagePlan
      ]
      const { host: after, ...amongAll } = (await planned(changed)).stages.find(({ stage }) => stage === other)!
      assert.deepStrictEqual(rounded(alone), rounded(amongAll))
      // Without what earlier stages left in the process.
      assert.isAtMost(host, after)
    }, 60_000)
  }

  it("of few long rows among many short ones says what all steps take", async () => {
    const base = Pretrain.make({ text: Source.text(Source.tales({ count: 64 })) }, {
      family: "tales",
      model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 512 },
      steps: 2,
      batchSize: 2,
      learningRate: 3e-3
    })
    const demonstrations = Source.demonstrations(Source.tales({ count: 4000 }))
    const prompts = Source.prompts(Source.tales({ split: "train", count: 230 }))
    const tuned = (data: Artifact.Of<"Demonstrations">): Artifact.Of<"BaseModel" | "Policy", "tales"> =>
      Sft.make({ base, demonstrations: data }, { learningRate: 2e-5, schedule: "cosine", batchSize: 64, epochs: 2 })
    const first = tuned(demonstrations)
    const rejected = Pipeline.repeat(first, 2, (_, __, earlier) => {
      const preferences = Compare.make({ policy: earlier.at(-1)!, prompts }, { gold: Gold.tales, maxNewTokens: 400 })
      const reward = RewardModeling.make({ init: first, preferences }, { batchSize: 46, learningRate: 1e-5 })
      const best = earlier.map((policy) =>
        RejectionSampling.make({ policy, prompts, reward }, {
          completionsPerPrompt: 2,
          maxNewTokens: 400,
          rule: Select.perPrompt()
        }).selected
      )
      return tuned(Mix.make({ demonstrations, ...Object.fromEntries(best.map((of, i) => [`v${i}`, of])) }))
    })
    const sfts = ({ stages }: Planned) => stages.filter(({ stage }) => stage.startsWith("sft"))
    const [few, all] = [sfts(await planned(rejected)), sfts(await planned(rejected, Infinity))]
    assert.strictEqual(few.length, 3)
    for (const [i, { bytes, flops, stage, trained }] of few.entries()) {
      const of = all[i]!
      assert.approximately(trained / of.trained, 1, 0.01, stage)
      assert.approximately(flops / of.flops, 1, 0.01, stage)
      assert.approximately(bytes / of.bytes, 1, 0.03, stage)
    }
  }, 60_000)

  it("in micro-batches says what all rows of a large batch take", async () => {
    const { root } = tiny({ steps: 2, measureEvery: 2, ppo: { batchSize: 1024, maxNewTokens: 90 }, context: 128 })
    const [{ stage }] = (await planned(root)).stages.filter(({ stage }) => stage.startsWith("ppo")) as [
      Planned["stages"][number]
    ]
    const only = new Set([stage])
    for (const microBatchTokens of [64, 1024]) {
      const microBatches = new Map([[stage, { microBatchTokens, slots: 8 }]])
      const all = (await run(planWith({ rehearsed: Infinity })(root, microBatches, { only }))).stages[0]!
      // Longer than 32 tokens each, so no two rows share one of 64.
      if (microBatchTokens === 64) assert.strictEqual(all.accumulated, 1024)
      const some = (await run(planWith({})(root, microBatches, { only }))).stages[0]!
      assert.approximately(some.flops / all.flops, 1, 0.01, `${microBatchTokens}`)
      // At most 2 % too much: other rows share the micro-batches whose logits, of two models, a measurement of KL compares.
      assert.isAtLeast(some.bytes / all.bytes, 0.99, `${microBatchTokens}`)
      assert.isAtMost(some.bytes / all.bytes, 1.02, `${microBatchTokens}`)
      assert.deepStrictEqual(
        [some.generated, some.trained, some.accumulated],
        [all.generated, all.trained, all.accumulated]
      )
    }
  }, 60_000)

  it("needs no numbers: of 8 B, with adapters on every projection", async () => {
    const config = {
      model_type: "llama",
      vocab_size: 128_256,
      hidden_size: 4096,
      intermediate_size: 14_336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      max_position_embeddings: 8192,
      rms_norm_eps: 1e-5,
      rope_theta: 500_000
    }
    const targetModules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const
    const base = Checkpoint.huggingFace("llama", "nowhere")
    const demonstrations = Source.demonstrations(Source.tales({ count: 20 }))
    const lora = { rank: 64, alpha: 64, targetModules } as const
    const root = Sft.make({ base, demonstrations }, { batchSize: 4, learningRate: 1e-4, lora })
    const { stages, unplanned } = await run(plan(root, { shape: { config, tokenizer: new Map() } }))
    assert.deepStrictEqual(unplanned, [])
    const { terms } = stages.find(({ stage }) => stage.startsWith("sft"))!
    const held = (what: string) => terms.find((term) => term.what === what)!.bytes
    // Weights once and adapters, moments of adapters alone: rank × (in + out) of each projection.
    const adapters = 32 * 64 * ((4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 14_336) * 3)
    assert.approximately(held("weights") / (4 * (8_030_261_248 + adapters)), 1, 0.02)
    assert.isAtLeast(held("optimizer"), 8 * adapters)
    assert.isAtMost(held("optimizer"), 0.1 * held("weights"))
  }, 60_000)

  it("costs no more for more steps, and grows with them exactly where steps are alike", async () => {
    const at = (steps: number) => planned(tiny({ steps, measureEvery: steps }).root, 4)
    const [some, many] = [await at(40), await at(4_000_000)]
    const ppo = ({ stages }: Planned) => stages.find(({ stage }) => stage.startsWith("ppo"))!
    assert.strictEqual(ppo(many).steps, 4_000_000)
    // Measured once in both.
    const once = 2 * ppo(some).trained
    assert.strictEqual(ppo(many).trained, 100_000 * (once / 2))
  })

  it("is the same for a cap or not, but for what measuring it takes", async () => {
    const { stages } = await planned(tiny().root)
    const { stages: often } = await planned(tiny({ measureEvery: 1 }).root)
    const flops = (of: typeof stages) => of.find(({ stage }) => stage.startsWith("ppo"))!
    assert.isAbove(flops(often).flops, flops(stages).flops)
    assert.strictEqual(flops(often).trained, flops(stages).trained)
    // Twice and four times in four steps, 64 samples of 6 tokens each.
    assert.strictEqual(flops(often).generated - flops(stages).generated, 2 * 64 * 6)
  })

  it("says what cannot be planned, and what comes after it", async () => {
    // Every prompt fits this context with what is sampled, but not every demonstration.
    const { stages, unplanned } = await planned(tiny({ context: 18 }).root)
    assert.isAbove(unplanned.length, 0)
    assert.isFalse(unplanned.some(({ problem }) => problem.includes("\n")))
    assert.isFalse(stages.some(({ stage }) => unplanned.some((one) => one.stage === stage)))
  })

  it("of stages that depend on none that cannot be planned is what it would be without those", async () => {
    const { base, sft, held, reward } = tiny()
    const tuned = (file: string) =>
      Sft.make({ base, demonstrations: Source.demonstrations(Source.file(file)) }, { batchSize: 2, learningRate: 1e-3 })
    const [first, second] = [tuned("nowhere.jsonl"), tuned("elsewhere.jsonl")]
    const root: Artifact.Any = Evaluate.make({ initial: base, reward, prompts: held }, { first, sft, second }, {
      gold: Gold.tales,
      maxNewTokens: 4
    })
    const { stages, unplanned } = await planned(root)
    assert.deepStrictEqual(
      unplanned.map(({ problem, stage }) => [stage, problem.replace(/: .*/u, "")]),
      [[label(first), "nowhere.jsonl"], [label(second), "elsewhere.jsonl"], [
        label(root),
        `it comes after ${label(first)}`
      ]]
    )
    assert.sameDeepMembers(rounded(stages) as Array<unknown>, rounded((await planned(reward)).stages) as Array<unknown>)
  })
})
