/** Judges as descriptions: a policy's verdicts are exact, plans price questions, `check` finds the mistakes, `simulate` means the gold reward. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Budget,
  Checkpoint,
  Compare,
  Grpo,
  Judge,
  Kl,
  Pipeline,
  Pretrain,
  Reward,
  RewardModeling,
  Sample,
  Score,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { deciding } from "../../dsl/Instruments.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { problems } from "../../src/interpreters/check.ts"
import { lackingKeys } from "../../src/interpreters/checks/endpoints.ts"
import { lackingPrices } from "../../src/interpreters/lacking.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { save } from "../../src/model/checkpoint.ts"
import { modelConfig } from "../../src/model/config.ts"
import { initial, llamaConfig } from "../../src/model/init.ts"
import { overCaps } from "../../src/planning/overCaps.ts"
import { plan } from "../../src/planning/plan.ts"
import { comparing, forToken, scoring, valueIn } from "../../src/rewards/question.ts"
import type { Event } from "../../src/store/runLog.ts"
import { asPolicy } from "../../src/training/asking.ts"
import { ordersBy, preferenceOf } from "../../src/training/judged.ts"
import { engine, runs, succeeded } from "../interpreters/tiny.ts"
import * as MemoryStore from "../../src/store/memory.ts"

const prompts = Source.prompts(Source.tales({ count: 4 }))
const rubric = Judge.rubric("How short it is.", { scale: { min: 1, max: 10 } })
const endpoint = Judge.endpoint("http://localhost:1/v1", "judge", { price: { currency: "USD", read: 1, written: 10 } })

/** A model that reads characters: of a family of its own. */
const characters = (): Weights => {
  const marks = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))
  const words = ["<unk>", "<s>", "</s>", "<pad>", "Ġ", "Ċ", ...marks]
  const config = llamaConfig({
    dim: 16,
    layers: 1,
    heads: 2,
    kvHeads: 1,
    ffn: 24,
    context: 2048,
    vocab: words.length,
    tied: true
  })
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }
  const special = words.slice(0, 4).map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  }))
  const tokenizer = {
    version: "1.0",
    added_tokens: special,
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      vocab: Object.fromEntries(words.map((word, id) => [word, id])),
      merges: [],
      unk_token: "<unk>"
    }
  }
  const tensors = initial(modelConfig(config), "judge")
  // Far from uniform, so that verdicts differ.
  for (const { data } of tensors.values()) data.forEach((x, i) => (data[i] = 12 * x))
  return {
    config,
    tensors,
    tokenizer: new Map([
      ["tokenizer.json", JSON.stringify(tokenizer)],
      [
        "tokenizer_config.json",
        JSON.stringify({ bos_token: "<s>", eos_token: "</s>", tokenizer_class: "PreTrainedTokenizerFast" })
      ]
    ])
  }
}

describe("a policy that judges", () => {
  const weights = characters()
  const codec = engine().codec(weights)
  const policy = engine().policy(weights)
  const scope = { key: "k", label: "score", limits: { kl: [] } }
  const run = <A>(effect: Effect.Effect<A, unknown, any>): Promise<A> =>
    Effect.runPromise(effect.pipe(Effect.provide(MemoryStore.layer)) as Effect.Effect<A>)

  it("gives the mean of all verdicts under its probabilities of them", async () => {
    const ask = await run(asPolicy(scope, { policy, codec }))
    const few = { ...rubric, scale: { min: 8, max: 11 } }
    const questions = ["a", "a much longer one"].flatMap((text) => scoring(few, { prompt: "Say it" }, text))
    const values = await run(ask(questions.map((question) => ({ question }))))
    for (const [i, question] of questions.entries()) {
      const prompt = codec.encodePrompt(`${forToken(question)}\n\nVerdict: `)
      const chances = question.verdicts.map(({ mark }) => {
        const completion = codec.encodeCompletion(mark, { end: true })
        return Math.exp(policy.logprobs([{ prompt, completion }]).logps.reduce((sum, logp) => sum + logp, 0))
      })
      const total = chances.reduce((sum, p) => sum + p, 0)
      const expected = chances.reduce((sum, p, v) => sum + p / total * question.verdicts[v]!.value, 0)
      assert.closeTo(values[i]!, expected, 1e-6)
      assert.isAbove(Math.max(...chances) / total, 0.2)
    }
    assert.notStrictEqual(values[0], values[1])
  })

  it("whose context is too short for a question is refused", async () => {
    const ask = await run(asPolicy(scope, { policy: { ...policy, context: 96 }, codec }))
    const [question] = scoring(rubric, { prompt: "Say it" }, "a")
    const error = await run(Effect.flip(ask([{ question: question! }])))
    assert.match(error.message, /^score: of the questions to its judge, .*\d+ tokens.*96/u)
  })

  it("has no preference for a place", async () => {
    const judge = { stage: "compare", name: "judge", ask: await run(asPolicy(scope, { policy, codec })) }
    const how = Judge.pairwise({})
    const row = { prompt: "Say it" }
    const [one, other] = await run(ordersBy(judge, how, [
      { row, a: "yes", b: "no" },
      { row, a: "no", b: "yes" }
    ]))
    assert.notStrictEqual(one!.first, 1 - one!.second!)
    assert.closeTo(preferenceOf(one!)!, 1 - preferenceOf(other!)!, 1e-6)
  })

  it("may be of another family, in a run and in its plan", async () => {
    const at = mkdtempSync(join(tmpdir(), "keel-judge-"))
    await Effect.runPromise(Effect.provide(save(join(at, "judge"), weights), NodeFileSystem.layer))
    const judge = Checkpoint.huggingFace("characters", join(at, "judge"))
    const base = Pretrain.make({ text: Source.text(Source.tales({ count: 4 })) }, {
      family: "tales",
      model: { dim: 8, layers: 1, heads: 2, kvHeads: 1, ffn: 12, context: 96 },
      steps: 1,
      batchSize: 1,
      learningRate: 1e-3
    })
    const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 2, maxNewTokens: 4 })
    const root = Score.byRubric({ completions, judge }, {
      rubric: Judge.rubric("Short.", { scale: { min: 1, max: 3 } })
    })
    assert.deepStrictEqual(problems(root), [])
    const { stages, unplanned } = await Effect.runPromise(Effect.provide(plan(root), NodeFileSystem.layer))
    assert.deepStrictEqual(unplanned, [])
    assert.isAbove(stages.find(({ stage }) => stage.startsWith("score"))!.flops, 0)
    const { events } = succeeded(await runs(root, join(at, "store")))
    const judged = events.find((event) => event._tag === "Judged")
    assert.strictEqual(judged?._tag === "Judged" ? judged.judged["judge/questions"] : 0, 8)
  })
})

describe("verdicts in words", () => {
  const { verdicts } = comparing(Judge.pairwise({}), { prompt: "p" }, "a", "b")
  it.each([
    ["[[A]]", 1],
    ["Both are bad. [[C]]", 0.5],
    ["[[ B ]] and once more [[B]]", 0],
    ["[A]", null],
    ["[[A]] or [[B]]", null],
    ["[[a]]", null],
    ["[[A or B]]", null],
    ["", null]
  ])("%s", (text, value) => assert.strictEqual(valueIn({ verdicts }, text), value))
})

describe("descriptions", () => {
  const base = Checkpoint.huggingFace("world", "anywhere")
  const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 4, maxNewTokens: 3 })
  const said = (root: Artifact.Any): string => problems(root).map(({ problem }) => problem).join("\n")
  const scored = (of: Judge.Endpoint, by = rubric) => Score.byRubric({ completions }, { endpoint: of, rubric: by })

  it.each([
    ["ftp://x/v1", /must begin with https:\/\/ or http:\/\//u],
    ["localhost", /must be the base URL/u],
    ["https://user:secret@x/v1", /must be a bare URL/u],
    ["https://x/v1?key=secret", /must be a bare URL/u],
    ["https://x/v1/chat/completions", /must end before \/chat\/completions/u]
  ])("the URL %s is refused", (url, problem) => {
    const message = said(scored(Judge.endpoint(url, "m")))
    assert.match(message, problem)
    assert.notInclude(message, "secret")
  })
  it("a key in the place of its variable's name is refused and not repeated", () => {
    const message = said(scored(Judge.endpoint("https://x/v1", "m", { key: "sk-secret" })))
    assert.match(message, /must be the name of an environment variable such as OPENAI_API_KEY, not the key/u)
    assert.notInclude(message, "sk-secret")
  })
  it("a scale without steps, criteria of one name, no judge and two judges are refused", () => {
    assert.match(
      said(scored(endpoint, Judge.rubric("x", { scale: { min: 3, max: 3 } }))),
      /must go from a whole number to a larger one/u
    )
    assert.match(
      said(scored(endpoint, Judge.rubric([{ name: "a", asks: "x" }, { name: "a", asks: "y" }]))),
      /each needs its own name/u
    )
    assert.match(
      said(Score.byRubric({ completions }, { rubric })),
      /Score has no judge: connect a policy as judge, or give an endpoint/u
    )
    assert.match(said(Score.byRubric({ completions, judge: base }, { rubric, endpoint })), /Score has two judges/u)
    assert.match(said(Compare.byJudge({ policy: base, prompts }, { maxNewTokens: 3 })), /Compare has no judge/u)
    assert.strictEqual(said(Compare.byJudge({ policy: base, prompts, judge: base }, { maxNewTokens: 3 })), "")
  })
  it("two currencies, and a key that is not set, are found", () => {
    const euros = Judge.endpoint("https://x/v1", "m", {
      price: { currency: "EUR", read: 1, written: 1 },
      key: "NO_KEY"
    })
    const root = Pipeline.cap(scored(euros), { money: Budget.dollars(1) })
    assert.match(
      said(root),
      /the money caps and prices of judges of this pipeline are in USD and EUR: give them all in one currency/u
    )
    assert.match(
      lackingKeys(root, undefined, {})[0]!.problem,
      /the environment variable NO_KEY, which has the key of its judge, is not set/u
    )
    assert.deepStrictEqual(lackingKeys(root, undefined, { NO_KEY: "x" }), [])
    // Without a price table, the fees of judges are all that money means.
    assert.deepStrictEqual(lackingPrices(Pipeline.cap(scored(endpoint), { money: Budget.dollars(1) }), null), [])
  })
  it("how an endpoint is asked decides nothing", () => {
    const other = Judge.endpoint(endpoint.url, endpoint.model, {
      concurrency: 1,
      timeout: 3,
      retries: 0,
      requestsPerMinute: 9
    })
    assert.deepStrictEqual(deciding(scored(other)), deciding(scored(endpoint)))
    const warmer = Judge.endpoint(endpoint.url, endpoint.model, { temperature: 1 })
    assert.notDeepEqual(deciding(scored(warmer)), deciding(scored(endpoint)))
  })
  it("are planned with their questions, tokens and fees", async () => {
    const of = Judge.rubric([{ name: "a", asks: "x" }, { name: "b", asks: "y" }], { times: 3 })
    const root = Pipeline.cap(scored(endpoint, of), { money: Budget.money("USD", 0.0001) })
    const shape = { config: characters().config, tokenizer: new Map<string, string>() }
    const { stages } = await Effect.runPromise(Effect.provide(plan(root, { shape }), NodeFileSystem.layer))
    const { judge } = stages.find(({ stage }) => stage.startsWith("score"))!
    assert.strictEqual(judge!.questions, 4 * 4 * 2 * 3)
    assert.isAbove(judge!.tokens, judge!.questions * (endpoint.maxTokens + 50))
    assert.strictEqual(judge!.fees, judge!.tokens + 9 * endpoint.maxTokens * judge!.questions)
    assert.deepStrictEqual(overCaps(root, stages, null).map(({ planned, resource }) => [resource, planned]), [
      ["money", judge!.fees]
    ])
  })
  it("mean the gold reward in a simulation", async () => {
    const preferences = Compare.byJudge({ policy: base, prompts }, {
      endpoint,
      maxNewTokens: 3,
      completionsPerPrompt: 4
    })
    const events: Array<Event> = []
    const root = RewardModeling.make({ init: base, preferences }, { batchSize: 4, learningRate: 1e-3 })
    await Effect.runPromise(simulate(root, { onEvent: (event) => events.push(event) }))
    await Effect.runPromise(simulate(scored(endpoint), { onEvent: (event) => events.push(event) }))
    const [pairs, scores] = events.flatMap((event) => event._tag === "Judged" ? [event.judged] : [])
    assert.deepInclude(pairs, { "judge/agreement": 1, "judge/contradictions": 0, "judge/unreadable": 0 })
    assert.closeTo(pairs!["judge/position_bias"]!, 0, 1e-12)
    assert.isTrue(scores!["judge/score"]! > 1 && scores!["judge/score"]! < 10)
  })
  it("are a reward in a simulation, as much of it as at its distance there is", async () => {
    const held = Source.prompts(Source.tales({ count: 4, split: "held" }))
    const reward = Reward.sum({ judge: Reward.judge(endpoint, { rubric }), short: Reward.verify(Verifier.ended()) })
    const root = Pipeline.cap(
      Grpo.make({ init: base, reference: base, prompts, held, reward }, {
        allowance: Kl.mnatsPerSequence(1),
        beta: 1,
        steps: 30,
        batchSize: 4,
        groupSize: 8,
        learningRate: 1e-3,
        maxNewTokens: 3
      }),
      { kl: Kl.mnatsPerSequence(90_000), from: base }
    )
    assert.deepStrictEqual(problems(root), [])
    const { events, policies } = await Effect.runPromise(simulate(root))
    const steps = events.flatMap((event) => event._tag === "Step" ? [event.metrics["rewards/judge/mean"]!] : [])
    assert.isTrue(steps.every((mean) => mean > 1 && mean < 10))
    assert.isAbove(steps.at(-1)!, steps[0]!)
    const { attainable } = policies.find(({ stage }) => stage.startsWith("grpo"))!
    assert.isTrue(attainable!.reward > 1 && attainable!.reward <= attainable!.best + 1e-9)
  })
  it("of rewards are checked as the others", () => {
    const by = (of: Judge.Endpoint) => Score.byReward({ completions, reward: Reward.judge(of, { rubric }) })
    assert.match(said(by(Judge.endpoint("x", "m"))), /must be the base URL/u)
    assert.strictEqual(said(by(endpoint)), "")
    assert.strictEqual(said(Score.byReward({ completions, reward: Reward.judge(base, { rubric: "Short." }) })), "")
  })
})
