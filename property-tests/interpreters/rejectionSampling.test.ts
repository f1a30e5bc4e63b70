/** The sampling stages on both engines: the same candidates again, their exact law, going on part-way, and what they are for. */
import { Effect, Exit } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  BestOfN,
  Checkpoint,
  Evaluate,
  Gold,
  Pair,
  Pipeline,
  RejectionSampling,
  RewardModeling,
  Sample,
  Score,
  Select,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type { CompletionRow, DemonstrationRow, PreferenceRow, ScoredRow } from "../../src/data/rows.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import * as Exact from "../../src/engine/tabular/exact.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, leftovers, runs, succeeded, tiny } from "./tiny.ts"
import { made, making, rowsOf, small, store } from "./worldly.ts"

const gold = Gold.tales
const base = Checkpoint.huggingFace("world", "anywhere")
const prompts = Source.prompts(Source.tales({ count: 2 }))
const sampled = (options: Partial<Parameters<typeof Sample.make>[1]> = {}) =>
  Sample.make({ policy: base, prompts }, { completionsPerPrompt: 4, maxNewTokens: small.horizon, ...options })
const judged = (completions: ReturnType<typeof sampled>) => Score.byJudge({ completions }, { gold })

const steps = (events: ReadonlyArray<Event>, op: string) =>
  events.flatMap((event) => event._tag === "Step" && event.stage.startsWith(`${op}-`) ? [event.step] : [])

describe("scoring by verifiers", () => {
  const completions = sampled({ completionsPerPrompt: 16 })
  it("gives the weights of those that hold, to the completions as they are", async () => {
    const verifiers = [Verifier.format(["a"], { weight: 2 }), Verifier.format(["b"])]
    const rows = await rowsOf<ScoredRow>(Score.byVerifier({ completions }, { verifiers }))
    const unscored = await rowsOf<object>(completions)
    assert.deepStrictEqual(rows, unscored.map((row, i) => ({ ...row, score: rows[i]!.score }) as ScoredRow))
    assert.deepStrictEqual(
      rows.map(({ score }) => score),
      rows.map(({ completion, prompt }) => small.gold(prompt, completion) > 0 ? 3 : 0)
    )
    assert.sameMembers([...new Set(rows.map(({ score }) => score))], [0, 3])
  })
  it("that compare with an answer refuses prompts without one", async () => {
    const failed = await Effect.runPromise(
      Effect.flip(making(Score.byVerifier({ completions }, { verifiers: [Verifier.lastNumber()] })))
    )
    assert.strictEqual(failed._tag, "UnusableData")
    assert.include(failed.message, "row 1 of its prompts has no answer, and LastNumber compares with one")
  })
})

describe("candidates", () => {
  it("invariant 12: same seed and description, same candidates; another seed, others", async () => {
    const rows = await rowsOf<CompletionRow>(sampled({ seed: 3 }))
    assert.lengthOf(rows, 8)
    assert.deepStrictEqual(await rowsOf(sampled({ seed: 3 })), rows)
    assert.notDeepEqual(await rowsOf(sampled({ seed: 4 })), rows)
  })

  it("invariant 12: what the store has is what would be sampled again, and nothing is", async () => {
    const kept = await store()
    const first = await rowsOf(judged(sampled()), { store: kept })
    const events: Array<Event> = []
    // Another choice among the same candidates.
    const selected = await rowsOf(Select.make({ completions: judged(sampled()) }, { rule: Select.overall(3) }), {
      store: kept,
      onEvent: (event) => events.push(event)
    })
    assert.deepStrictEqual(events.flatMap((event) => event._tag === "Cached" ? [event.stage.split("-")[0]] : []), [
      "score"
    ])
    assert.deepStrictEqual(steps(events, "sample"), [])
    assert.deepStrictEqual(
      selected,
      await rowsOf(Select.make({ completions: judged(sampled()) }, { rule: Select.overall(3) }))
    )
    assert.deepStrictEqual(await rowsOf(judged(sampled())), first)
  })

  it("do not depend on how many prompts are answered at a time", async () => {
    const by = async (batchSize: number) => {
      const { node } = sampled({ batchSize })
      assert.strictEqual(node.op, "Sample")
      // The seeds are the node's own: between two nodes only the prompts can be compared.
      return (await rowsOf<CompletionRow>(sampled({ batchSize }), { repeated: 3 })).map(({ prompt }) => prompt)
    }
    assert.deepStrictEqual(await by(1), await by(5))
  })

  it("greedy ones are all the same, the most likely", async () => {
    const greedy = (seed: number) => rowsOf<CompletionRow>(sampled({ temperature: 0, completionsPerPrompt: 1, seed }))
    const rows = await greedy(0)
    assert.lengthOf(rows, small.prompts.length)
    assert.deepStrictEqual(await greedy(1), rows)
  })

  it("invariant 10: the best of n, selected, follow the exact law of best-of-n", async () => {
    const n = 4
    const repeated = 1500
    const policy = Exact.logDistribution(small, language(small))
    const law = Exact.bestOfN(policy, Exact.rewardTable(small), n)
    const all = Exact.completions(small)
    const rows = await rowsOf<CompletionRow>(sampled({ completionsPerPrompt: n, batchSize: 500 }), { repeated })
    // Equal prompts are one prompt to Select: each draw of n is told apart here, as a data set of different prompts would be.
    const draws = Array.from({ length: rows.length / n }, (_, i) => rows.slice(i * n, (i + 1) * n))
    const counts = small.prompts.map(() => new Float64Array(all.length))
    for (const draw of draws) {
      const best = draw.map((row) => ({ row, score: small.gold(row.prompt, row.completion) }))
        .reduce((a, b) => b.score > a.score ? b : a).row
      const at = all.findIndex(({ finished, text }) => text === best.completion && finished === best.ended)
      counts[small.prompts.indexOf(best.prompt)]![at]!++
    }
    // Pearson's statistic on 6 degrees of freedom for each prompt is below 30 but for one seed in 25,000.
    counts.forEach((of, p) => {
      const statistic = of.reduce((sum, count, i) => {
        const expected = repeated * Math.exp(law[p]![i]!)
        return sum + (count - expected) ** 2 / expected
      }, 0)
      assert.isBelow(statistic, 30)
      const unselected = of.reduce((sum, count, i) => {
        const expected = repeated * Math.exp(policy[p]![i]!)
        return sum + (count - expected) ** 2 / expected
      }, 0)
      assert.isAbove(unselected, 100, "the policy's own law would have passed")
    })
  })

  it("best-of-n is reported without bias, with its bounds beside it", async () => {
    const completions = judged(sampled({ completionsPerPrompt: 400, batchSize: 1 }))
    const value = await made(BestOfN.make({ completions }, { gold, sizes: [1, 2, 8] }))
    assert(value._tag === "Report")
    const policy = Exact.logDistribution(small, language(small))
    const reward = Exact.rewardTable(small)
    for (const [i, n] of [1, 2, 8].entries()) {
      const { gold, klBound, name, proxy } = value.report.models[i]!
      assert.strictEqual(name, `best of ${n}`)
      assert.closeTo(gold!.mean, Exact.expectedReward(Exact.bestOfN(policy, reward, n), reward).mean, 0.1)
      assert.strictEqual(proxy!.mean, gold!.mean)
      assert.isAtLeast(klBound! + 1e-12, Exact.kl(Exact.bestOfN(policy, reward, n), policy).mean)
    }
  })

  it("fewer than are to be chosen from are a typed error", async () => {
    const { Mix } = await import("../../dsl/index.ts")
    // All of the two prompts' four completions but one.
    const most = Mix.make({ all: judged(sampled()) }, { take: { counts: { all: 7 } } })
    const exit = await Effect.runPromiseExit(
      making(BestOfN.make({ completions: most }, { gold, sizes: [4] }))
    )
    assert(Exit.isFailure(exit))
    assert.include(String(exit.cause), "best of 4 needs 4 completions of every prompt, and one has 3")
    const none = await Effect.runPromiseExit(
      making(Select.make({ completions: judged(sampled()) }, { rule: Select.accept(99) }))
    )
    assert.include(String(none), "none of 8 candidates is accepted; the best scores")
  })
})

describe("on-policy pairs", () => {
  it("are of several policies when their completions are put together, the best of all chosen", async () => {
    const other = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, {
      batchSize: 4,
      learningRate: 1e-2
    })
    const own = sampled()
    const theirs = Sample.make({ policy: other, prompts }, { completionsPerPrompt: 4, maxNewTokens: small.horizon })
    const { Mix } = await import("../../dsl/index.ts")
    const completions = Score.byJudge({ completions: Mix.make({ own, theirs }) }, { gold })
    const scored = await rowsOf<ScoredRow>(completions)
    assert.lengthOf(scored, 16)
    const pairs = await rowsOf<PreferenceRow>(Pair.make({ completions }))
    assert.isAtLeast(pairs.length, 1)
    for (const { chosen, prompt, rejected } of pairs) {
      const best = Math.max(...scored.filter((row) => row.prompt === prompt).map(({ score }) => score))
      assert.strictEqual(small.gold(prompt, chosen), best)
      assert.isBelow(small.gold(prompt, rejected), best)
    }
  })
})

describe("rejection sampling improves its own objective, reproducibly", () => {
  const weightsOf = async (model: Artifact.Any) => {
    const value = await made(model)
    assert(value._tag === "Model")
    return value.weights
  }
  /** E[r] of a policy of the small world, exactly; r is the gold reward or a reward model's. */
  const worth = async (policy: Artifact.Any, reward?: Artifact.Any) =>
    Exact.expectedReward(
      Exact.logDistribution(small, await weightsOf(policy)),
      reward === undefined ? Exact.rewardTable(small) : Exact.scoreTable(small, await weightsOf(reward))
    ).mean
  const tuned = { epochs: 8, batchSize: 2, learningRate: 5e-2 }

  it("where the random control of the same size does not", async () => {
    const completions = judged(sampled({ completionsPerPrompt: 64, batchSize: 1 }))
    const sft = (control: boolean) =>
      Sft.make({ base, demonstrations: Select.make({ completions }, { rule: Select.perPrompt(8), control }) }, tuned)
    const [start, selected, random] = [await worth(base), await worth(sft(false)), await worth(sft(true))]
    assert.isAbove(selected, start + 0.3)
    assert.isAbove(selected, random + 0.3)
    assert.strictEqual(await worth(sft(false)), selected)
  })

  it("expert iteration goes further than its first round", async () => {
    const reward = RewardModeling.make({ init: base, preferences: Source.preferences(Source.tales({ count: 400 })) }, {
      batchSize: 20,
      learningRate: 5e-2
    })
    const rounds = (count: number) =>
      RejectionSampling.expertIteration({ policy: base, prompts, reward }, {
        rounds: count,
        sampling: { completionsPerPrompt: 32, maxNewTokens: small.horizon, rule: Select.perPrompt(8) },
        sft: tuned
      })
    const [start, one, three] = [
      await worth(base, reward),
      await worth(rounds(1), reward),
      await worth(rounds(3), reward)
    ]
    assert.isAbove(one, start + 0.1)
    assert.isAbove(three, one)
  })
})

describe("on the transformer", () => {
  const folder = folders("sampling")
  const { base, held, prompts, reward, sft } = tiny()
  const completions = Sample.make({ policy: sft, prompts }, {
    completionsPerPrompt: 3,
    maxNewTokens: 6,
    batchSize: 2,
    checkpointEvery: 2
  })
  const scored = Score.byReward({ completions, reward })

  it("a stage that is stopped goes on part-way and ends in the same bytes", async () => {
    const whole = folder()
    succeeded(await runs(scored, whole))
    const at = folder()
    const stopAt = (op: string, n: number) => (event: Event) =>
      event._tag === "Step" && event.stage.startsWith(`${op}-`) && event.step === n
    const first = await runs(scored, at, { stopAt: stopAt("sample", 1) })
    const second = await runs(scored, at, { stopAt: stopAt("sample", 3) })
    const third = succeeded(await runs(scored, at))
    assert.deepStrictEqual([first, second, third].map(({ events }) => steps(events, "sample")), [[1], [2, 3], [4]])
    assert.deepStrictEqual(contents(at), contents(whole))
    assert.deepStrictEqual(leftovers(at), [])
  })

  it("runs every sampling stage, two steps each, and the same again", async () => {
    const pairs = Pair.make({ completions: Score.byJudge({ completions }, { gold }) })
    const select = (control: boolean) => Select.make({ completions: scored }, { rule: Select.overall(4), control })
    const params = { batchSize: 2, learningRate: 1e-3 }
    const root = Evaluate.make({
      initial: sft,
      prompts: held,
      reward: RewardModeling.make({ init: sft, preferences: pairs }, params)
    }, {
      base,
      selected: Sft.make({ base: sft, demonstrations: select(false) }, params),
      control: Sft.make({ base: sft, demonstrations: select(true) }, params)
    }, { gold, maxNewTokens: 6 })
    const at = folder()
    const { events } = succeeded(await runs(root, at))
    for (const op of ["select", "pair"]) assert.isAtLeast(steps(events, op).length, 1)
    assert.isAtLeast(steps(events, "sample").length, 2)
    // The report on best-of-n finds everything that it needs.
    const report = await runs(BestOfN.make({ completions: scored }, { gold, sizes: [1, 3] }), at)
    assert.deepStrictEqual(steps(succeeded(report).events, "sample"), [])
    const again = folder()
    succeeded(await runs(root, again))
    succeeded(await runs(BestOfN.make({ completions: scored }, { gold, sizes: [1, 3] }), again))
    assert.deepStrictEqual(contents(again), contents(at))
    assert.isTrue([...contents(at).keys()].some((path) => path.startsWith("bestofn-")))
  })

  it("keeps an answer that was cut off without an end, and trains on it so", async () => {
    const rows = await rowsOf<DemonstrationRow>(
      Select.make({ completions: judged(sampled({ maxNewTokens: 1, completionsPerPrompt: 8 })) }, {
        rule: Select.accept(-99)
      })
    )
    assert.isTrue(rows.some(({ ended }) => ended === false))
    assert.isTrue(rows.some(({ ended }) => ended === true))
    // A world's completion of full length has no room for an end: with one it could not be encoded.
    const tuned = Sft.make({
      base: Checkpoint.huggingFace("world", "anywhere"),
      demonstrations: Select.make({ completions: judged(sampled({ completionsPerPrompt: 8 })) }, {
        rule: Select.accept(-99)
      })
    }, { batchSize: 2, learningRate: 1e-3 })
    assert.strictEqual((await made(tuned))._tag, "Model")
    assert.strictEqual(Pipeline.toJson(tuned).includes("Sample"), true)
  })
})
