/** Choosing, pairing, mixing, filtering, splitting: pure functions on rows. */
import fc from "fast-check"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { Mix, Source } from "../../dsl/index.ts"
import { accept, overall, perPrompt, type Rule } from "../../dsl/stages/Select.ts"
import { decontaminate, ngrams } from "../../src/data/decontaminate.ts"
import { deduplicate, jaccard } from "../../src/data/deduplicate.ts"
import { filter } from "../../src/data/filter.ts"
import { bandsFor, likely } from "../../src/data/minHash.ts"
import { mix, shares } from "../../src/data/mix.ts"
import { pair, rated } from "../../src/data/pair.ts"
import { groupedByPrompt, type PreferenceRow, type ScoredRow } from "../../src/data/rows.ts"
import { control, select } from "../../src/data/select.ts"
import { split } from "../../src/data/split.ts"
import { rowsAtMost } from "../../src/interpreters/checks/rows.ts"
import { stream } from "../../src/sampling/random.ts"
import { difficulty } from "../../src/stages/difficulty.ts"
import { type Event, RunLog } from "../../src/store/runLog.ts"

const words = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 6 }).map((all) => all.join(" "))
const row: fc.Arbitrary<ScoredRow> = fc.record({
  prompt: fc.constantFrom("p", "q", "r"),
  completion: words,
  ended: fc.boolean(),
  tokens: fc.nat({ max: 9 }),
  // Few values, so that there are ties.
  score: fc.integer({ min: -3, max: 3 })
})
const rows = fc.array(row, { maxLength: 25 })
const some = fc.array(row, { minLength: 1, maxLength: 25 })
const keep = fc.integer({ min: 1, max: 6 })
const rules: fc.Arbitrary<Rule> = fc.oneof(
  keep.map(perPrompt),
  keep.map(overall),
  fc.integer({ min: -4, max: 4 }).map(accept)
)
const prompts = (all: ReadonlyArray<{ readonly prompt: string }>) => new Set(all.map(({ prompt }) => prompt))

describe("selecting", () => {
  it("invariant 11: what is kept is a subset of the candidates, each at most once, its prompt with it", () => {
    fc.assert(
      fc.property(rows, rules, fc.string(), (all, rule, key) => {
        for (const kept of [select(all, rule), control(all, rule, key)]) {
          assert.isTrue(kept.every((one) => all.includes(one)))
          assert.strictEqual(new Set(kept).size, kept.length)
        }
      })
    )
  })

  it("invariant 11: per prompt it keeps one of every prompt, and one of the best", () => {
    fc.assert(
      fc.property(some, (all) => {
        const kept = select(all, perPrompt())
        assert.strictEqual(kept.length, prompts(all).size)
        for (const { prompt, score } of kept) {
          assert.strictEqual(score, Math.max(...all.filter((one) => one.prompt === prompt).map(({ score }) => score)))
        }
      })
    )
  })

  it("invariant 11: overall, every kept score is at least every dropped one", () => {
    fc.assert(
      fc.property(rows, keep, (all, n) => {
        const kept = select(all, overall(n))
        assert.strictEqual(kept.length, Math.min(n, all.length))
        for (const dropped of all.filter((one) => !kept.includes(one))) {
          for (const { score } of kept) assert.isAtLeast(score, dropped.score)
        }
      })
    )
  })

  it("invariant 11: the random control has the size of the selection, and of each prompt's when it goes by prompt", () => {
    let differs = 0
    fc.assert(
      fc.property(rows, rules, fc.string(), (all, rule, key) => {
        const [kept, random] = [select(all, rule), control(all, rule, key)]
        assert.strictEqual(random.length, kept.length)
        if (rule._tag === "PerPrompt") {
          for (const prompt of prompts(all)) {
            const of = (some: ReadonlyArray<ScoredRow>) => some.filter((one) => one.prompt === prompt).length
            assert.strictEqual(of(random), of(kept))
          }
        }
        if (random.some((one) => !kept.includes(one))) differs++
      })
    )
    assert.isAbove(differs, 10)
  })

  it("invariant 10: a strictly increasing transform of the scores selects the same", () => {
    fc.assert(
      fc.property(rows, keep, (all, n) => {
        const stretched = all.map((one) => ({ ...one, score: Math.exp(one.score) }))
        const places = (of: ReadonlyArray<ScoredRow>, rule: Rule) => select(of, rule).map((one) => of.indexOf(one))
        for (const rule of [perPrompt(n), overall(n)]) {
          assert.deepStrictEqual(places(stretched, rule), places(all, rule))
        }
      })
    )
  })

  it("of a table by hand: the best column of each row, and the three best of all", () => {
    const table = [[0.7, 0.3, 0.5], [0.2, 0.1, 0.9]]
    const flat = table.flatMap((scores, p) =>
      scores.map((score, i): ScoredRow => ({ prompt: `${p}`, completion: `${i}`, ended: true, tokens: 1, score }))
    )
    assert.deepStrictEqual(select(flat, perPrompt()).map(({ completion }) => completion), ["0", "2"])
    assert.deepStrictEqual(select(flat, overall(3)).map(({ score }) => score), [0.7, 0.5, 0.9])
  })
})

describe("pairing", () => {
  const rejected = fc.constantFrom("random-lower" as const, "worst" as const)
  const scoreOf = (all: ReadonlyArray<ScoredRow>, { prompt }: PreferenceRow, text: string) =>
    all.filter((one) => one.prompt === prompt && one.completion === text).map(({ score }) => score)

  it("chosen is one of the best, rejected strictly lower, at most one pair a prompt (Tülu 3's rule)", () => {
    fc.assert(
      fc.property(rows, rejected, fc.string(), (all, rule, key) => {
        const pairs = pair(all, { rejected: rule }, key)
        assert.strictEqual(prompts(pairs).size, pairs.length)
        const mixed = groupedByPrompt(all).filter((group) => new Set(group.map(({ score }) => score)).size > 1)
        assert.strictEqual(pairs.length, mixed.length)
        for (const one of pairs) {
          const own = all.filter(({ prompt }) => prompt === one.prompt).map(({ score }) => score)
          assert.include(scoreOf(all, one, one.chosen), Math.max(...own))
          assert.isTrue(scoreOf(all, one, one.rejected).some((score) => score < Math.max(...own)))
          if (rule === "worst") assert.include(scoreOf(all, one, one.rejected), Math.min(...own))
        }
      })
    )
  })

  it("random-lower takes each of the lower ones sometimes", () => {
    const all = [3, 0, 1, 2].map((score): ScoredRow => ({
      prompt: "p",
      completion: `${score}`,
      ended: true,
      tokens: 1,
      score
    }))
    const seen = new Set(
      Array.from({ length: 60 }, (_, i) => pair(all, { rejected: "random-lower" }, `${i}`)[0]!.rejected)
    )
    assert.deepStrictEqual([...seen].sort(), ["0", "1", "2"])
  })

  it("every-lower is every ordered pair of one prompt whose scores differ, at least by minMargin, with it as the margin", () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 4 }), (all, minMargin) => {
        const pairs = pair(all, { rejected: "every-lower", minMargin, margins: true }, "")
        const differences = all.flatMap((a) =>
          all.filter(({ prompt }) => prompt === a.prompt).map((b) => a.score - b.score)
        )
          .filter((difference) => difference >= minMargin)
        assert.deepStrictEqual(pairs.map(({ margin }) => margin!).sort(), differences.sort())
        assert.isTrue(pair(all, { rejected: "every-lower" }, "").every(({ margin }) => margin === undefined))
      })
    )
  })

  it("minMargin leaves a pair out, and never replaces the best", () => {
    fc.assert(
      fc.property(rows, rejected, fc.integer({ min: 1, max: 4 }), fc.string(), (all, rejected, minMargin, key) => {
        const pairs = pair(all, { rejected, minMargin, margins: true }, key)
        const wide = groupedByPrompt(all).map((group) => group.map(({ score }) => score))
          .filter((scores) => Math.max(...scores) - Math.min(...scores) >= minMargin)
        assert.strictEqual(pairs.length, wide.length)
        for (const one of pairs) assert.isAtLeast(one.margin!, minMargin)
      })
    )
  })

  it("of a ranking by hand: edited > chosen > rejected makes three pairs, and equal places none", () => {
    const ranking = (ranks: ReadonlyArray<number>) =>
      rated([{ prompt: "p", completions: ["edited", "chosen", "rejected"], ranks }])
    const texts = (ranks: ReadonlyArray<number>, rejected: "every-lower" | "worst") =>
      pair(ranking(ranks), { rejected }, "").map(({ chosen, rejected }) => `${chosen} > ${rejected}`)
    assert.deepStrictEqual(texts([1, 2, 3], "every-lower"), [
      "edited > chosen",
      "edited > rejected",
      "chosen > rejected"
    ])
    assert.deepStrictEqual(texts([1, 2, 2], "every-lower"), ["edited > chosen", "edited > rejected"])
    assert.deepStrictEqual(texts([1, 2, 3], "worst"), ["edited > rejected"])
  })
})

describe("mixing", () => {
  const parts = fc.dictionary(fc.constantFrom("x", "y", "z"), fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), {
    minKeys: 1
  })
  const weights = fc.dictionary(fc.constantFrom("x", "y", "z"), fc.double({ min: 0.01, max: 9, noNaN: true }), {
    minKeys: 1
  })

  it("perPrompt: as many of each prompt as there are, at most k, each once, from any part", () => {
    fc.assert(
      fc.property(rows, rows, keep, fc.string(), (x, y, perPrompt, key) => {
        const take = new Mix.PerPrompt({ perPrompt })
        const { rows: mixed, taken } = mix({ x, y }, { take }, key, ({ prompt }) => prompt)
        assert.strictEqual(new Set(mixed).size, mixed.length)
        for (const prompt of prompts([...x, ...y])) {
          const of = (all: ReadonlyArray<ScoredRow>) => all.filter((row) => row.prompt === prompt).length
          assert.strictEqual(of(mixed), Math.min(perPrompt, of(x) + of(y)))
        }
        assert.strictEqual(taken["x"]!.rows + taken["y"]!.rows, mixed.length)
      })
    )
  })

  it("perPrompt draws evenly over the parts: one of three answers of two models is each a third of the time", () => {
    const answer = (completion: string): ScoredRow => ({ prompt: "p", completion, ended: true, tokens: 1, score: 0 })
    const take = new Mix.PerPrompt({ perPrompt: 1 })
    const drawn = Array.from(
      { length: 600 },
      (_, i) =>
        mix({ x: [answer("a"), answer("b")], y: [answer("c")] }, { take }, `${i}`, ({ prompt }) => prompt).rows[0]!
          .completion
    )
    for (const text of ["a", "b", "c"]) assert.approximately(drawn.filter((one) => one === text).length, 200, 60)
  })

  it("the whole of every part, in the order of their names", () => {
    fc.assert(
      fc.property(parts, (of) => {
        const all = Object.keys(of).sort().flatMap((name) => of[name]!)
        assert.deepStrictEqual(mix(of, { take: new Mix.Whole() }, "k").rows, all)
      })
    )
  })

  it("by counts: as many as asked of each, no row twice before every row once", () => {
    fc.assert(
      fc.property(parts, fc.integer({ min: 1, max: 15 }), fc.string(), (of, count, key) => {
        const tagged = Object.fromEntries(
          Object.entries(of).map(([name, all]) => [name, all.map((_, i) => `${name}${i}`)])
        )
        const counts = Object.fromEntries(Object.keys(of).map((name) => [name, count]))
        const mixed = mix(tagged, { take: new Mix.Counts({ counts }) }, key).rows
        for (const [name, all] of Object.entries(tagged)) {
          const times = all.map((row) => mixed.filter((one) => one === row).length)
          assert.strictEqual(times.reduce((a, b) => a + b, 0), count, name)
          assert.isAtMost(Math.max(...times) - Math.min(...times), 1)
        }
      })
    )
  })

  it("by weights: shares sum to the count and are within one row of exact", () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 500 }), (of, count) => {
        const given = shares(of, count)
        const total = Object.values(of).reduce((a, b) => a + b, 0)
        assert.strictEqual(Object.values(given).reduce((a, b) => a + b, 0), count)
        for (const [name, n] of Object.entries(given)) assert.isBelow(Math.abs(n - count * of[name]! / total), 1)
      })
    )
  })

  it("by weights: a row that is left goes to the largest remainder, of equals to the earlier name", () => {
    assert.deepStrictEqual(shares({ y: 1, x: 1 }, 3), { x: 2, y: 1 })
    assert.deepStrictEqual(shares({ x: 1, y: 2 }, 4), { x: 1, y: 3 })
  })

  it("parts of equal rows are drawn by their own names, and each pass in another order", () => {
    const all = Array.from({ length: 12 }, (_, i) => i)
    const drawn = mix({ x: all, y: all }, { take: new Mix.Counts({ counts: { x: 24, y: 12 } }) }, "k").rows
    const [one, two, other] = [drawn.slice(0, 12), drawn.slice(12, 24), drawn.slice(24)]
    assert.notDeepEqual(one, two)
    assert.notDeepEqual(one, other)
    assert.notDeepEqual(one, all)
  })
})

describe("mixing by passes and by size", () => {
  const sizes = fc.dictionary(fc.constantFrom("x", "y", "z"), fc.integer({ min: 1, max: 40 }), { minKeys: 1 })
  const partsOf = (of: Readonly<Record<string, number>>) =>
    Object.fromEntries(
      Object.entries(of).map(([name, n]) => [name, Array.from({ length: n }, (_, i) => `${name}${i}`)])
    )
  const countsOf = (rows: ReadonlyArray<string>, name: string) => {
    const counts = new Map<string, number>()
    for (const row of rows) if (row.startsWith(name)) counts.set(row, (counts.get(row) ?? 0) + 1)
    return counts
  }

  it("by epochs: every row ⌊e⌋ or ⌈e⌉ times, and a part of its own size at 1", () => {
    fc.assert(
      fc.property(sizes, fc.double({ min: 0.05, max: 3, noNaN: true }), fc.string(), (of, epochs, key) => {
        const take = new Mix.Epochs({ epochs: Object.fromEntries(Object.keys(of).map((name) => [name, epochs])) })
        const { rows, taken } = mix(partsOf(of), { take }, key)
        for (const [name, n] of Object.entries(of)) {
          const counts = countsOf(rows, name)
          assert.strictEqual([...counts.values()].reduce((a, b) => a + b, 0), Math.max(1, Math.round(n * epochs)))
          assert.deepStrictEqual(taken[name], { rows: Math.max(1, Math.round(n * epochs)), of: n })
          for (const times of counts.values()) assert.isAtMost(times, Math.ceil(epochs))
          if (epochs >= 1) assert.isAtLeast(Math.min(...counts.values()), Math.floor(epochs))
        }
      })
    )
  })

  it("by temperature: by size at 1, nearly equal at a large temperature, in all as many as asked", () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 300 }), (of, count) => {
        const at = (temperature: number) => {
          const { rows } = mix(partsOf(of), { take: new Mix.Temperature({ temperature, count }) }, "k")
          assert.lengthOf(rows, count)
          return (name: string) => rows.filter((row) => row.startsWith(name)).length
        }
        const [bySize, equal] = [at(1), at(1e9)]
        const total = Object.values(of).reduce((a, b) => a + b, 0)
        for (const [name, n] of Object.entries(of)) {
          assert.isBelow(Math.abs(bySize(name) - count * n / total), 1)
          assert.isBelow(Math.abs(equal(name) - count / Object.keys(of).length), 1.01)
        }
      })
    )
  })

  it("at most so many rows of a part: the same ones in every pass, and nothing of other parts changes", () => {
    const of = partsOf({ x: 30, y: 30 })
    const take = new Mix.Epochs({ epochs: { x: 2, y: 2 } })
    const [all, some] = [mix(of, { take }, "k").rows, mix(of, { take, atMost: { x: 5 } }, "k").rows]
    assert.deepStrictEqual([...countsOf(some, "x").values()], [2, 2, 2, 2, 2])
    assert.deepStrictEqual(some.filter((row) => row.startsWith("y")), all.filter((row) => row.startsWith("y")))
    assert.lengthOf(mix(of, { take: new Mix.Whole(), atMost: { x: 5, y: 99 } }, "k").rows, 35)
    assert.lengthOf(mix({ x: [], y: [] }, { take: new Mix.Temperature({ temperature: 2, count: 4 }) }, "k").rows, 0)
  })

  it("a description bounds its rows as the run makes them", () => {
    const source = (count: number) => Source.prompts(Source.tales({ count }))
    const bound = (params: Parameters<typeof Mix.make>[1]) =>
      rowsAtMost(Mix.make({ x: source(30), y: source(8) }, params as never))
    assert.deepStrictEqual([
      bound({}),
      bound({ atMost: { x: 10 } } as never),
      bound({ take: { epochs: { x: 2, y: 0.5 } } } as never),
      bound({ take: { temperature: 2, count: 12 } })
    ], [38, 18, 64, 12])
  })
})

describe("near duplicates", () => {
  const text = fc.array(fc.constantFrom("a", "b", "c", "d"), { minLength: 1, maxLength: 12 }).map((all) =>
    all.join(" ")
  )
  const setOf = (prompt: string) => new Set([...ngrams(prompt, 2), ...ngrams(prompt, 2)])

  it("no two rows that stay are alike, every row that goes is like a row that stays, and nothing goes at 1 but equal sets", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ prompt: text }), { maxLength: 20 }),
        fc.constantFrom(0.5, 0.7, 0.9),
        (all, similarity) => {
          const kept = deduplicate(all, { by: "prompt", near: { similarity, ngram: 2 } })
          for (const one of all) {
            const like = kept.filter((other) => jaccard(setOf(one.prompt), setOf(other.prompt)) >= similarity)
            // A kept row is like itself; MinHash may miss one pair in a thousand, none of these.
            if (kept.includes(one)) assert.deepStrictEqual(like, [one])
            else assert.isAtLeast(like.length, 1)
          }
        }
      )
    )
  })

  it("are found as rarely missed as said, and without comparing all with all", () => {
    const random = stream("near")
    const word = () => `w${random.int(5000)}`
    const base = Array.from({ length: 300 }, () => Array.from({ length: 40 }, word))
    // One word of 40 changed touches 5 of 36 runs: Jaccard 31/41 or more.
    const changed = base.map((all) => all.with(random.int(40), "other"))
    const rows = [...base, ...changed].map((all) => ({ prompt: all.join(" ") }))
    assert.lengthOf(deduplicate(rows, { by: "prompt", near: { similarity: 0.75, ngram: 5 } }), 300)
    let compared = 0
    const find = likely(0.75)
    rows.forEach(({ prompt }, i) => find(new Set(ngrams(prompt, 5)), i, () => (compared++, false)))
    assert.isBelow(compared, 600)
    for (const similarity of [0.5, 0.6, 0.7, 0.8, 0.9, 1]) {
      const { count, size } = bandsFor(similarity)
      assert.isAtMost((1 - Math.min(similarity, 0.99) ** size) ** count, 1e-3)
    }
  })
})

describe("difficulty", () => {
  const score = (prompt: string, right: number, of: number): ReadonlyArray<ScoredRow> =>
    Array.from({ length: of }, (_, i) => ({
      prompt,
      answer: `answer of ${prompt}`,
      columns: { kind: prompt },
      completion: `${i}`,
      ended: true,
      tokens: 1,
      score: i < right ? 1 : 0
    }))
  const completions = ["0", "1", "8", "15", "16"].flatMap((right) => score(right, Number(right), 16))

  it("keeps the prompts between the bounds, both included, with their answers and columns", async () => {
    const kept = (atLeast: number, atMost: number) =>
      Effect.runPromise(
        difficulty(
          { _tag: "Difficulty", atLeast, atMost, solved: 1 } as never,
          { completions },
          { label: "d" } as never
        )
          .pipe(
            Effect.provideService(
              RunLog,
              { emit: (event: Event) => Effect.sync(() => void events.push(event)) } as never
            )
          )
      )
    const events: Array<Event> = []
    assert.deepStrictEqual(await kept(1 / 16, 15 / 16), [
      { prompt: "1", answer: "answer of 1", columns: { kind: "1" } },
      { prompt: "8", answer: "answer of 8", columns: { kind: "8" } },
      { prompt: "15", answer: "answer of 15", columns: { kind: "15" } }
    ])
    assert.deepInclude(events.find(({ _tag }) => _tag === "Fitted"), { rows: 5, dropped: 2 })
    assert.deepInclude(events.find(({ _tag }) => _tag === "Step"), {
      metrics: { "rows/in": 5, "rows/out": 3, "rows/easier": 1, "rows/harder": 1, "solve_rate": 0.5 }
    })
    assert.deepStrictEqual((await kept(0, 0.9)).map(({ prompt }) => prompt), ["0", "1", "8"])
    const error = await kept(0.95, 0.96).catch(String)
    assert.include(String(error), "of 5 prompts 4 are solved less often than 0.95, and 1 more often than 0.96")
  })
})

describe("filtering, splitting, deduplicating", () => {
  it("by margin and by the ratio of the answers' lengths, of pairs and of rankings", () => {
    const pair = (margin: number | undefined, chosen: string, rejected: string): PreferenceRow => ({
      prompt: "p",
      chosen,
      rejected,
      ...(margin === undefined ? {} : { margin })
    })
    const all = [pair(2, "a b", "c d"), pair(1, "a b c", "d e"), pair(0.5, "a", "b c d e"), pair(undefined, "a", "b")]
    const kept = (criteria: Parameters<typeof filter>[1]) => filter(all, criteria).map((row) => all.indexOf(row))
    assert.deepStrictEqual(kept({ minMargin: 1 }), [0, 1])
    assert.deepStrictEqual(kept({ maxLengthRatio: 1.5 }), [0, 1, 3])
    assert.deepStrictEqual(kept({ maxLengthRatio: 1, minMargin: 1 }), [0])
    const ranking = { prompt: "p", completions: ["a b", "c", "d e f"], ranks: [1, 2, 3] }
    assert.deepStrictEqual([2, 3].map((maxLengthRatio) => filter([ranking], { maxLengthRatio }).length), [0, 1])
  })

  it("a filter keeps exactly what passes every criterion, and filtering twice is filtering once", () => {
    fc.assert(
      fc.property(
        rows,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 3, max: 6 }),
        fc.integer({ min: -3, max: 3 }),
        (all, minWords, maxWords, minScore) => {
          const kept = filter(all, { minWords, maxWords, minScore, ended: true })
          for (const one of all) {
            const length = one.completion === "" ? 0 : one.completion.split(" ").length
            const passes = length >= minWords && length <= maxWords && one.score >= minScore && one.ended
            assert.strictEqual(kept.includes(one), passes)
          }
          assert.deepStrictEqual(filter(kept, { minWords, maxWords, minScore, ended: true }), kept)
        }
      )
    )
    const pairs: ReadonlyArray<PreferenceRow> = [{ prompt: "p", chosen: "a b", rejected: "a" }]
    assert.lengthOf(filter(pairs, { minWords: 2 }), 0)
    assert.lengthOf(filter(pairs, { minWords: 1 }), 1)
    // Both texts of a pair must have ended, when it is said of both.
    for (const [chosen, rejected] of [[true, true], [true, false], [false, true]] as const) {
      const kept = filter(pairs.map((one) => ({ ...one, ended: { chosen, rejected } })), { ended: true })
      assert.lengthOf(kept, chosen && rejected ? 1 : 0)
    }
  })

  it("invariant 48: the parts of a split share no prompt, and together are everything", () => {
    const many = fc.array(fc.record({ prompt: fc.string({ maxLength: 3 }) }), { maxLength: 60 })
    fc.assert(
      fc.property(many, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), (all, fraction, seed) => {
        const [first, rest] = (["first", "rest"] as const).map((part) => split(all, { fraction, part, seed }))
        assert.strictEqual(first!.length + rest!.length, all.length)
        const seen = prompts(first!)
        for (const { prompt } of rest!) assert.isFalse(seen.has(prompt))
        // A row stays where it is when others come and go.
        assert.deepStrictEqual(
          split(all.slice(0, 5), { fraction, part: "first", seed }),
          first!.filter((one) => all.indexOf(one) < 5)
        )
      })
    )
    // A prompt that is the same but for case and white space is not let through to the other part; another seed parts otherwise.
    const spelled = Array.from({ length: 40 }, (_, i) => [{ prompt: `Say  ${i}` }, { prompt: `say ${i} ` }]).flat()
    assert.isTrue([1, 2, 3].every((seed) =>
      split(spelled, { fraction: 0.5, part: "first", seed }).length % 2 === 0 &&
      split(spelled, { fraction: 0.5, part: "first", seed }).every(({ prompt }, i, kept) =>
        i % 2 === 0 || prompt.trim() === kept[i - 1]!.prompt.toLowerCase().replace("  ", " ")
      )
    ))
    assert.notDeepEqual(
      ...[1, 2].map((seed) => split(spelled, { fraction: 0.5, part: "first", seed })) as [unknown, unknown]
    )
    const all = Array.from({ length: 2000 }, (_, i) => ({ prompt: `${i}` }))
    const share = split(all, { fraction: 0.3, part: "first", seed: 0 }).length / all.length
    assert.closeTo(share, 0.3, 0.04)
  })

  it("invariant 48: duplicate prompts are counted once, the first of them, case and white space aside", () => {
    fc.assert(
      fc.property(rows, (all) => {
        const once = deduplicate(all, { by: "prompt" })
        assert.deepStrictEqual(once, [...prompts(all)].map((prompt) => all.find((one) => one.prompt === prompt)!))
        assert.deepStrictEqual(deduplicate([...all, ...all], { by: "row" }), deduplicate(all, { by: "row" }))
      })
    )
    assert.lengthOf(
      deduplicate([{ prompt: "Say  hi" }, { prompt: "say hi " }, { prompt: "say ho" }], { by: "prompt" }),
      2
    )
    // Of a row everything counts, and where one text ends and the next begins.
    const different = [["a b", "c"], ["a", "b c"], ["x", "c"], ["a b", "d"]].map(([prompt, completion]): ScoredRow => ({
      prompt: prompt!,
      completion: completion!,
      ended: true,
      tokens: 1,
      score: 0
    }))
    assert.deepStrictEqual(deduplicate(different, { by: "row" }), different)
  })

  it("invariant 48: after decontamination no prompt shares an n-gram with a held-out one", () => {
    const many = fc.array(fc.record({ prompt: words }), { maxLength: 20 })
    let removed = 0
    fc.assert(
      fc.property(many, many, fc.integer({ min: 1, max: 4 }), (train, held, n) => {
        const clean = decontaminate(train, held, { ngram: n })
        const forbidden = new Set(held.flatMap(({ prompt }) => ngrams(prompt, n)))
        for (const { prompt } of clean) for (const gram of ngrams(prompt, n)) assert.isFalse(forbidden.has(gram))
        for (const one of train.filter((one) => !clean.includes(one))) {
          removed++
          assert.isTrue(ngrams(one.prompt, n).some((gram) => forbidden.has(gram)))
        }
        assert.deepStrictEqual(decontaminate(clean, held, { ngram: n }), clean)
      })
    )
    assert.isAbove(removed, 50)
    const asked = [{ prompt: "How many apples does Tom have in his large basket now?" }]
    const removes = (prompt: string, options: Parameters<typeof decontaminate>[2]) =>
      decontaminate([{ prompt }], asked, options).length === 0
    // 4 of 11 words are shared, then 8 of them.
    const [little, much] = ["Tell me how many apples does Ann want", "Say: how many apples does tom have in his bag"]
    assert.deepStrictEqual([little, much].map((prompt) => removes(prompt, { ngram: 4 })), [true, true])
    assert.deepStrictEqual([little, much].map((prompt) => removes(prompt, { ngram: 4, overlap: 0.5 })), [false, true])
    assert.deepStrictEqual([little, much].map((prompt) => removes(prompt, { ngram: 4, overlap: 8 / 11 })), [
      false,
      false
    ])
    assert.isFalse(removes(much, { ngram: "whole" }))
    assert.isTrue(removes("how many APPLES does tom have in his large basket now", { ngram: "whole" }))
    assert.deepStrictEqual(ngrams("Tell me, please!", 2), ["tell me", "me please"])
    assert.deepStrictEqual(ngrams("Hi.", 8), ["hi"])
    assert.deepStrictEqual(ngrams("?!", 1), [])
  })
})
