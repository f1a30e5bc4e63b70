/** The price table: what it says of a device, and one line with the remedy for everything that can be wrong with it. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import fc from "fast-check"
import { Effect, Exit } from "effect"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import { Budget, Pipeline } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { priceOf } from "../../src/cli/prices.ts"
import { problems } from "../../src/interpreters/check.ts"
import { lackingPrices } from "../../src/interpreters/lacking.ts"
import { tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { keel } from "./keel.ts"

const folder = folders("prices")
const good = { currency: "USD", devices: { cpu: 0.1, cuda: 2, "cuda:1": 3 }, judge: { perMillionTokens: 3 } }

const file = (content: unknown): string => {
  const at = folder()
  mkdirSync(at, { recursive: true })
  const path = join(at, "prices.json")
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content))
  return path
}
const read = (path: string, device = "cpu") =>
  Effect.runPromiseExit(Effect.provide(priceOf(path, device), NodeFileSystem.layer))
const priced = async (content: unknown, device?: string) => {
  const exit = await read(file(content), device)
  return Exit.isSuccess(exit) ? exit.value : assert.fail(String(exit))
}

describe("a price table", () => {
  it("has a device by its name or by its kind, in millionths of the currency", async () => {
    const of = (microsPerHour: number) => ({ currency: "USD", microsPerHour, microsPerMillionJudged: 3_000_000 })
    assert.deepStrictEqual(await priced(good), of(100_000))
    assert.deepStrictEqual(await priced(good, "cuda:0"), of(2_000_000))
    assert.deepStrictEqual(await priced(good, "cuda:1"), of(3_000_000))
    assert.deepStrictEqual(await priced({ currency: "EUR", devices: { cpu: 0 } }), {
      currency: "EUR",
      microsPerHour: 0,
      microsPerMillionJudged: 0
    })
  })

  it("of any prices is read to the nearest millionth", () =>
    fc.assert(
      fc.asyncProperty(fc.double({ min: 0, max: 1e6, noNaN: true }), async (price) => {
        const { microsPerHour } = await priced({ currency: "USD", devices: { cpu: price } })
        assert.isAtMost(Math.abs(microsPerHour - 1e6 * price), 0.5 + 1e-9 * price)
        assert.isTrue(Number.isSafeInteger(microsPerHour))
      }),
      { numRuns: 20 }
    ))

  const example = 'Write it like {"currency": "USD", "devices": {"cpu": 2.49}}, per hour.'
  const cases: ReadonlyArray<readonly [name: string, path: () => string, problem: RegExp, remedy: string]> = [
    ["that is not there", () => join(folder(), "none.json"), /^there is no such price table$/, example],
    [
      "that is a folder",
      () => join(file(good), ".."),
      /^it cannot be read \(.*\)$/,
      "Give the file of a price table."
    ],
    ["that is empty", () => file(""), /^not JSON \(SyntaxError: .*\)$/, example],
    ["that is no JSON", () => file('{\n"currency": "USD",\n}'), /^not JSON \(SyntaxError: .*\)$/, example],
    ["that is a list", () => file([good]), /^not a price table: Expected object$/, example],
    [
      "with a key that there is not",
      () => file({ ...good, device: {} }),
      /^not a price table: Expected no excess property at \["device"\]$/,
      example
    ],
    [
      "without a currency or devices",
      () => file({}),
      /^not a price table: Missing key at \["currency"\]; Missing key at \["devices"\]$/,
      example
    ],
    [
      "with a currency that is none",
      () => file({ ...good, currency: "$" }),
      /^not a price table: must be three capital letters, e\.g\. USD at \["currency"\]$/,
      example
    ],
    [
      "with prices below 0, all of them",
      () => file({ ...good, devices: { cpu: -1, cuda: -2 } }),
      /must be 0 or more at \["devices"\]\["cpu"\]; must be 0 or more at \["devices"\]\["cuda"\]$/,
      example
    ],
    ["with a price in words", () => file({ ...good, devices: { cpu: "1" } }), /Expected number at /, example],
    [
      "with a price without end",
      () => file('{"currency": "USD", "devices": {"cpu": 1e999}}'),
      /Expected a finite number at \["devices"\]\["cpu"\]$/,
      example
    ],
    [
      "with a judge who pays",
      () => file({ ...good, judge: { perMillionTokens: -1 } }),
      /must be 0 or more at \["judge"\]\["perMillionTokens"\]$/,
      example
    ],
    [
      "with two prices for one device",
      () => file('{"currency": "USD", "devices": {"cpu": 1, "cpu": 2}}'),
      /^it has cpu twice$/,
      "Keep a single entry of each."
    ],
    [
      "without the device",
      () => file({ ...good, devices: { h100: 2, h200: 3 } }),
      /^it has no price for cpu \(it has h100, h200\)$/,
      'Add "cpu" to its devices.'
    ],
    [
      "without any device",
      () => file({ ...good, devices: {} }),
      /^it has no price for cpu \(it has none\)$/,
      'Add "cpu" to its devices.'
    ]
  ]
  for (const [name, path, problem, remedy] of cases) {
    it(`${name} is one line that says what to do`, async () => {
      const at = path()
      const exit = await read(at)
      const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      assert(reason?._tag === "Fail" && reason.error._tag === "BadPipelineFile", String(exit))
      const { error } = reason
      assert.match(error.problem, problem)
      assert.strictEqual(error.message, `${at}: ${error.problem}. ${remedy}`)
      assert.notInclude(error.message, "\n")
    })
  }
})

describe("money that is capped", () => {
  const inCurrency = (currency: string, total = false) => {
    const money = Budget.money(currency, 5)
    return Pipeline.cap(tiny().policy as never, (total ? { total: { money } } : { money }) as never) as Artifact.Any
  }
  const price = { currency: "USD", microsPerHour: 1, microsPerMillionJudged: 0 }

  it("needs a price table in its currency", () => {
    for (const total of [false, true]) {
      const root = inCurrency("USD", total)
      assert.deepStrictEqual(lackingPrices(root, price), [])
      assert.deepStrictEqual(lackingPrices(root, null), [{
        stage: label(root),
        problem: "its money is capped and there is no price table: give one with --prices FILE.json, or cap seconds"
      }])
      const euros = inCurrency("EUR", total)
      assert.deepStrictEqual(lackingPrices(euros, price), [{
        stage: label(euros),
        problem: "its money is capped in EUR and the price table is in USD: give both in one currency"
      }])
    }
  })

  it("is not asked for where nobody caps money", () => {
    assert.deepStrictEqual(lackingPrices(tiny().root as Artifact.Any, null), [])
  })

  it("in two currencies is refused by check, and the cap in the table's currency is not blamed for the table", () => {
    const root = Pipeline.cap(inCurrency("EUR") as never, { money: Budget.dollars(1) } as never) as Artifact.Any
    assert.deepStrictEqual(
      problems(root).map(({ problem }) => problem),
      Array.from(
        { length: 2 },
        () => "the money caps of this pipeline are in EUR and USD: give them all in one currency"
      )
    )
    assert.deepStrictEqual(lackingPrices(root, price).map(({ problem }) => problem), [
      "its money is capped in EUR and the price table is in USD: give both in one currency"
    ])
  })

  it("is refused by keel run and keel plan in one line before anything is written, with the other mistakes", async () => {
    const at = folder()
    mkdirSync(at)
    writeFileSync(join(at, "it.json"), toJson(inCurrency("EUR")))
    writeFileSync(join(at, "prices.json"), JSON.stringify(good))
    const line =
      /^ {2}cap-[0-9a-f]{8}: its money is capped in EUR and the price table is in USD: give both in one currency$/mu
    const [run, plan, none, wrong] = await Promise.all([
      keel(["run", "it.json", "--prices", "prices.json", "--set", "ppo.beta=-1"], at),
      keel(["plan", "it.json", "--prices", "prices.json"], at),
      keel(["run", "it.json", "--backend", "reference"], at),
      keel(["run", "it.json", "--prices", "absent.json"], at)
    ])
    for (const { code, stdout } of [run, plan, none, wrong]) assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(run.stderr, /^Refused: 2 mistakes; nothing was trained or written:$/mu)
    assert.match(run.stderr, / must be 0 or more at \["beta"\]$/mu)
    for (const { stderr } of [run, plan]) assert.match(stderr, line)
    assert.match(none.stderr, /its money is capped and there is no price table: give one with --prices FILE\.json/u)
    assert.match(wrong.stderr, /^BadPipelineFile: absent\.json: there is no such price table\. Write it like /mu)
    assert.sameMembers(readdirSync(at), ["it.json", "prices.json"])
  })
})
