/** A small copy of a pipeline: the same graph, which passes check, of toy sizes and without anything that a laptop does not have. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import {
  Advantage,
  Artifact,
  Ask,
  Checkpoint,
  Compare,
  Filter,
  Grpo,
  Judge,
  Kl,
  Mix,
  Pair,
  Pipeline,
  PolicyGradient,
  Ppo,
  Reference,
  Reward,
  RewardModeling,
  Sample,
  Score,
  Sft,
  Shrink,
  Source,
  Units,
  Verifier
} from "../../dsl/index.ts"
import { problems } from "../../src/interpreters/check.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"

const made = new Set(["Source", "Checkpoint", "Pretrain", "Mix", "Compare", "Reward"])
/** Judges are replaced, and a reward that reads the end of a text is the reward model itself. */
const wiresOf = ({ node }: Artifact.Any) => Object.entries(node.wires).filter(([wire]) => wire !== "judge")
/** Operations, without what stands for checkpoints, data sets and rewards, and without models that only judge. */
const graph = (root: Artifact.Any): ReadonlyArray<string> => {
  const found = new Set<string>()
  const visit = (one: Artifact.Any): ReadonlyArray<Artifact.Any> => {
    if (found.has(one.id)) return []
    found.add(one.id)
    return [one, ...wiresOf(one).flatMap(([, of]) => visit(of))]
  }
  return visit(root).filter(({ node }) => !made.has(node.op)).map((one) =>
    JSON.stringify([
      one.node.op,
      one.node.kind,
      one.node.family,
      ...wiresOf(one).map(([wire, { node: { kind } }]) => `${wire}: ${kind === "Reward" ? "RewardModel" : kind}`)
    ])
  ).sort()
}
/** Of several judges may be made one, so that what they judge is made once. */
const shape = (root: Artifact.Any, judges: boolean) => judges ? [...new Set(graph(root))] : graph(root)
const hasJudges = (root: Artifact.Any): boolean => Artifact.lineage(root).some(({ node }) => "judge" in node.wires)

describe("a small copy", () => {
  it("has the operations, kinds, families and wires of the original, and those that make pairs in place of data sets", () => {
    fc.assert(fc.property(pipelines(), ({ root }) => {
      const judges = hasJudges(root)
      const left = [...shape(root, judges)]
      const added = shape(Shrink.shrink(root).root, judges).filter((one) => {
        const at = left.indexOf(one)
        if (at >= 0) left.splice(at, 1)
        return at < 0
      }).map((one) => String(JSON.parse(one)[0]))
      assert.isEmpty(left)
      const sources = Artifact.lineage(root).filter(({ node }) => node.op === "Source" && node.kind === "Preferences")
      const stands = ["Pair", "Sample", "Score"]
      if (judges) assert.isEmpty(added.filter((op) => !stands.includes(op)))
      else assert.deepEqual(added.sort(), stands.flatMap((op) => sources.map(() => op)))
    }))
  })

  it("has a small copy with the same operations", () => {
    fc.assert(
      fc.property(pipelines(), ({ root }) => {
        const small = Shrink.shrink(root).root
        assert.deepEqual(problems(small).map((one) => JSON.stringify(one)), [])
        assert.deepEqual(graph(Shrink.shrink(small).root), graph(small))
      }),
      { numRuns: 30 }
    )
  })

  it("is a function of the graph, and reads neither files nor checkpoints", () => {
    fc.assert(fc.property(pipelines(), ({ root }) => {
      const { root: small } = Shrink.shrink(root)
      assert.strictEqual(Shrink.shrink(root).root.id, small.id)
      for (const { node } of Artifact.lineage(small)) {
        assert.notStrictEqual(node.op, "Checkpoint")
        if (node.op === "Source") {
          assert.include(["Tales", "Puzzles"], (node.params as unknown as Source.Source).origin._tag)
        }
      }
    }))
  })

  const base = Checkpoint.described("v3", {
    layers: 61,
    dim: 7168,
    heads: 128,
    ffn: 18_432,
    vocab: 129_280,
    context: 65_536
  })
  const prompts = Source.prompts(Source.file("questions.jsonl"))
  const held = Source.prompts(Source.file("aime.jsonl"))
  const kl = Kl.mnatsPerSequence(1_000_000)
  const zero = Pipeline.cap(
    Grpo.make({
      init: base,
      reference: base,
      prompts,
      held,
      reward: Reward.sum({
        accuracy: Reward.verify(Verifier.mathematics()),
        format: Reward.verify(Verifier.format(["<think>", "</think>"]))
      })
    }, {
      ...PolicyGradient.grpo,
      beta: 0.001,
      steps: 10_400,
      batchSize: 32,
      groupSize: 16,
      numMiniBatches: 16,
      learningRate: 3e-6,
      maxNewTokens: 32_768,
      referencePolicy: new Reference.ResetEvery({ steps: 400 }),
      allowance: kl
    }),
    { kl, from: base, whenSpent: "warn" }
  )

  it("keeps ratios of steps, and asks puzzles where answers are checked", () => {
    const { root, said } = Shrink.shrink(zero)
    assert.isEmpty(problems(root))
    const grpo = Artifact.lineage(root).find(({ node }) => node.op === "Grpo")!
    const { maxNewTokens, referencePolicy, steps } = grpo.node.params as Record<string, any>
    assert.deepEqual([steps, referencePolicy.steps, maxNewTokens], [150, 6, 40])
    const { origin } = grpo.node.wires["prompts"]!.node.params as unknown as Source.Source
    assert.include(origin, { _tag: "Puzzles", split: "train" })
    const judged = grpo.node.wires["held"]!.node.params as unknown as Source.Source
    assert.include(judged.origin, { _tag: "Puzzles", split: "held" })
    assert.sameMembers([...said], [
      "Verifier Mathematics: of how often a letter occurs, LetterCount",
      "Verifier Format: of an answer that ends, Ended"
    ])
  })

  it("takes as long as it is told, and completions as long", () => {
    const steps = (
      minutes: number
    ) => (Artifact.lineage(Shrink.shrink(zero, { minutes, tokens: 12 }).root).find(({ node }) => node.op === "Grpo")!
      .node
      .params as Record<string, any>)
    assert.isBelow(steps(0.05)["steps"], steps(1)["steps"])
    assert.strictEqual(steps(1)["maxNewTokens"], 12)
  })

  it("asks no judge, gives tiny models short contexts, and keeps a reward's share of the steps", () => {
    const by = Judge.endpoint("http://localhost:1/v1", "judge")
    const completions = Sample.make({ policy: base, prompts }, {
      ask: Ask.context({ system: "A long text. ".repeat(100), chat: { enable_thinking: false } }),
      completionsPerPrompt: 64,
      maxNewTokens: 32_768
    })
    const scored = Score.byRubric({ completions }, { rubric: Judge.rubric("Is it good?"), endpoint: by })
    const kept = Filter.make({ of: scored }, { minScore: 7, minWords: 1000 })
    const preferences = Pair.make({ completions: kept }, { minMargin: 2 })
    const compared = Compare.byJudge({ policy: base, prompts }, { endpoint: by, maxNewTokens: 1024 })
    const reward = RewardModeling.make({ init: base, preferences: Mix.make({ preferences, compared }) }, {
      batchSize: 4,
      learningRate: 1e-5
    })
    const judged = Reward.judge(by, { rubric: Judge.rubric("Is it safe?") })
    const policy = Grpo.make({
      init: base,
      reference: base,
      prompts,
      reward: Reward.sum({ reward, late: Reward.from(1300, judged) })
    }, {
      ...PolicyGradient.grpo,
      beta: 0.01,
      steps: 1700,
      batchSize: 8,
      groupSize: 8,
      learningRate: 1e-6,
      maxNewTokens: 1024
    })
    const { root } = Shrink.shrink(Pipeline.observe(policy, { kl: Kl.measured, from: base, held, maxNewTokens: 1024 }))
    assert.deepEqual(problems(root).map((one) => JSON.stringify(one)), [])
    const all = Artifact.lineage(root).map(({ node }) => node)
    assert.notMatch(JSON.stringify(all.map(({ params }) => params)), /Endpoint|"(?:judge|chat)"/u)
    const params = (op: string) =>
      all.filter((node) => node.op === op).map(({ params }) => params as Record<string, any>)
    assert.deepEqual(params("Sample")[0]!["ask"], { _tag: "Ask", system: "Tell a story." })
    assert.include(params("Filter")[0], { minScore: -1e9, minWords: 1 })
    assert.isBelow(params("Pair")[0]!["minMargin"], 1e-6)
    const late = params("Reward").find(({ rule }) => rule._tag === "From")!
    assert.approximately(late["rule"].step / params("Grpo")[0]!["steps"], 1300 / 1700, 0.02)
  })

  it("leaves answers as they are where a model writes them anew, and λ of the longest answer as it is", () => {
    const chains = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 1, maxNewTokens: 32_000 })
    const rewritten = Sample.make({ policy: base, prompts: chains }, {
      ask: Ask.template("Write this clearly: {{completion}}"),
      completionsPerPrompt: 1,
      maxNewTokens: 32_000
    })
    const small = Shrink.shrink(rewritten)
    assert.deepInclude(small.said, "Sample: answers as they are, as no tiny model writes them anew")
    assert.deepEqual(Artifact.lineage(small.root).map(({ node }) => node.op).filter((op) => op === "Sample"), [
      "Sample"
    ])

    const alpha = 0.05
    const policy = Ppo.make({ init: base, value: base, prompts, reward: Reward.verify(Verifier.ended()) }, {
      beta: 0,
      steps: 100,
      batchSize: 8,
      learningRate: 1e-6,
      maxNewTokens: 32_000,
      advantage: new Advantage.Gae({ lamByLength: alpha })
    })
    const { root } = Shrink.shrink(
      Pipeline.observe(policy, { kl: Kl.measured, from: base, held, maxNewTokens: 32_000 })
    )
    assert.deepEqual(problems(root).map((one) => JSON.stringify(one)), [])
    const params = Artifact.lineage(root).find(({ node }) => node.op === "Ppo")!.node.params as Record<string, any>
    assert.approximately(params["advantage"].lamByLength * params["maxNewTokens"], alpha * 32_000, 1e-9)
  })

  it("makes published sizes two, and gives each checkpoint weights of its own", () => {
    const small = (dim: number) =>
      Checkpoint.described("v3", { layers: 2, dim, heads: 2, ffn: 8, vocab: 9, context: 64 })
    const demonstrations = Source.demonstrations(Source.file("d.jsonl"))
    const tuned = [8, 16, 24].map((dim) =>
      Sft.make({ base: small(dim), demonstrations }, { batchSize: 4, learningRate: 1e-5 })
    )
    const { root } = Shrink.shrink(Pipeline.outputs({ a: tuned[0]!, b: tuned[1]!, c: tuned[2]! }))
    const bases = Artifact.lineage(root).filter(({ node }) => node.op === "Pretrain")
    assert.lengthOf(bases, 3)
    assert.deepEqual(bases.map(({ node }) => (node.params as Record<string, any>)["model"].dim).sort(), [32, 32, 48])
  })
})

it("every number has a unit by its name alone", () => {
  assert.strictEqual(Units.unitOf("maxNewTokens"), "tokens")
  assert.isUndefined(Units.unitOf("family"))
})
