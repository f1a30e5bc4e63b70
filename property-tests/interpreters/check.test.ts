import { Result } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Compare,
  Evaluate,
  Gold,
  Kl,
  Pipeline,
  Ppo,
  Pretrain,
  RewardModeling,
  Sft,
  Source
} from "../../dsl/index.ts"
import { check, problems } from "../../src/interpreters/check.ts"

const gold = Gold.tales
const model = { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 }
const text = Source.text(Source.tales({ count: 4 }))
const prompts = Source.prompts(Source.tales({ count: 4 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const demonstrations = Source.demonstrations(Source.tales({ count: 4 }))
const pretrain = { family: "tales" as const, model, steps: 4, batchSize: 2, learningRate: 1e-3 }
const base = Pretrain.make({ text }, pretrain)
const sft = Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 1e-3 })
const reward = RewardModeling.make({
  init: sft,
  preferences: Compare.make({ policy: sft, prompts }, { gold, maxNewTokens: 4 })
}, {
  batchSize: 2,
  learningRate: 1e-3
})
const wires = { init: sft, reference: sft, reward, value: reward, prompts, held }
const ppo = {
  allowance: Kl.mnatsPerSequence<number>(100),
  beta: 0.1,
  steps: 4,
  batchSize: 4,
  learningRate: 1e-3,
  maxNewTokens: 4
}
const cap = { kl: Kl.mnatsPerSequence<number>(200), from: sft }
const rl = Ppo.make(wires, ppo)
const capped = Pipeline.cap(rl, cap)
const of = (root: unknown) => problems(root as Artifact.Any)
const lines = (root: unknown): ReadonlyArray<string> => of(root).map(({ problem }) => problem)

describe("check", () => {
  it("finds nothing wrong with what is right", () => {
    const root = Evaluate.make({ initial: sft, reward, prompts: held }, { sft, ppo: capped }, { gold, maxNewTokens: 4 })
    assert.deepStrictEqual(of(root), [])
    assert.isTrue(Result.isSuccess(check(root)))
  })

  /** What was written, and the one line that says what is wrong with it, the remedy included. */
  const mistakes: ReadonlyArray<readonly [name: string, root: unknown, line: string | RegExp]> = [
    [
      "unknown parameter",
      Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 1e-3, learningrate: 1 } as never),
      /learningrate/
    ],
    ["parameter of the wrong type", Result.getOrThrow(Pipeline.set(sft, "sft.batchSize", "2")), /batchSize/],
    [
      "number out of range",
      Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 0 }),
      /must be above 0 .*learningRate/
    ],
    ["cap of 0", Pipeline.cap(rl, { ...cap, kl: Kl.mnatsPerSequence<number>(0) }), /a KL cap must be above 0 mnats/],
    [
      "token cap of 0",
      Pipeline.cap(rl, { ...cap, tokens: 0 }),
      /a cap must be a whole number of tokens above 0, not 0.*tokens/
    ],
    [
      "allowance over its cap",
      Pipeline.cap(rl, { ...cap, kl: Kl.mnatsPerSequence<number>(99) }),
      /^KL over budget: 100 mnats allotted \(ppo-[0-9a-f]{8} 100\), cap is 99; lower the allowances or raise the cap$/
    ],
    [
      "PPO without a cap",
      rl,
      "it spends KL and nobody capped it: wrap it in Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … }), " +
      "or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"
    ],
    [
      "cap without an initial model",
      Pipeline.cap(sft as never, { kl: cap.kl }),
      "kl needs `from`, the initial model that the distance is measured from, e.g. from: sft"
    ],
    [
      "cap from a model that it does not come from",
      Pipeline.cap(sft, { kl: cap.kl, from: Checkpoint.huggingFace("tales", "x") }),
      /its initial model checkpoint-[0-9a-f]{8} is not among what sft-[0-9a-f]{8} was made from/
    ],
    [
      "open input",
      Sft.make({ base: Pipeline.input("base", "BaseModel", "tales"), demonstrations }, {
        batchSize: 2,
        learningRate: 1e-3
      }),
      "the input base: BaseModel is open: connect it with Pipeline.connect"
    ],
    [
      "heads that do not divide dim",
      Pretrain.make({ text }, { ...pretrain, model: { ...model, heads: 3, kvHeads: 3 } }),
      "model.dim 16 is not a multiple of model.heads 3"
    ],
    [
      "heads of odd size",
      Pretrain.make({ text }, { ...pretrain, model: { ...model, dim: 6 } }),
      "a head has 3 dimensions; it must be even for RoPE"
    ],
    [
      "kvHeads that do not divide heads",
      Pretrain.make({ text }, { ...pretrain, model: { ...model, heads: 4, kvHeads: 3 } }),
      "model.heads 4 is not a multiple of model.kvHeads 3"
    ],
    [
      "warm-up longer than the stage",
      Pretrain.make({ text }, { ...pretrain, warmupSteps: 5 }),
      "warmupSteps 5 is more than steps 4"
    ],
    [
      "KL measured on the prompts of training",
      Pipeline.cap(Ppo.make({ ...wires, held: prompts }, ppo), cap),
      /^prompts and held share prompts, of source-[0-9a-f]{8}: KL would be measured on the prompts it trains on; use other rows /
    ],
    [
      "evaluation on the prompts of training",
      Evaluate.make({ initial: sft, prompts }, { ppo: Pipeline.cap(rl, cap) }, { gold, maxNewTokens: 4 }),
      /^its prompts are prompts that a model was trained on \(sft-[0-9a-f]{8} was trained on the same prompts, of the train split of tales\): use other rows /
    ],
    [
      "evaluation of nothing",
      Evaluate.make({ initial: sft, prompts: held }, {}, { gold, maxNewTokens: 4 }),
      "it has no model to report on"
    ],
    [
      "two families",
      Pipeline.cap(
        Ppo.make({ ...wires, reference: Checkpoint.huggingFace("other", "x") } as never, ppo) as never,
        cap as never
      ),
      "Ppo.reference is of family 'other' but Ppo works on 'tales': they must share a tokenizer"
    ],
    [
      "policy where a reward model is wanted",
      Pipeline.cap(Ppo.make({ ...wires, reward: sft } as never, ppo) as never, cap as never),
      "Ppo.reward needs a RewardModel: train one with RewardModeling.make(…), not a Policy"
    ],
    [
      "missing wire",
      Sft.make({ base } as never, { batchSize: 2, learningRate: 1e-3 }),
      /^Sft.demonstrations is missing: connect /
    ],
    [
      "unknown wire",
      Sft.make({ base, demonstrations, teacher: base } as never, { batchSize: 2, learningRate: 1e-3 }),
      "Sft has no wire 'teacher'"
    ],
    [
      "mini-batches that do not fit",
      Pipeline.cap(Ppo.make(wires, { ...ppo, numMiniBatches: 3 }), cap),
      "batchSize 4 does not divide into 3 equal mini-batches"
    ],
    [
      "KL per token",
      Pipeline.cap(Ppo.make(wires, { ...ppo, allowance: Kl.mnatsPerToken(1) as never }), cap),
      "allowance must be per sequence: convert it with Kl.overTokens(allowance, length)"
    ],
    [
      "value warm-up without end",
      Pipeline.cap(Ppo.make(wires, { ...ppo, valueWarmupSteps: 4 }), cap),
      "valueWarmupSteps 4 leaves no step of 4 for the policy"
    ],
    [
      "operation of a later version",
      Artifact.make({ op: "Distil", kind: "Policy", family: "tales", params: {}, wires: { teacher: sft } }),
      "no such operation"
    ]
  ]
  for (const [name, root, line] of mistakes) {
    it(`says of a ${name} what is wrong, in one line`, () => {
      const found = lines(root)
      assert.isTrue(
        found.some((problem) => typeof line === "string" ? problem === line : line.test(problem)),
        found.join("\n")
      )
      assert.isTrue(found.every((problem) => !problem.includes("\n")), found.join("\n"))
    })
  }

  it("says a later version's operation in a file with what there is", () => {
    const future = JSON.stringify({ keel: 1, root: "0", nodes: [{ id: "0", op: "Distil", params: {}, inputs: {} }] })
    const read = Pipeline.fromJson(future)
    assert.isTrue(Result.isFailure(read))
    if (Result.isFailure(read)) {
      assert.match(read.failure.message, /Distil 0: no such operation; there are Input, Cap, Outputs, Source/)
    }
  })

  it("says of a wrong initial model of a KL cap what is wrong with it, not that there is no cap", () => {
    const said = (of: Artifact.Any, from: unknown) =>
      problems(Pipeline.cap(of as never, { kl: cap.kl, from } as never)).map(({ problem }) => problem)
    const preferences = Source.preferences(Source.file("pairs.jsonl"))
    const [needs, among, ...none] = said(rl, preferences)
    assert.match(needs!, /^Cap\.from needs the initial model .*, not a Preferences$/)
    assert.match(among!, /^its initial model .* is not among what ppo-/)
    assert.deepStrictEqual(none, [])
    assert.lengthOf(said(rl, undefined), 1)
    const [family, ...rest] = said(rl, Checkpoint.huggingFace("llama", "x"))
    assert.strictEqual(family, "Cap.from is of family 'llama' but Cap works on 'tales': they must share a tokenizer")
    assert.lengthOf(rest, 1)
    assert.match(said(rl, rl).join(), /^it spends KL and nobody capped it/)
  })

  it("finds all mistakes of a pipeline at once, each at its node", () => {
    const broken = Sft.make(
      { base: Pretrain.make({ text }, { ...pretrain, model: { ...model, heads: 3 }, steps: 0 }) } as never,
      {
        batchSize: 0,
        learningRate: -1,
        epoch: 2
      } as never
    )
    const bad = Ppo.make({ ...wires, init: broken, held: prompts } as never, { ...ppo, beta: -1 })
    const root = Evaluate.make({ initial: sft, prompts } as never, { bad } as never, { gold, maxNewTokens: 0 })
    const result = check(root as Artifact.Any)
    assert.isTrue(Result.isFailure(result))
    if (!Result.isFailure(result)) return
    const by = (op: string) =>
      result.failure.problems.filter(({ stage }) => stage.startsWith(`${op}-`)).map(({ problem }) => problem)
    assert.lengthOf(by("sft"), 4)
    assert.isTrue(by("pretrain").some((problem) => problem.includes("steps")))
    assert.isTrue(by("ppo").some((problem) => problem.includes("beta")))
    assert.isTrue(by("evaluate").some((problem) => problem.includes("maxNewTokens")))
    assert.match(result.failure.message, /^\d+ mistakes; nothing was trained or written:\n {2}/)
    assert.strictEqual(result.failure.message.split("\n").length, 1 + result.failure.problems.length)
  })

  it("judges 200 nodes, every one of their caps included, by few looks at each", () => {
    /** A chain of so many nodes, and how often anything of a node is looked at. */
    const looks = (nodes: number): number => {
      let policy: Artifact.Any = sft
      for (let seed = 0; Artifact.lineage(policy).length < nodes; seed++) {
        const next = Ppo.make({ ...wires, init: policy } as never, { ...ppo, seed } as never)
        policy = Pipeline.cap(next as never, { kl: Kl.mnatsPerSequence<number>(100), from: policy } as never)
      }
      let count = 0
      const watched = new Map<string, Artifact.Any>()
      for (const artifact of Artifact.lineage(policy)) {
        const on = Object.entries(artifact.node.wires).map(([wire, of]) => [wire, watched.get(of.id)!])
        const node = new Proxy({ ...artifact.node, wires: Object.fromEntries(on) }, {
          get: (of, key) => {
            count++
            return Reflect.get(of, key) as unknown
          }
        })
        watched.set(artifact.id, { ...artifact, node })
      }
      assert.deepStrictEqual(problems(watched.get(policy.id)!), [])
      return count
    }
    // A cap governs all between its models, so a chain of capped stages costs the square of its length, and no more.
    const [small, large] = [looks(100), looks(200)]
    assert.isBelow(large, 400_000)
    assert.isBelow(large / small, 4.2)
  })
})
