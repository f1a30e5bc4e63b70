/** Rewards by comparison: the share of pairs that a completion wins, in both orders. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Evaluate,
  Gold,
  Grpo,
  Judge,
  Kl,
  Pipeline,
  Ppo,
  Reward,
  Sample,
  Score,
  Source
} from "../../dsl/index.ts"
import type { ByPairs } from "../../dsl/stages/Reward.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { answered } from "../../src/engine/tabular/data.ts"
import { rewardTable } from "../../src/engine/tabular/exact.ts"
import { problems } from "../../src/interpreters/check.ts"
import { scoresOf } from "../../src/interpreters/exactPolicy.ts"
import { rewardOf } from "../../src/interpreters/inputs.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { plan } from "../../src/planning/plan.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { type Asking, CurrentAsking } from "../../src/training/asking.ts"
import { winsBy } from "../../src/training/wins.ts"
import { llamaConfig } from "../../src/model/init.ts"
import { small } from "../interpreters/worldly.ts"

const base = Checkpoint.huggingFace("world", "anywhere")
const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ count: 2, split: "held" }))
const endpoint = Judge.endpoint("http://localhost:1/v1", "judge", { price: { currency: "USD", read: 1, written: 10 } })
const ruleOf = (reward: Artifact.Any): ByPairs => (stageOf(reward) as Reward.Reward).rule as ByPairs
const group = Reward.judge(endpoint, { against: "group" })
const byAnswer = Reward.judge(endpoint, { against: "answer", asks: "It ends." })
const rl = (reward: Artifact.Any, groupSize = 4): Artifact.Any =>
  Pipeline.cap(
    Grpo.make({ init: base, reference: base, prompts, held, reward } as never, {
      allowance: Kl.mnatsPerSequence(1),
      beta: 1,
      steps: 30,
      batchSize: 4,
      groupSize,
      learningRate: 1e-3,
      maxNewTokens: 3
    }) as never,
    { kl: Kl.mnatsPerSequence(90_000), from: base } as never
  )

describe("the share of pairs that a completion wins", () => {
  /** Prefers longer texts, and the text that it sees first by 0.2; cannot read "?". */
  const better = (a: string, b: string): number | null =>
    a === "?" || b === "?" ? null : Math.min(1, (a.length > b.length ? 0.8 : a.length < b.length ? 0 : 0.4) + 0.2)
  const judging = () => {
    const seen: Array<ReadonlyArray<string>> = []
    const ask: Asking = (asked) =>
      Effect.sync(() =>
        asked.map(({ question: { completions } }) => {
          seen.push(completions)
          return better(completions[0]!, completions[1]!)
        })
      )
    return { seen, judge: { stage: "grpo", name: "judge", ask } }
  }
  const run = <A>(effect: Effect.Effect<A, unknown, any>): Promise<A> =>
    Effect.runPromise(Effect.provide(effect, MemoryStore.layer) as Effect.Effect<A>)
  /** The definition: the mean over the others, place cancelled. */
  const wins = (a: string, b: string): number => {
    const [first, second] = [better(a, b), better(b, a)]
    return a === b || first === null || second === null ? 0.5 : (first + 1 - second) / 2
  }

  it("is over the others of its prompt, sums to half the group, and asks of every pair twice", async () => {
    const rows = fc.array(
      fc.record({ prompt: fc.constantFrom("p", "q", "r"), completion: fc.constantFrom("a", "bb", "cc", "ddd", "?") }),
      { minLength: 1, maxLength: 9 }
    )
    await fc.assert(
      fc.asyncProperty(rows, async (rows) => {
        const { judge, seen } = judging()
        // All that cannot be read is refused from eight questions on.
        fc.pre(rows.some(({ completion }) => completion !== "?"))
        const exit = await run(Effect.exit(winsBy(judge, ruleOf(group), rows)))
        if (exit._tag === "Failure") return assert.isTrue(seen.every((pair) => pair.includes("?")))
        const { alone, orders, shares } = exit.value
        let different = 0
        rows.forEach(({ completion, prompt }, i) => {
          const others = rows.filter((row, j) => row.prompt === prompt && j !== i).map((row) => row.completion)
          const mean = others.reduce((sum, other) => sum + wins(completion, other), 0) / others.length
          assert.closeTo(shares[i]!, others.length === 0 ? 0.5 : mean, 1e-12)
          different += others.filter((other) => other !== completion).length
        })
        assert.lengthOf(seen, different)
        assert.strictEqual(2 * orders.length, different)
        assert.strictEqual(
          alone,
          rows.filter(({ prompt }) => rows.filter((row) => row.prompt === prompt).length === 1).length
        )
        assert.closeTo(shares.reduce((sum, x) => sum + x, 0), rows.length / 2, 1e-9)
      }),
      { numRuns: 60 }
    )
  })

  it("or over the answer of its row, which has to be there", async () => {
    const { judge, seen } = judging()
    const rows = ["a", "ddd", "bb"].map((completion) => ({ prompt: "p", completion, answer: "bb" }))
    const { shares } = await run(winsBy(judge, ruleOf(byAnswer), rows))
    shares.forEach((share, i) => assert.closeTo(share, [0.1, 0.9, 0.5][i]!, 1e-12))
    assert.deepStrictEqual(seen, [["a", "bb"], ["bb", "a"], ["ddd", "bb"], ["bb", "ddd"]])
    const error = await run(Effect.flip(winsBy(judge, ruleOf(byAnswer), [{ prompt: "p", completion: "a" }])))
    assert.match((error as Error).message, /has no answer/u)
  })
})

describe("in a description", () => {
  const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

  it("means σ(g(y) − g(answer)) of every completion of a world", async () => {
    const ask: Asking = (asked) =>
      Effect.succeed(
        asked.map(({ question: { completions: [a, b], prompt } }) =>
          logistic(small.gold(prompt, a!) - small.gold(prompt, b!))
        )
      )
    const composed = await Effect.runPromise(rewardOf(byAnswer, () => Effect.die("no model")))
    const table = await Effect.runPromise(Effect.provideService(
      scoresOf(small, stageOf(rl(byAnswer).node.wires["of"]!) as never, composed),
      CurrentAsking,
      () => Effect.succeed(ask)
    ))
    rewardTable(small).forEach((gold, p) => {
      const { answer, prompt } = answered(small)[p]!
      gold.forEach((g, i) => assert.closeTo(table[p]![i]!, logistic(g - small.gold(prompt, answer)), 1e-12))
    })
  })

  it.each([["group", group], ["answer", byAnswer]] as const)(
    "against the %s is trained on",
    async (against, reward) => {
      const root = rl(reward)
      assert.deepStrictEqual(problems(root), [])
      const { events, policies } = await Effect.runPromise(simulate(root))
      const judged = events.flatMap((event) => event._tag === "Judged" ? [event.judged] : [])
      assert.strictEqual(judged.length, 1)
      assert.deepInclude(judged[0], { "judge/agreement": 1, "judge/contradictions": 0, "judge/alone": 0 })
      const grpo = policies.at(-1)!
      assert.isAbove(grpo.gold, policies[0]!.gold)
      assert.strictEqual(grpo.noOptimum.includes("its reward compares a completion with others"), against === "group")
      assert.strictEqual(grpo.optimum === null, against === "group" || grpo.noOptimum.length > 0)
    }
  )

  it("is the same in chunks that cut groups", async () => {
    const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 5, maxNewTokens: 3 })
    const scores = async (batchSize: number) => {
      const root = Score.byReward({ completions, reward: group }, { batchSize })
      const { events } = await Effect.runPromise(simulate(root))
      return events.flatMap((event) => event._tag === "Judged" ? [event.judged] : [])
    }
    const [whole] = await scores(100)
    assert.deepStrictEqual(await scores(3), [whole])
    assert.isAbove(whole!["judge/questions"]!, 0)
  })

  it("is planned with G(G − 1) questions for a prompt, or 2G against answers", async () => {
    const config = llamaConfig({
      dim: 8,
      layers: 1,
      heads: 1,
      kvHeads: 1,
      ffn: 8,
      context: 512,
      vocab: 512,
      tied: true
    })
    const asked = async (reward: Artifact.Any, groupSize: number) => {
      const shape = { config, tokenizer: new Map<string, string>() }
      const { stages } = await Effect.runPromise(
        Effect.provide(plan(rl(reward, groupSize), { shape }), NodeFileSystem.layer)
      )
      return stages.find(({ stage }) => stage.startsWith("grpo"))!.judge!
    }
    const [four, two, answers] = [await asked(group, 4), await asked(group, 2), await asked(byAnswer, 4)]
    // 30 steps of 4 prompts.
    assert.strictEqual(four.questions, 30 * 4 * (4 * 3))
    assert.strictEqual(two.questions, 30 * 4 * (2 * 1))
    assert.strictEqual(answers.questions, 30 * 4 * (2 * 4))
    assert.isAbove(four.tokens, four.questions * endpoint.maxTokens)
  })

  it("has no mean to read: who reads it is told", () => {
    const said = (root: Artifact.Any): string => problems(root).map(({ problem }) => problem).join("\n")
    const reports = (reward: Artifact.Any) =>
      Evaluate.make({ initial: base, prompts: held, reward } as never, { base }, { gold: Gold.tales, maxNewTokens: 3 })
    assert.match(said(reports(group)), /Evaluate\.reward compares .* always 1\/2: .*against: "answer"/u)
    assert.notMatch(said(reports(byAnswer)), /1\/2/u)
    const ppo = Ppo.make({ init: base, reference: base, value: base, prompts, held, reward: group }, {
      allowance: Kl.mnatsPerSequence(1),
      beta: 1,
      steps: 1,
      batchSize: 4,
      learningRate: 1e-3,
      maxNewTokens: 3
    })
    assert.match(said(ppo), /Ppo\.reward compares/u)
    const twice = Reward.judge(endpoint, { against: "answer", reference: true })
    assert.match(said(rl(twice)), /the row's answer twice/u)
  })
})
