import { assert, describe, it } from "vitest"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { demonstrations, preferences, prompts, text } from "../../src/engine/tabular/data.ts"
import { completions, logDistribution, rewardTable } from "../../src/engine/tabular/exact.ts"
import { world } from "../../src/engine/tabular/world.ts"
import { assertClose } from "../losses/gradients.ts"

const small = world({ prompts: 3, vocab: 4, horizon: 3, seed: "data" })
const all = completions(small)
const gold = rewardTable(small)
const base = logDistribution(small, language(small))
const options = { count: 4000, seed: "s" }

/** Mean gold of completions in proportion to exp(logps) among the finished ones, prompts equally likely; and its spread. */
const finished = (logps: ReadonlyArray<Float64Array>): { readonly mean: number; readonly deviation: number } => {
  let [mean, square] = [0, 0]
  logps.forEach((of, p) => {
    const mass = of.map((logp, n) => all[n]!.finished ? Math.exp(logp) : 0)
    const sum = mass.reduce((a, b) => a + b, 0)
    mass.forEach((m, n) => {
      mean += m / sum * gold[p]![n]! / small.prompts.length
      square += m / sum * gold[p]![n]! ** 2 / small.prompts.length
    })
  })
  return { mean, deviation: Math.sqrt(square - mean ** 2) }
}
const assertMean = (values: ReadonlyArray<number>, expected: ReturnType<typeof finished>): void =>
  assert.closeTo(
    values.reduce((a, b) => a + b, 0) / values.length,
    expected.mean,
    4 * expected.deviation / Math.sqrt(values.length)
  )

describe("data of a tabular world", () => {
  it("row i depends on the seed and i, not on the count", () => {
    for (const role of [text, demonstrations, preferences]) {
      const rows: ReadonlyArray<unknown> = role(small, { count: 8, seed: "s" })
      assert.deepStrictEqual(role(small, { count: 3, seed: "s" }), rows.slice(0, 3) as never)
      assert.notDeepEqual(role(small, { count: 8, seed: "t" }), rows as never)
    }
    assert.deepStrictEqual(prompts(small), ["p0", "p1", "p2"])
  })

  it("every completion fits the horizon with </s>", () => {
    const codec = codecOf(small)
    const texts = [
      ...demonstrations(small, options).map(({ completion }) => completion),
      ...preferences(small, options).flatMap(({ chosen, rejected }) => [chosen, rejected]),
      ...text(small, options).map((line) => line.split(" ").slice(1).join(" "))
    ]
    assert.isAtMost(Math.max(...texts.map((t) => codec.encodeCompletion(t, { end: true }).length)), small.horizon)
  })

  it("texts are the language's, demonstrations its tilt by exp(gold / temperature) (within 4 standard errors)", () => {
    const goldOf = (prompt: string, completion: string): number => small.gold(prompt, completion)
    const lines = text(small, options).map((line) => line.split(" "))
    assertMean(lines.map(([prompt, ...tokens]) => goldOf(prompt!, tokens.join(" "))), finished(base))
    for (const temperature of [1, 0.25]) {
      const tilted = finished(base.map((of, p) => of.map((x, n) => x + gold[p]![n]! / temperature)))
      const rows = demonstrations(small, { ...options, temperature })
      assertMean(rows.map(({ completion, prompt }) => goldOf(prompt, completion)), tilted)
      assert.isAbove(tilted.mean, finished(base).mean + 0.1)
    }
  })

  it('the labeler follows Bradley–Terry: for one pair of completions, P("a" chosen) = σ(gold difference)', () => {
    // With one letter and horizon 2 the finished completions are "" and "a".
    const two = world({ prompts: 1, vocab: 2, horizon: 2, seed: "two" })
    const difference = two.gold("p0", "a") - two.gold("p0", "")
    for (const temperature of [1, 0.5]) {
      const rows = preferences(two, { ...options, temperature })
      const share = rows.filter(({ chosen }) => chosen === "a").length / rows.length
      const expected = 1 / (1 + Math.exp(-difference / temperature))
      assert.closeTo(share, expected, 4 * Math.sqrt(expected * (1 - expected) / rows.length))
    }
  })

  it("both completions of a preference differ; a cold labeler never errs", () => {
    for (const { chosen, prompt, rejected } of preferences(small, { ...options, temperature: 1e-6 })) {
      assert.isAbove(small.gold(prompt, chosen), small.gold(prompt, rejected))
    }
  })

  it("a world too small for two completions says so", () => {
    const one = world({ prompts: 1, vocab: 2, horizon: 1, seed: "one" })
    assert.throws(() => preferences(one, { count: 1, seed: "s" }), "too few completions")
  })

  it("there is something to learn: the language is far from the best", () => {
    const best = gold.reduce((sum, of) => sum + Math.max(...of), 0) / gold.length
    const everywhere = base.map((of, p) => of.reduce((sum, logp, n) => sum + Math.exp(logp) * gold[p]![n]!, 0))
    assert.isAbove(best - everywhere.reduce((a, b) => a + b, 0) / everywhere.length, 1)
    assertClose(base.map((of) => of.reduce((sum, logp) => sum + Math.exp(logp), 0)), [1, 1, 1], 1e-12)
  })
})

describe("worlds", () => {
  it("are functions of their options; other seeds, other rewards", () => {
    const table = (seed: string) => rewardTable(world({ prompts: 2, vocab: 3, horizon: 2, seed }))
    assert.deepStrictEqual(table("a"), table("a"))
    assert.notDeepEqual(table("a"), table("b"))
  })

  it("the gold reward refuses what is not in the world; impossible sizes are refused", () => {
    assert.throws(() => small.gold("p9", "a"), "not a prompt and a completion")
    assert.throws(() => small.gold("p0", "z"), "not a prompt and a completion")
    assert.throws(() => small.gold("p0", "a a a a"), "not a prompt and a completion")
    assert.throws(() => world({ prompts: 1, vocab: 1, horizon: 1, seed: "" }), "vocab of 2")
  })
})
