/** COMPLAINTS.md keeps to what it says; and the cases of it that are shown nowhere else. */
import fc from "fast-check"
import { mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "vitest"
import * as Artifact from "../dsl/Artifact.ts"
import {
  Advantage,
  Checkpoint,
  Compare,
  Gold,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  PolicyLoss,
  Pretrain,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../dsl/index.ts"
import * as Render from "../dsl/Render.ts"
import { transformer } from "../src/engine/transformer/transformer.ts"
import { initial } from "../src/engine/transformer/initial.ts"
import { problems } from "../src/interpreters/check.ts"
import { tokenAdvantages } from "../src/losses/advantages.ts"
import { dpo } from "../src/losses/dpo.ts"
import { policyGradient } from "../src/losses/policyGradient.ts"
import { tokenRewards } from "../src/losses/rewards.ts"
import { load } from "../src/model/checkpoint.ts"
import { reference } from "../src/tensor/reference.ts"
import * as PreferenceLoss from "../dsl/PreferenceLoss.ts"
import { folderIn, runs, succeeded, tiny } from "./interpreters/tiny.ts"
import { assertClose, f64, i32 } from "./losses/gradients.ts"

const folder = fileURLToPath(new URL("./", import.meta.url))

describe("COMPLAINTS.md", () => {
  const rows = readFileSync(join(folder, "COMPLAINTS.md"), "utf8").split("\n")
    .filter((line) => /^\| \d+ \|/u.test(line))
    .map((line) => line.slice(1, -1).split(" | ").map((cell) => cell.trim()))

  it("has all of the 33, once each", () => {
    assert.deepStrictEqual(rows.map(([number]) => Number(number)), Array.from({ length: 33 }, (_, i) => i + 1))
    for (const cells of rows) {
      assert.lengthOf(cells, 5, cells[0]!)
      assert.isTrue(cells.every((cell) => cell.length > 3 || /^\d+$/u.test(cell)), cells[0]!)
    }
  })

  it("names tests that exist", () => {
    for (const [number, , , , cited] of rows) {
      const named = cited!.split(/; (?=`)/u)
      for (const one of named) {
        const [, file, name] = /^`([^`]+)` › (.+)$/u.exec(one) ?? []
        assert(file !== undefined && name !== undefined, `${number}: ${one}`)
        const text = readFileSync(join(folder, file), "utf8")
        const quoted = ['"', "'", "`"].some((quote) =>
          new RegExp(`(?:it|describe|test)\\(\\s*${quote}`, "u").test(text) &&
          text.includes(`${quote}${name}${quote}`)
        )
        assert.isTrue(quoted, `${number}: ${file} has no test called ${name}`)
      }
    }
  })
})

const model = { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 64 }
const text = Source.text(Source.tales({ count: 8 }))
const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
const fit = { batchSize: 2, learningRate: 1e-3 }
const base = Pretrain.make({ text }, { ...fit, family: "tales", model, steps: 4 })
const sft = Sft.make({ base, demonstrations }, fit)
const spends = { steps: 4, allowance: Kl.mnatsPerSequence<number>(100), maxNewTokens: 4 }

const grpo = (params: object = {}, wires: object = {}): Artifact.Any =>
  Pipeline.cap(
    Grpo.make({ init: sft, reference: sft, prompts, held, ...wires } as never, {
      ...fit,
      ...spends,
      beta: 0.1,
      groupSize: 2,
      verifiers: [Verifier.keywords()],
      ...params
    } as never) as never,
    { kl: Kl.mnatsPerSequence<number>(100), from: sft } as never
  ) as Artifact.Any
const lines = (root: unknown): ReadonlyArray<string> => problems(root as Artifact.Any).map(({ problem }) => problem)

const estimators = ["k2", "k3", "k3-corrected"] as const

describe("KL", () => {
  const names = { ...PolicyGradient }
  const grouped = Object.entries(names).filter(([name]) => !name.startsWith("ppo"))

  it("complaint 2: KL in the reward or in the loss, with every name", () => {
    for (const [name, { advantage, loss }] of grouped) {
      for (
        const kl of [
          new PolicyLoss.KlInReward(),
          ...estimators.map((k) => new PolicyLoss.KlInLoss({ estimator: k }))
        ]
      ) {
        const of = new PolicyLoss.PolicyLoss({ ...loss, kl })
        assert.deepStrictEqual(lines(grpo({ advantage, loss: of })), [], `${name} ${kl._tag}`)
      }
    }
  })

  it("complaint 3: the correction of k3 is another description", () => {
    const ids = estimators.map((estimator) =>
      grpo({
        loss: new PolicyLoss.PolicyLoss({ ...PolicyGradient.grpo.loss, kl: new PolicyLoss.KlInLoss({ estimator }) })
      }).id
    )
    assert.strictEqual(new Set(ids).size, 3)
  })

  it("complaint 5: the KL that is logged, times beta, is what the reward loses", () => {
    const [logps, ref, offsets, scores] = [f64(-1, -2, -0.5), f64(-2, -1.5, -0.25), i32(0, 2, 3), f64(1, 0)]
    const { metrics, rewards } = tokenRewards(logps, ref, scores, offsets, { beta: 0.5 })
    const lost = (1 + 0 - rewards.reduce((sum, r) => sum + r, 0)) / 2
    // k1 of whole completions, as InstructGPT penalises it: it may be negative in a sample, as it is here in the second.
    assert.closeTo(metrics["objective/kl"]!, ((-1 + 2) + (-2 + 1.5) + (-0.5 + 0.25)) / 2, 1e-12)
    assert.closeTo(lost, 0.5 * metrics["objective/kl"]!, 1e-12)
  })

  it("complaint 11: with beta 0 no reference is needed, and KL still has to be capped", () => {
    assert.deepStrictEqual(lines(grpo({ beta: 0 }, { reference: undefined })), [])
    const open = grpo({ beta: 0 }, { reference: undefined }).node.wires["of"]
    assert.match(lines(open).join("\n"), /^it spends KL and nobody capped it: wrap it in Pipeline.cap/)
  })

  it("complaint 12: the reference is what the wire says", () => {
    assert.match(lines(grpo({}, { reference: undefined })).join("\n"), /^Grpo.reference is missing: connect /)
    const lora = { rank: 2, alpha: 4, targetModules: ["q_proj"] as const }
    const adapted = Sft.make({ base, demonstrations }, { ...fit, lora } as never)
    const from = (of: unknown) =>
      Grpo.make({ init: adapted, reference: of, prompts, held } as never, {
        ...fit,
        ...spends,
        beta: 0.1,
        groupSize: 2,
        verifiers: [Verifier.keywords()]
      } as never) as Artifact.Any
    assert.notStrictEqual(from(adapted).id, from(base).id)
    assert.include(Render.text(from(adapted)), `reference: ${Render.label(adapted as Artifact.Any)}`)
  })

  it("complaint 13: beta reaches the update, with every advantage and every placement", () => {
    const [logps, ref, offsets] = [f64(-1, -2, -0.5, -3), f64(-2, -1.5, -1, -1), i32(0, 2, 4)]
    const batch = { scores: f64(1, 2), logps, refLogps: ref, offsets }
    const advantages = [
      new Advantage.MonteCarlo(),
      new Advantage.GroupMean(),
      new Advantage.LeaveOneOut(),
      new Advantage.GroupStd({ ddof: 1, epsilon: 1e-4 }),
      new Advantage.MaxNormalised()
    ]
    for (const advantage of advantages) {
      // Of three, since two whose order stays have the same standardised advantages whatever lies between them.
      const three = { ...batch, scores: f64(1, 2, 0.5), offsets: i32(0, 1, 2, 4) }
      const at = (beta: number) => [...tokenAdvantages(advantage, three, { beta, groupSize: 3 }).advantages]
      assert.notDeepEqual(at(0.3), at(0), advantage._tag)
    }
    for (const estimator of estimators) {
      const loss = { ...PolicyGradient.grpo.loss, kl: new PolicyLoss.KlInLoss({ estimator }) }
      const at = (
        beta: number
      ) => [...policyGradient({ ...batch, oldLogps: logps, advantages: f64(1, 1, -1, -1) }, loss, { beta }).gradient]
      assert.notDeepEqual(at(0.3), at(0), estimator)
    }
  })
})

describe("what is refused before anything is loaded", () => {
  it("complaint 19: batches that do not divide are refused before anything is loaded", () => {
    const absent = Checkpoint.huggingFace("tales", "/nowhere")
    const root = grpo({ batchSize: 6, numMiniBatches: 4, groupSize: 1 }, { init: absent, reference: absent })
    const found = lines(root).join("\n")
    assert.match(found, /^batchSize 6 does not divide into 4 equal mini-batches$/mu)
    assert.match(found, /^groupSize 1 leaves GroupStd nothing to compare: raise it, or take MonteCarlo$/mu)
  })

  it("complaint 20: a wrong description is refused although its files are not there", () => {
    const rows = Source.demonstrations(Source.file("/nowhere/rows.jsonl", { limit: 4 }))
    const root = Sft.make({ base: Checkpoint.huggingFace("tales", "/nowhere"), demonstrations: rows }, {
      batchSize: 8,
      learningrate: 1e-3
    } as never)
    assert.sameMembers([...lines(root)], [
      'Missing key at ["learningRate"]',
      'Expected no excess property at ["learningrate"]: learningRate was meant?'
    ])
  })

  it("complaint 21: any group size goes with any number of prompts", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 2, max: 64 }), (batchSize, groupSize) => {
        assert.deepStrictEqual(lines(grpo({ batchSize, groupSize })), [])
      }),
      { numRuns: 20 }
    )
  })

  it("complaint 22: too long, and a rank too large, are said with what would fit", () => {
    const long = Compare.make({ policy: sft, prompts }, { gold: Gold.tales, maxNewTokens: 60 })
    assert.match(lines(long).join("\n"), /longer than the context 64 .*take 52 or fewer/)
    const cut = Sft.make({ base, demonstrations }, { ...fit, maxLength: 100, truncation: "keep-start" })
    assert.match(lines(cut).join("\n"), /^maxLength 100 is more than the context 64 of .*take 64, or leave it out$/)
    const lora = { rank: 32, alpha: 4, targetModules: ["q_proj"] as const }
    const adapted = Sft.make({ base, demonstrations }, { ...fit, lora } as never)
    assert.match(lines(adapted).join("\n"), /^lora.rank 32 is larger than the smaller dimension of q_proj, 16$/)
  })

  it("complaint 23: what goes into a stage is printed, and is part of its id", () => {
    const other = Sft.make({ base, demonstrations }, { ...fit, seed: 1 })
    const [one, two] = [grpo(), grpo({}, { init: other })]
    assert.notStrictEqual(one.id, two.id)
    const line = Render.text(two).split("\n").find((line) => line.startsWith("grpo-"))
    assert.include(line, `init: ${Render.label(other as Artifact.Any)}  `)
    assert.include(line, `reference: ${Render.label(sft as Artifact.Any)}`)
  })
})

describe("models", () => {
  it("complaint 24: the head of a reward model is trained, saved, and what the next stage gets", async () => {
    const store = mkdtempSync(join(tmpdir(), "keel-complaints-"))
    const reward = Artifact.lineage(tiny().root).find(({ node }) => node.op === "RewardModeling")!
    const again = RewardModeling.make({
      init: reward,
      preferences: reward.node.wires["preferences"]
    } as never, { batchSize: 4, learningRate: 1e-3 } as never) as Artifact.Any
    succeeded(await runs(again, store))
    const saved = async (of: Artifact.Any) => {
      const weights = await Effect.runPromise(
        Effect.provide(load(join(await folderIn(store, of), "model")), NodeFileSystem.layer)
      )
      return [...weights.tensors.get("score.weight")!.data]
    }
    const [first, second] = [await saved(reward), await saved(again)]
    assert.isTrue(first.every((x) => x !== 0 && Number.isFinite(x)), "it starts at 0")
    // A few steps of 1e-3 from where the first one ended, and not from 0 or from chance.
    assert.isTrue(second.every((x, i) => x !== first[i] && Math.abs(x - first[i]!) < 0.02))
  })

  it("complaint 25: tokenizer and chat template go through a stage byte for byte", () => {
    const weights = initial({ ...model, words: ["a", "b"], seed: "x" })
    const tokenizer = new Map([...weights.tokenizer, ["chat_template.jinja", "{{ messages[0].content }} "]])
    const policy = transformer(reference()).policy({ ...weights, tokenizer })
    policy.learn([{ prompt: i32(1), completion: i32(4, 5) }], (logps) => logps.map(() => -1))
    policy.step({ learningRate: 0.1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 })
    assert.deepStrictEqual([...policy.weights().tokenizer], [...tokenizer])
  })

  it("complaint 31: updates with learning rate 0 leave sampler and trainer where they were", () => {
    const policy = transformer(reference()).policy(initial({ ...model, words: ["a", "b", "c"], seed: "y" }))
    const sampling = { maxNewTokens: 8, temperature: 1, topK: 0, topP: 1, stop: [2] }
    const gap = (step: number): number => {
      const sampled = policy.sample([i32(1, 4), i32(1)], sampling, [`${step}/0`, `${step}/1`])
      const rows = sampled.map(({ completion }, i) => ({ prompt: [i32(1, 4), i32(1)][i]!, completion }))
      const said = sampled.flatMap(({ logps }) => [...logps])
      return Math.max(...[...policy.logprobs(rows).logps].map((logp, t) => Math.abs(logp - said[t]!)))
    }
    for (let step = 0; step < 5; step++) {
      assert.isBelow(gap(step), 1e-9)
      policy.learn([{ prompt: i32(1), completion: i32(4, 5) }], (logps) => logps.map(() => -1))
      policy.step({ learningRate: 0, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 })
    }
  })
})

describe("losses", () => {
  const eight = Array.from({ length: 8 }, (_, i) => ({
    logps: f64(...Array.from({ length: i + 1 }, (_, t) => -0.3 * (t + 1) - 0.1 * i)),
    advantage: i % 3 - 1
  }))
  const batchOf = (rows: typeof eight) => {
    const logps = f64(...rows.flatMap(({ logps }) => [...logps]))
    return {
      logps,
      oldLogps: logps.map((x) => x - 0.05),
      refLogps: logps.map((x) => x + 0.2),
      advantages: f64(...rows.flatMap(({ advantage, logps }) => [...logps].map(() => advantage))),
      offsets: Int32Array.from([0, ...rows.map((_, i) => rows.slice(0, i + 1).reduce((n, r) => n + r.logps.length, 0))])
    }
  }

  it("complaint 29: eight batches of one are one batch of eight, with every aggregation", () => {
    const { TokenMean, SequenceMean, FixedLength, SequenceSum } = PolicyLoss
    for (
      const aggregation of [new TokenMean(), new SequenceMean(), new FixedLength({ length: 9 }), new SequenceSum()]
    ) {
      const loss = { ...PolicyGradient.grpo.loss, aggregation }
      const denominator = aggregation._tag === "TokenMean" ? 36 : 8
      const whole = policyGradient(batchOf(eight), loss, { beta: 0.1 })
      const parts = eight.map((row) => policyGradient(batchOf([row]), loss, { beta: 0.1, denominator }))
      assertClose(f64(...parts.flatMap(({ gradient }) => [...gradient])), whole.gradient, 1e-12)
      assert.closeTo(parts.reduce((sum, { loss }) => sum + loss, 0), whole.loss, 1e-12, aggregation._tag)
    }
  })

  it("complaint 32: what is masked counts nowhere, be it infinite", () => {
    const batch = batchOf(eight)
    const masked = { ...batch, logps: batch.logps.map((x, t) => t === 3 ? 1e4 : x) }
    const mask = batch.logps.map((_, t) => t === 3 ? 0 : 1)
    // exp(1e4) is ∞, and 0 · ∞ would be NaN.
    const { gradient, loss } = policyGradient(masked, PolicyGradient.grpo.loss, { beta: 0.1, mask })
    assert.isTrue(Number.isFinite(loss))
    assert.isTrue(gradient.every(Number.isFinite))
    assert.strictEqual(gradient[3], 0)
  })

  it("complaint 33: rewards/chosen is beta log π/π_ref of the chosen, and may fall while DPO does what it should", () => {
    const at = (chosen: number, rejected: number) =>
      dpo(f64(chosen, rejected), f64(-5, -5), i32(0, 1, 2), PreferenceLoss.dpo({ beta: 0.1 }))
    const [before, after] = [at(-5, -5), at(-8, -20)]
    assert.closeTo(after.metrics["rewards/chosen"]!, 0.1 * (-8 + 5), 1e-12)
    assert.closeTo(after.metrics["rewards/margins"]!, 0.1 * (-8 + 20), 1e-12)
    assert.isBelow(after.metrics["rewards/chosen"]!, before.metrics["rewards/chosen"]!)
    assert.isBelow(after.loss, before.loss)
  })
})
