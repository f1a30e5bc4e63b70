/** Environments: Keel's own keep the law, and one from outside that breaks it is told by its name. */
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Environment } from "../../dsl/index.ts"
import {
  actsOf,
  environment,
  type EnvironmentImplementation,
  type Episode,
  type Situation
} from "../../src/rewards/environment.ts"
import { environment as law } from "../../src/testing/laws/environment.ts"

const situation = (text: string, more: Partial<Situation> = {}): Situation => ({
  row: { prompt: "p", answer: "2", size: 7 },
  turns: [{ text, calls: [], ended: true, replies: [] }],
  seed: "s",
  ...more
})
const acts = (implementation: EnvironmentImplementation, params = {}) =>
  actsOf(Environment.own(implementation.name, params), [implementation])
const step = (implementation: EnvironmentImplementation, text = "hello") =>
  Effect.runPromise(Effect.flip(acts(implementation).step("grpo-1", [situation(text)])))

describe("Keel's environments", () => {
  it.each([Environment.calculator(), Environment.guessNumber()])("are pure and total: $_tag", async (of) => {
    const { step } = actsOf(of, [])
    await law({
      step: async ({ row, turns }: Episode) => {
        const [found] = await Effect.runPromise(step("here", [{ row, turns, seed: "" }]))
        return { reply: found!.replies, reward: found!.reward }
      }
    }, {
      numRuns: 60,
      rows: fc.record({ prompt: fc.string(), answer: fc.constantFrom("1", "2", "x", "") }),
      texts: fc.constantFrom("1", "It is 2.", '{"name": "calculator", "arguments": {"expression": "((((1"}}', "-3")
    })
  })

  it("a guess is the last whole number; anything else ends the game", async () => {
    const said = (text: string) =>
      Effect.runSync(actsOf(Environment.guessNumber(), []).step("here", [situation(text)]))[0]
    assert.deepStrictEqual(said("1"), { replies: [{ role: "user", content: "higher" }], reward: 0 })
    assert.deepStrictEqual(said("not 2 but 3"), { replies: [{ role: "user", content: "lower" }], reward: 0 })
    assert.deepStrictEqual(said("2"), { replies: [], reward: 1 })
    assert.deepStrictEqual(said("two"), { replies: [], reward: 0 })
  })
})

describe("an environment from outside", () => {
  it("sees the whole row, its parameters and all turns; may answer later; draws the same numbers at each turn", async () => {
    const drawn: Array<number> = []
    const own = environment("Own", async ({ params, random, row, turns }) => {
      await Promise.resolve()
      drawn.push(random("hidden").next())
      return {
        reply: `${String(row["size"])} ${String(params["k"])} ${turns.map(({ text }) => text).join("+")}`,
        reward: 2
      }
    })
    const first = situation("a")
    const second = situation("b", { turns: [...first.turns, { text: "b", calls: [], ended: true, replies: [] }] })
    const found = await Effect.runPromise(acts(own, { k: 3 }).step("here", [first, second]))
    assert.deepStrictEqual(found, [
      { replies: [{ role: "user", content: "7 3 a" }], reward: 2 },
      { replies: [{ role: "user", content: "7 3 a+b" }], reward: 2 }
    ])
    assert.equal(drawn[0], drawn[1])
  })

  it.each<[string, EnvironmentImplementation["step"], string]>([
    ["throws", () => {
      throw new TypeError("no")
    }, "threw TypeError: no"],
    ["rejects", () => Promise.reject(new Error("gone")), "threw Error: gone"],
    ["never ends", () => {
      for (;;);
    }, "did not answer within 0.2 s"],
    ["never answers", () => new Promise(() => {}), "did not answer within 0.2 s"],
    ["gives no answer", () => undefined as never, "gave undefined instead of"],
    ["gives no number", () => ({ reward: NaN }), "gave the reward NaN"],
    [
      "gives no message",
      () => ({ reply: [{ role: "assistant", content: "hi" }] as never }),
      "gave a reply that is neither"
    ]
  ])("that %s is told with its name, the stage and the turn", async (_, of, problem) => {
    const error = await step(environment("Own", of, { seconds: 0.2 }))
    assert.equal(error._tag, "BrokenExtension")
    assert.include(error.message, `grpo-1: the environment Own ${problem}`)
    assert.include(error.message, 'at turn 1, "hello"')
    assert.include(error.message, "laws.environment")
  })

  it("that breaks the law is found by it", async () => {
    const fails = async (of: EnvironmentImplementation["step"]) => {
      let error: unknown
      await law(environment("Own", of), { numRuns: 20 }).catch((cause: unknown) => (error = cause))
      assert.isDefined(error)
    }
    let calls = 0
    await fails(() => ({ reward: calls++ }))
    await fails(() => ({ reward: Infinity }))
    await fails(() => {
      throw new Error("no")
    })
    await law(environment("Own", ({ turns }) => turns.length < 3 ? { reply: "go on" } : { reward: 1 }), { numRuns: 20 })
  })

  it("without its implementation is refused", () => {
    assert.throws(() => actsOf(Environment.own("Other"), []), /environment Other has no implementation/u)
  })
})
