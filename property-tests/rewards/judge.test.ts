/** Judges behind an endpoint: whatever it does, nothing is lost, and nothing is asked, counted or paid for twice. */
import { Console, Effect, Exit } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import {
  Budget,
  Compare,
  Evaluate,
  Gold,
  Grpo,
  Judge,
  Kl,
  Pipeline,
  Reward,
  Score,
  Sft,
  Source
} from "../../dsl/index.ts"
import type { PreferenceRow, ScoredRow } from "../../src/data/rows.ts"
import { FirstWait } from "../../src/rewards/endpoint.ts"
import { problems } from "../../src/interpreters/check.ts"
import type { Report } from "../../src/store/report.ts"
import type { Event } from "../../src/store/runLog.ts"
import type { Store } from "../../src/store/store.ts"
import { making, store } from "../interpreters/worldly.ts"
import { type Answering, completion, cutOff, endpointOf, status } from "./fakeEndpoint.ts"
import { base, completions, price, prompts, rubric, scoring, stored, world } from "./judging.ts"

const folder = (): string => mkdtempSync(join(tmpdir(), "keel-judge-"))

/** Makes `root` in a store on disk; everything that it says comes back with it. */
const made = async (root: Parameters<typeof making>[0], at: string | Store["Service"], { repeated = 1 } = {}) => {
  const events: Array<Event> = []
  const said: Array<string> = []
  const program = making(root, {
    world,
    repeated,
    store: typeof at === "string" ? await stored(at) : at,
    onEvent: (event) => events.push(event)
  })
    .pipe(
      Effect.provideService(FirstWait, 1),
      Effect.provideService(Console.Console, { ...console, error: (line: string) => void said.push(line) })
    )
  const exit = await Effect.runPromise(
    Effect.exit(program as Effect.Effect<{ dataset: { rows: ReadonlyArray<unknown> } }, Error>)
  )
  return { exit, events, said }
}

const rowsIn = <A>({ exit }: Awaited<ReturnType<typeof made>>): ReadonlyArray<A> => {
  if (Exit.isSuccess(exit)) return exit.value.dataset.rows as ReadonlyArray<A>
  throw new Error(String(exit.cause))
}
const reportIn = ({ exit }: Awaited<ReturnType<typeof made>>): Report => {
  if (Exit.isSuccess(exit)) return (exit.value as unknown as { readonly report: Report }).report
  throw new Error(String(exit.cause))
}
const errorIn = ({ exit }: Awaited<ReturnType<typeof made>>) => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag === "Fail") return reason.error as Error & { readonly _tag: string; readonly spent?: number }
  throw new Error(`no failure: ${String(exit)}`)
}

/** What a question is about: the completion between its marks. */
const about = (text: string, title = "Assistant's Answer"): string =>
  text.split(`[The Start of ${title}]\n`)[1]!.split(`\n[The End of ${title}]`)[0]!
/** A judge with an opinion: shorter is better. */
const byLength: Answering = ({ body }) => `Short. [[${10 - about(body.messages[0]!.content).length}]]`

const spentIn = (at: string): { asked?: number; fees?: number } =>
  JSON.parse(
    readFileSync(join(at, readdirSync(at).find((name) => /^score-[0-9a-f]+$/u.test(name))!, "spent.json"), "utf8")
  )

const questions = 12
/** Set before anything reads the environment, as a user's is. */
const [variable, key] = ["KEEL_TEST_JUDGE_KEY", "sk-0123456789abcdefghij"]
process.env[variable] = key

describe("an endpoint", () => {
  it("is asked once for each different question, and its tokens and price are counted", async () => {
    const server = await endpointOf(byLength)
    const at = folder()
    const rows = rowsIn<ScoredRow>(await made(scoring(server.url), at))
    assert.lengthOf(rows, questions)
    for (const { completion, score } of rows) assert.strictEqual(score, 10 - completion.length)
    const different = new Set(rows.map(({ completion, prompt }) => JSON.stringify([prompt, completion]))).size
    assert.lengthOf(server.calls, different)
    assert.deepInclude(spentIn(at), { asked: 110 * different, fees: 200 * different })
    // Another rubric is another question; the way of asking is not.
    rowsIn(
      await made(scoring(server.url, { concurrency: 2, timeout: 9, retries: 1, price: { ...price, read: 3 } }), at)
    )
    assert.lengthOf(server.calls, different)
    rowsIn(await made(scoring(server.url, {}, Judge.rubric("How long it is.")), at))
    assert.lengthOf(server.calls, 2 * different)
    await server.close()
  })

  const wrongs: Readonly<Record<string, Exclude<ReturnType<Answering>, string>>> = {
    "500": status(500, "oh"),
    "429 with Retry-After": status(429, "slow down", { "retry-after-ms": "30" }),
    "an answer that is no JSON": status(200, "<html>"),
    "an answer of another schema": status(200, JSON.stringify({ error: "none" })),
    "an answer without choices": status(200, JSON.stringify({ choices: [] })),
    "an answer that is cut off": cutOff,
    "a connection that breaks": (response) => void response.destroy(),
    silence: () => {}
  }
  it.each(Object.entries(wrongs))("is asked again after %s, and paid for once", async (_, wrong) => {
    const server = await endpointOf((call) => call.again === 0 ? wrong : byLength(call))
    const at = folder()
    const rows = rowsIn<ScoredRow>(await made(scoring(server.url, { timeout: 0.2 }), at))
    for (const { completion, score } of rows) assert.strictEqual(score, 10 - completion.length)
    assert.lengthOf(server.calls, 2 * server.answered.length)
    assert.lengthOf(new Set(server.calls.map(({ headers }) => headers["idempotency-key"])), server.answered.length)
    assert.deepInclude(spentIn(at), { asked: 110 * server.answered.length, fees: 200 * server.answered.length })
    await server.close()
  })

  it("waits as long as Retry-After says", async () => {
    const began: Array<number> = []
    const server = await endpointOf((call) => {
      began.push(Date.now())
      return call.nth === 0 ? status(429, "", { "retry-after": "1" }) : byLength(call)
    })
    rowsIn(await made(scoring(server.url, { concurrency: 1 }), folder()))
    assert.isAtLeast(began[1]! - began[0]!, 990)
    await server.close()
  })

  it.each([
    ["no verdict", "I like it."],
    ["a score beyond the scale", "[[11]]"],
    ["a score that is no whole number", "[[7.5]]"],
    ["two verdicts", "[[1]] or [[2]]"],
    ["a letter", "[[A]]"]
  ])("is asked again after %s, which is paid for too", async (_, text) => {
    const server = await endpointOf((call) => call.body.messages.length === 1 ? text : byLength(call))
    const at = folder()
    const rows = rowsIn<ScoredRow>(await made(scoring(server.url), at))
    for (const { completion, score } of rows) assert.strictEqual(score, 10 - completion.length)
    assert.lengthOf(server.calls, server.answered.length)
    assert.deepInclude(spentIn(at), { fees: 200 * server.calls.length })
    await server.close()
  })

  it("that never gives some verdicts loses these completions alone, and says how many", async () => {
    const server = await endpointOf((call) => about(call.body.messages[0]!.content) === "" ? "Hm." : byLength(call))
    const { events, ...rest } = await made(scoring(server.url), folder())
    const rows = rowsIn<ScoredRow>({ events, ...rest })
    const lost = questions - rows.length
    assert.isAbove(lost, 0)
    assert.isTrue(rows.every(({ completion }) => completion !== ""))
    const judged = events.find((event) => event._tag === "Judged")
    assert.deepInclude(judged?._tag === "Judged" ? judged.judged : {}, {
      "judge/questions": questions,
      "judge/unreadable": lost,
      "judge/left_out": lost
    })
    await server.close()
  })

  it("that gives no verdict at all ends the stage", async () => {
    const server = await endpointOf(() => "Hm.")
    const error = errorIn(
      await made(Score.byRubric({ completions }, { endpoint: Judge.endpoint(server.url, "judge"), rubric }), folder())
    )
    assert.strictEqual(error._tag, "JudgeFailed")
    assert.match(
      error.message,
      /its judge judge at 127\.0\.0\.1:\d+ fails: none of 12 answers has a verdict that can be read/u
    )
    await server.close()
  })

  it("that dies half-way ends the stage with its answers kept, and the next run asks the rest", async () => {
    const at = folder()
    const server = await endpointOf((call) => call.nth < 4 ? byLength(call) : (response) => void response.destroy())
    const first = await made(scoring(server.url, { concurrency: 2, retries: 2 }), at)
    assert.strictEqual(errorIn(first)._tag, "JudgeFailed")
    assert.match(errorIn(first).message, /asked 3 times: the connection failed .* nothing is asked twice/u)
    const before = [...server.answered]
    assert.lengthOf(before, 4)
    await server.close()
    const alive = await endpointOf(byLength, server.port)
    rowsIn(await made(scoring(alive.url, { concurrency: 2, retries: 2 }), at))
    assert.deepStrictEqual(alive.answered.filter((body) => before.includes(body)), [])
    const all = alive.answered.length + before.length
    assert.deepInclude(spentIn(at), { asked: 110 * all, fees: 200 * all })
    await alive.close()
  })

  it("keeps the answers under way when the run is stopped", async () => {
    const at = folder()
    let stop = () => {}
    const server = await endpointOf((call) => {
      if (call.nth === 5) stop()
      return (response) =>
        void setTimeout(() => {
          response.setHeader("content-type", "application/json")
          response.end(completion(byLength(call) as string))
        }, 20)
    })
    const fiber = Effect.runFork(making(scoring(server.url, { concurrency: 2 }), { world, store: await stored(at) }))
    stop = () => fiber.interruptUnsafe()
    await new Promise((resolve) => fiber.addObserver(resolve))
    const before = server.calls.length
    assert.isAtMost(before, 7)
    rowsIn(await made(scoring(server.url, { concurrency: 2 }), at))
    assert.lengthOf(new Set(server.calls.map(({ body }) => JSON.stringify(body))), server.calls.length)
    assert.deepInclude(spentIn(at), { fees: 200 * server.calls.length })
    await server.close()
  })

  it("keeps every answer that it had when the process was killed", async () => {
    const at = folder()
    let kill = () => {}
    const server = await endpointOf((call) => {
      if (call.nth === 7) kill()
      return (response) => void setTimeout(() => response.end(completion(byLength(call) as string)), 10)
    })
    const child = spawn(process.execPath, [join(import.meta.dirname, "judgeChild.ts"), server.url, at])
    kill = () => child.kill("SIGKILL")
    await once(child, "exit")
    const kept = new Map(
      readdirSync(join(at, "answers"), { recursive: true, withFileTypes: true })
        .filter((file) => file.isFile()).map((
          file
        ) => [file.name, readFileSync(join(file.parentPath, file.name), "utf8")])
    )
    const before = server.calls.length
    // Two are asked at a time.
    assert.isAtLeast(kept.size, before - 2)
    rowsIn(await made(scoring(server.url, { concurrency: 2 }), at))
    const asked = server.calls.slice(before).map(({ headers }) => `${headers["idempotency-key"] as string}.json`)
    for (const [name, text] of kept) if (text.endsWith("\n")) assert.notInclude(asked, name)
    const answers = new Set(server.calls.map(({ headers }) => headers["idempotency-key"])).size
    assert.deepInclude(spentIn(at), { asked: 110 * answers, fees: 200 * answers })
    await server.close()
  })

  it("is not asked beyond a cap on money or tokens, and goes on under a larger one", async () => {
    const server = await endpointOf(byLength)
    const at = folder()
    const judged = scoring(server.url, { concurrency: 3, maxTokens: 20 })
    const error = errorIn(await made(Pipeline.cap(judged, { money: Budget.money("USD", 0.0015) }), at))
    assert.strictEqual(error._tag, "BudgetExceeded")
    assert.match(error.message, /would have used .* at most with its next question, which was not asked; its cap is/u)
    assert.isAbove(server.calls.length, 2)
    assert.isAtMost(200 * server.calls.length, 1500)
    const before = server.calls.length
    assert.strictEqual(
      errorIn(await made(Pipeline.cap(judged, { tokens: 110 * before + 50 }), at))._tag,
      "BudgetExceeded"
    )
    assert.lengthOf(server.calls, before)
    rowsIn(await made(Pipeline.cap(judged, { money: Budget.dollars(1), tokens: 10_000 }), at))
    assert.lengthOf(new Set(server.answered), server.calls.length)
    assert.deepInclude(spentIn(at), { fees: 200 * server.calls.length, asked: 110 * server.calls.length })
    await server.close()
  })

  it("gets so many questions at a time and in a minute", async () => {
    let [now, most] = [0, 0]
    const server = await endpointOf((call) => (response) => {
      most = Math.max(most, ++now)
      setTimeout(() => {
        now--
        response.end(completion(byLength(call) as string))
      }, 10)
    })
    rowsIn(await made(scoring(server.url, { concurrency: 3 }), folder()))
    assert.strictEqual(most, 3)
    const began = Date.now()
    rowsIn(await made(scoring(server.url, { requestsPerMinute: 60 * 40 }), folder()))
    assert.isAtLeast(Date.now() - began, 25 * (server.calls.length / 2 - 1))
    await server.close()
  })

  it("has its key from the environment, in the header alone", async () => {
    const of = (url: string, name = variable) => scoring(url, { key: name, retries: 0 })
    const at = folder()
    // It says everything that it was told, in every way that it can.
    const echo = await endpointOf((call) =>
      call.nth < 3
        ? `${String(call.headers["authorization"])} ${byLength(call)}`
        : status(400, String(call.headers["authorization"]))
    )
    assert.match(
      errorIn(await made(of(echo.url, "KEEL_TEST_NO_KEY"), at)).message,
      /the environment variable KEEL_TEST_NO_KEY with its key is not set/u
    )
    assert.lengthOf(echo.calls, 0)
    const outcomes = [await made(of(echo.url), at)]
    for (const code of [401, 403, 404, 418, 500, 503]) {
      const server = await endpointOf((call) => status(code, String(call.headers["authorization"])))
      outcomes.push(await made(of(server.url), at))
      await server.close()
    }
    assert.strictEqual(echo.calls[0]!.headers["authorization"], `Bearer ${key}`)
    for (const outcome of outcomes) {
      const { message, ...error } = errorIn(outcome)
      assert.strictEqual(error._tag, "JudgeFailed")
      for (
        const text of [
          message,
          JSON.stringify(error),
          JSON.stringify(outcome.events),
          outcome.said.join("\n"),
          String(errorIn(outcome).stack)
        ]
      ) {
        assert.notInclude(text, key)
      }
    }
    const files = readdirSync(at, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
    assert.isAbove(files.length, 3)
    for (const file of files) assert.notInclude(readFileSync(join(file.parentPath, file.name), "utf8"), key)
    await echo.close()
  })

  it("asked twice says how often it agrees with itself; criteria have weights", async () => {
    const server = await endpointOf(({ body: { messages: [message], seed } }) =>
      message!.content.includes("first: ") ? "[[2]]" : seed === 0 ? "[[4]]" : "[[6]]"
    )
    const of = Judge.rubric([{ name: "first", asks: "One.", weight: 3 }, { name: "second", asks: "Two." }], {
      times: 2
    })
    const { events, ...rest } = await made(scoring(server.url, {}, of), folder())
    for (const { score } of rowsIn<ScoredRow>({ events, ...rest })) assert.strictEqual(score, (3 * 2 + 5) / 4)
    const judged = events.find((event) => event._tag === "Judged")
    assert.deepStrictEqual(judged?._tag === "Judged" ? judged.judged : {}, {
      "judge/questions": 48,
      "judge/unreadable": 0,
      "judge/left_out": 0,
      "judge/score": 2.75,
      "judge/agreement": 0.5,
      "judge/difference": 1,
      "judge/score/first": 2,
      "judge/score/second": 5
    })
    await server.close()
  })
})

describe("pairs", () => {
  const compared = (url: string) =>
    Compare.byJudge({ policy: base, prompts }, {
      endpoint: Judge.endpoint(url, "judge"),
      completionsPerPrompt: 4,
      maxNewTokens: world.horizon
    })
  const judgedIn = (events: ReadonlyArray<Event>) => {
    const event = events.find((event) => event._tag === "Judged")
    if (event?._tag !== "Judged") throw new Error("no word of the judge")
    return event.judged
  }
  const shorter: Answering = ({ body: { messages: [message] } }) => {
    const [a, b] = ["A", "B"].map((title) => about(message!.content, `Assistant ${title}'s Answer`).length) as [
      number,
      number
    ]
    return a < b ? "[[A]]" : a > b ? "[[B]]" : "[[C]]"
  }
  it("are labelled by a judge that is asked in both orders", async () => {
    const server = await endpointOf(shorter)
    const outcome = await made(compared(server.url), folder())
    const rows = rowsIn<PreferenceRow>(outcome)
    assert.isAbove(rows.length, 0)
    for (const { chosen, rejected } of rows) assert.isBelow(chosen.length, rejected.length)
    const judged = judgedIn(outcome.events)
    assert.strictEqual(judged["judge/agreement"], 1)
    assert.strictEqual(judged["judge/position_bias"], 0)
    assert.strictEqual(judged["judge/left_out"], judged["judge/ties"])
    assert.strictEqual(rows.length + judged["judge/ties"]!, judged["judge/questions"]! / 2)
    await server.close()
  })
  it("whose judge always prefers the first are no pairs, and that is said", async () => {
    const server = await endpointOf(() => "[[A]]")
    const outcome = await made(compared(server.url), folder())
    assert.deepStrictEqual(rowsIn(outcome), [])
    const judged = judgedIn(outcome.events)
    assert.deepInclude(judged, { "judge/position_bias": 0.5, "judge/agreement": 0, "judge/ties": 0 })
    assert.strictEqual(judged["judge/contradictions"], judged["judge/questions"]! / 2)
    await server.close()
  })

  it("of two models are the win rate of one over the other, or over the answers of the rows", async () => {
    const server = await endpointOf(shorter)
    const held = Source.prompts(Source.tales({ split: "held", count: 2 }))
    const evaluated = (against: string) =>
      Evaluate.make({ initial: base, prompts: held }, { base, tuned }, {
        maxNewTokens: world.horizon,
        shown: 8,
        winRate: Judge.winRate({ against, endpoint: Judge.endpoint(server.url, "judge") })
      })
    const tuned = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 4 })) }, {
      batchSize: 4,
      learningRate: 1
    })
    const outcome = await made(evaluated("base"), folder(), { repeated: 4 })
    const { models: [one, other] } = reportIn(outcome)
    const wins = other!.completions.map((text, i) => (1 + Math.sign(one!.completions[i]!.length - text.length)) / 2)
    assert.lengthOf(wins, 8)
    assert.isUndefined(one!.winRate)
    assert.deepInclude(other!.winRate, { against: "base", n: 8, mean: wins.reduce((sum, x) => sum + x, 0) / 8 })
    assert.strictEqual(judgedIn(outcome.events)["judge/agreement"], 1)
    const error = errorIn(await made(evaluated("answer"), folder()))
    assert.include(error.message, "row 1 of its prompts has no answer, and its judge is to see one")
    assert.match(
      problems(evaluated("nobody")).map(({ problem }) => problem).join(),
      /is against nobody, which is none of its models: base, tuned/u
    )
    await server.close()
  })
})

describe("a reward", () => {
  const held = Source.prompts(Source.tales({ split: "held", count: 2 }))
  const trained = (url: string, more: { readonly observe?: { readonly gold: Gold.Gold } } = {}) =>
    Pipeline.cap(
      Grpo.make({
        init: base,
        reference: base,
        prompts,
        held,
        reward: Reward.judge(Judge.endpoint(url, "judge", { price, concurrency: 4 }), { rubric })
      }, {
        allowance: Kl.mnatsPerSequence(1),
        beta: 0.01,
        steps: 6,
        batchSize: 2,
        groupSize: 12,
        learningRate: 1,
        maxNewTokens: world.horizon,
        measureEvery: 6,
        checkpointEvery: 1,
        ...more
      }),
      { kl: Kl.mnatsPerSequence(90_000), from: base }
    )
  /** A store in memory, because a tabular model has no files, that says what stages took. */
  const counting = async () => {
    const kept = await store()
    const took: Array<number> = []
    const counts: typeof kept = {
      ...kept,
      finish: (key, label, made, spent, ...rest) => {
        if (label.startsWith("grpo")) took.push(spent!.fees)
        return kept.finish(key, label, made, spent, ...rest)
      }
    }
    return { counts, took }
  }

  it("by a judge trains a policy, and is asked nothing twice by a run that was stopped", async () => {
    let [stop, nth] = [() => {}, 19]
    const server = await endpointOf((call) => {
      if (call.nth === nth) stop()
      return byLength(call)
    })
    const { counts, took } = await counting()
    const fiber = Effect.runFork(making(trained(server.url), { world, store: counts }))
    stop = () => fiber.interruptUnsafe()
    await new Promise((resolve) => fiber.addObserver(resolve))
    assert.lengthOf(took, 0)
    const stopped = server.calls.length
    nth = -1
    rowless(await made(trained(server.url), counts))
    assert.isAbove(server.calls.length, stopped)
    assert.lengthOf(new Set(server.answered), server.calls.length)
    assert.deepStrictEqual(took, [200 * server.calls.length])
    const before = server.calls.length
    const again = await counting()
    const whole = await made(trained(server.url), again.counts)
    rowless(whole)
    assert.strictEqual(server.calls.length, 2 * before)
    assert.deepStrictEqual(again.took, took)
    const scores = whole.events.flatMap((event) =>
      event._tag === "Step" && event.stage.startsWith("grpo") ? [event.metrics["objective/scores"]!] : []
    )
    assert.lengthOf(scores, 6)
    assert.isAbove(scores.at(-1)!, scores[0]!)
    assert.isAbove(judgedQuestions(whole.events), before)
    await server.close()
  })

  it("by an endpoint is asked on held prompts only where a gold reward is observed", async () => {
    const server = await endpointOf(byLength)
    const observed = async (root: ReturnType<typeof trained>) =>
      (await made(root, (await counting()).counts)).events.flatMap((event) =>
        event._tag === "Observed" ? [Object.hasOwn(event.observed, "proxy")] : []
      )
    assert.deepStrictEqual(await observed(trained(server.url)), [false])
    const few = server.calls.length
    assert.include(await observed(trained(server.url, { observe: { gold: Gold.tales } })), true)
    assert.isAbove(server.calls.length, 2 * few)
    await server.close()
  })

  const rowless = ({ exit }: Awaited<ReturnType<typeof made>>): void =>
    assert.isTrue(Exit.isSuccess(exit), String(exit))
  const judgedQuestions = (events: ReadonlyArray<Event>): number =>
    events.reduce((sum, event) => sum + (event._tag === "Judged" ? event.judged["judge/questions"]! : 0), 0)
})
