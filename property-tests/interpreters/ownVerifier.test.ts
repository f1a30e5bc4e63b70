/** Verifiers from outside Keel wherever a verifier can stand, their errors, and what a run says of a reward that is the same for all. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { laws } from "keel/testing"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  BestOfN,
  Evaluate,
  Gold,
  Grpo,
  Kl,
  Pipeline,
  Ppo,
  Pretrain,
  Sample,
  Score,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { contentsBy, readIn } from "../../src/interpreters/contents.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { alarms } from "../../src/report/alarms.ts"
import { verdictsOf, type VerifiedRow, verifier, type VerifierImplementation } from "../../src/rewards/own.ts"
import { Judge, layer as judge } from "../../src/rewards/judge.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { engine, train } from "./tiny.ts"

const folder = folders("own-verifier")
const rows = join(mkdtempSync(join(tmpdir(), "keel-own-verifier-rows-")), "rows.jsonl")
writeFileSync(
  rows,
  ["Mia", "Tom"].map((name, i) =>
    JSON.stringify({ prompt: `Tell a story about ${name} .`, answer: name, difficulty: i, tags: ["a", { b: i }] })
  ).join("\n")
)
const prompts = Source.prompts(Source.file(rows))
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
  steps: 2,
  batchSize: 2,
  learningRate: 3e-3
})
const own = Verifier.own("Short", { most: 3 })
const fit = {
  allowance: Kl.mnatsPerSequence(1),
  beta: 0,
  steps: 2,
  batchSize: 2,
  learningRate: 3e-3,
  maxNewTokens: 4,
  measureSamples: 2,
  measureMost: 2
} as const
const held = Source.prompts(Source.tales({ split: "held", count: 2 }))
const capped = <P extends Artifact.Any>(policy: P): Artifact.Any =>
  Pipeline.cap(policy as never, { kl: Kl.mnatsPerSequence(50_000), from: base } as never)
const grpo = (verifiers: ReadonlyArray<Verifier.Verifier>) =>
  capped(Grpo.make({ init: base, prompts, held }, { ...fit, groupSize: 2, verifiers }))

const events: Array<Event> = []
const on = (root: Artifact.Any, rewards: ReadonlyArray<VerifierImplementation>, store = folder()) => {
  events.length = 0
  const onEvent = (event: Event) => Effect.sync(() => void events.push(event))
  return train(root, { engine: engine(), store, rewards, onEvent }).pipe(Effect.provide(NodeServices.layer))
}
const failure = async (root: Artifact.Any, rewards: ReadonlyArray<VerifierImplementation>) => {
  const exit = await Effect.runPromiseExit(on(root, rewards))
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag === "Fail") return reason.error
  throw new Error(String(exit))
}

describe("a verifier from outside", () => {
  it("sees the whole row and the completion, answers at once, by a promise or by an Effect, and counts the same", async () => {
    const seen: Array<readonly [VerifiedRow, object]> = []
    const answers = [
      (short: boolean) => short,
      (short: boolean) => Promise.resolve(short),
      (short: boolean) => Effect.delay(Effect.succeed(Number(short)), 1)
    ]
    const means: Array<unknown> = []
    for (const answer of answers) {
      const short = verifier("Short", (row, completion, about) => {
        seen.push([row, about])
        return answer(completion.length % 2 === 0)
      })
      await Effect.runPromise(on(grpo([own]), [short]))
      means.push(events.flatMap((event) => event._tag === "Step" ? [event.metrics["rewards/Short/mean"]] : []))
    }
    assert.deepStrictEqual(means, [means[0], means[0], means[0]])
    const [row, about] = seen.find(([row]) => row["difficulty"] === 1)!
    assert.deepStrictEqual(row, {
      prompt: "Tell a story about Tom .",
      answer: "Tom",
      difficulty: 1,
      tags: ["a", { b: 1 }]
    })
    assert.deepInclude(about, { params: { most: 3 } })
    assert.containsAllKeys(about, ["ended", "tokens"])
  })

  it("is a reward of GRPO and PPO, scores and is reported, with and without a gold reward", async () => {
    const length = verifier("Short", (_, completion) => completion.length / 7)
    const ppo = capped(Ppo.make({ init: base, value: base, prompts, held }, { ...fit, verifiers: [own] }))
    await Effect.runPromise(on(ppo, [length]))
    assert.isTrue(events.some((event) => event._tag === "Step" && event.metrics["rewards/Short/mean"]! > 0))
    const completions = Score.byVerifier({
      completions: Sample.make({ policy: base, prompts }, { completionsPerPrompt: 2, maxNewTokens: 4 })
    }, { verifiers: [own] })
    const best = await Effect.runPromise(on(BestOfN.make({ completions }, { sizes: [1, 2] }), [length]))
    assert(best._tag === "Report")
    assert.isNull(best.report.models[0]!.gold)
    assert.isAbove(best.report.models[1]!.proxy!.mean, best.report.models[0]!.proxy!.mean)
    for (const gold of [{}, { gold: Gold.tales }]) {
      const verifiers = [own, Verifier.ended()]
      const root = Evaluate.make({ initial: base, prompts }, { base }, { ...gold, verifiers, maxNewTokens: 4 })
      const made = await Effect.runPromise(on(root, [length]))
      assert(made._tag === "Report")
      const [model] = made.report.models
      assert.strictEqual(model!.gold === null, !("gold" in gold))
      assert.hasAllKeys(model!.verdicts, ["Short", "Ended"])
      assert.isAbove(model!.verdicts!["Short"]!.mean, 0)
      assert.lengthOf(made.report.goldGain, 0)
    }
  })

  it("that throws, rejects, fails or gives no finite number ends its stage in an error with its name and row", async () => {
    const cases: ReadonlyArray<readonly [VerifierImplementation["verify"], string]> = [
      [() => NaN, "gave NaN"],
      [() => Promise.resolve("yes" as never), "gave yes"],
      [() => undefined as never, "gave undefined"],
      [() => assert.fail("never"), "threw AssertionError: never"],
      [() => Promise.reject(new Error("offline")), "threw Error: offline"],
      [() => Effect.fail("no quota"), "threw no quota"],
      [() => Effect.die(new Error("bug")), "threw Error: bug"]
    ]
    for (const [verify, said] of cases) {
      const error = await failure(grpo([own]), [verifier("Short", verify)])
      assert.strictEqual(error._tag, "BrokenExtension")
      assert.match(
        error.message,
        /^grpo-[0-9a-f]{8}: the verifier Short .* for the prompt of row [12], "Tell a story about (Mia|Tom) \.", and the completion "/u
      )
      assert.include(error.message, `Short ${said}`)
      assert.include(error.message, "laws.verifier")
    }
    const report = Evaluate.make({ initial: base, prompts }, { base }, { verifiers: [own], maxNewTokens: 4 })
    const of = verifier("Short", ({ difficulty }) => difficulty === 1 ? NaN : 0)
    assert.match((await failure(report, [of])).message, /^evaluate-.*gave NaN for the prompt of row 2, /u)
    const without = await failure(grpo([own]), [])
    assert.include(
      without.message,
      "the verifier Short comes from outside Keel and has no implementation here: pass it"
    )
    await Effect.runPromise(simulate(grpo([own])))
  })

  it("that does not answer is told after 30 s of silence, and ends at its time limit", async () => {
    const told: Array<string> = []
    const console = { ...globalThis.console, error: (text: string) => void told.push(text) }
    const questions = [1, 2, 3].map((row) => ({ prompt: "p", completion: "c", row }))
    const after = (seconds: number, options: { readonly seconds?: number }) =>
      Effect.gen(function*() {
        const slow = verifier("Short", (row) => row.prompt === "p" ? Effect.delay(Effect.succeed(1), 40_000) : 1)
        const all = [{ prompt: "q", completion: "", row: 9 }, ...questions]
        const fiber = yield* Effect.forkChild(verdictsOf("here", Verifier.own("Short", {}, options), [slow], all))
        yield* TestClock.adjust(`${seconds} seconds`)
        return yield* Fiber.join(fiber)
      }).pipe(
        Effect.provide(TestClock.layer()),
        Effect.provideService(Console.Console, console),
        Effect.runPromiseExit
      )
    assert.deepStrictEqual(await after(60, {}), Exit.succeed([1, 1, 1, 1]))
    assert.deepStrictEqual(told, ["! here  still waiting for the verifier Short: 1 of 4 answers, 30 s without one"])
    const late = await after(60, { seconds: 20 })
    assert.match(
      String(late),
      /gave no answer within its 20 seconds for the prompt of row 1, "p"/u
    )
    assert.lengthOf(told, 1)
    assert.deepStrictEqual(await after(60, { seconds: 50 }), Exit.succeed([1, 1, 1, 1]))
  })

  it("is asked no more than so many questions at a time", async () => {
    let [now, most] = [0, 0]
    const slow = verifier("Short", () =>
      Effect.gen(function*() {
        most = Math.max(most, ++now)
        yield* Effect.sleep(2)
        now--
        return 1
      }), { concurrency: 3 })
    const questions = Array.from({ length: 20 }, (_, row) => ({ prompt: "", completion: "", row }))
    const said = await Effect.runPromise(
      Effect.flatMap(Judge, ({ verifies }) => verifies("here", own, questions)).pipe(Effect.provide(judge([slow])))
    )
    assert.deepStrictEqual(said, Array.from({ length: 20 }, () => 1))
    assert.strictEqual(most, 3)
  })

  it("that never answers is left at a stop, in the middle of a step", async () => {
    let asked = () => {}
    const waiting = new Promise<void>((resolve) => asked = resolve)
    const silent = verifier("Short", () => {
      asked()
      return new Promise<number>(() => {})
    })
    const fiber = Effect.runFork(on(grpo([own]), [silent]))
    await waiting
    await Effect.runPromise(Effect.timeout(Fiber.interrupt(fiber), "5 seconds"))
    assert.isTrue(events.some(({ _tag }) => _tag === "Started"))
  })

  it("is part of the key of what it judged: by its version, or its text", async () => {
    const keyWith = async (one: VerifierImplementation) => {
      const root = grpo([own])
      const digests = { of: () => Effect.succeed("") }
      const read = await Effect.runPromise(
        Effect.provide(readIn(root, { rewards: [one] }, digests as never), NodeServices.layer)
      )
      assert.hasAllKeys(read.code, ["verifier Short"])
      return contentsBy(read)(root.node.wires["of"]!)
    }
    const check = () => 1
    assert.deepStrictEqual(await keyWith(verifier("Short", check)), await keyWith(verifier("Short", check)))
    assert.notDeepEqual(await keyWith(verifier("Short", check)), await keyWith(verifier("Short", () => 2)))
    assert.notDeepEqual(
      await keyWith(verifier("Short", check, { version: "1" })),
      await keyWith(verifier("Short", check, { version: "2" }))
    )
  })

  it("has laws: pure and total, whenever it answers", async () => {
    await laws.verifier((row, completion) => row.answer === completion)
    await laws.verifier(async (_, completion) => completion.length)
    const rejected = async (verify: VerifierImplementation["verify"]) => {
      const said = await laws.verifier(verify, { numRuns: 50 }).then(() => "held", () => "failed")
      assert.strictEqual(said, "failed")
    }
    await rejected(() => Math.random())
    await rejected((_, completion) => completion.length / completion.length)
    await rejected(() => Promise.reject(new Error("never")))
  })
})

describe("a reward that is the same for all", () => {
  const said = async (verifiers: ReadonlyArray<Verifier.Verifier>, verify: VerifierImplementation["verify"]) => {
    await Effect.runPromise(on(grpo(verifiers), [verifier("Short", verify)]))
    return alarms(events)
  }
  it("is told with its counts, whole and by its parts", async () => {
    const [zero, ...more] = await said([own], () => 0)
    assert.match(
      zero!,
      /^grpo-[0-9a-f]{8}: its reward was the same .* in every group of 2 of 2 steps \(it was always 0\)/u
    )
    assert.deepStrictEqual(more, [])
    // By prompt, so that no group has a difference though the rewards differ.
    assert.lengthOf(await said([own], ({ difficulty }) => Number(difficulty)), 1)
    let calls = 0
    const varied = Verifier.own("Varied")
    const both = on(grpo([own, varied]), [verifier("Short", () => 1), verifier("Varied", () => calls++)])
    await Effect.runPromise(both)
    const [part, ...others] = alarms(events)
    assert.match(part!, /^grpo-[0-9a-f]{8}: Short gave every completion the same in all 2 steps \(it was always 1\)/u)
    assert.deepStrictEqual(others, [])
    calls = 0
    assert.deepStrictEqual(await said([own], () => calls++), [])
  })
})
