import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { grammar, longestSentence } from "../../src/data/tales/grammar.ts"
import { characters, moods, places, things } from "../../src/data/tales/lexicon.ts"
import { wordsOf } from "../../src/data/rows.ts"
import { parse, sentences } from "../../src/data/tales/parse.ts"
import { phrase, read, type Request } from "../../src/data/tales/request.ts"
import { mediocre, perfect, write } from "../../src/data/tales/story.ts"
import { demonstrations, prompts, text, words } from "../../src/data/tales/tales.ts"
import { tales } from "../../src/data/tales/gold.ts"
import { stream } from "../../src/sampling/random.ts"

const mean = (xs: ReadonlyArray<number>): number => xs.reduce((a, b) => a + b, 0) / xs.length

const request: fc.Arbitrary<Request> = fc.tuple(
  fc.constantFrom(...moods),
  fc.constantFrom(...characters),
  fc.constantFrom(...things),
  fc.oneof(
    fc.constant({}),
    fc.constantFrom(...places).map((place) => ({ place })),
    fc.integer({ min: 3, max: 5 }).map((count) => ({ sentences: count }))
  )
).map(([mood, subject, object, extra]) => ({ mood, subject, object, ...extra }))

describe("the tales", () => {
  it("are a function of the seed", () => {
    fc.assert(
      fc.property(fc.string(), (seed) => {
        assert.deepStrictEqual(text(seed, 3), text(seed, 3))
        assert.deepStrictEqual(demonstrations(seed, 3), demonstrations(seed, 3))
      }),
      { numRuns: 20 }
    )
    assert.notDeepEqual(text("a", 20), text("b", 20))
    assert.notDeepEqual(demonstrations("a", 20), demonstrations("b", 20))
    assert.notDeepEqual(prompts("train", "a", 20), prompts("train", "b", 20))
    assert.deepStrictEqual(text("a", 5), text("a", 9).slice(0, 5))
  })

  it("hold out combinations of mood, subject and object, which no demonstration shows either", () => {
    const key = (prompt: string) => {
      const { mood, object, subject } = read(prompt)
      return `${mood} ${subject} ${object}`
    }
    const train = prompts("train"), held = prompts("held")
    assert.isAtLeast(new Set(train.map((row) => row.prompt)).size, 1500)
    assert.isAtLeast(new Set(held.map((row) => row.prompt)).size, 256)
    assert.strictEqual(new Set([...train, ...held].map((row) => row.prompt)).size, train.length + held.length)
    const seen = new Set([...train, ...demonstrations("s", 500)].map((row) => key(row.prompt)))
    assert.isTrue(held.every((row) => !seen.has(key(row.prompt))))
  })

  it("have instructions of at most 14 tokens that say what was wanted", () => {
    fc.assert(fc.property(request, (wanted) => {
      const said = phrase(wanted)
      assert.isAbove(said.length, 1)
      for (const prompt of said) {
        assert.isAtMost(prompt.split(" ").length, 14)
        assert.deepStrictEqual(read(prompt), wanted)
      }
    }))
  })

  it("have every word in the vocabulary, which is of the stated size", () => {
    const all = words()
    assert.isAtLeast(all.length, 120)
    assert.isAtMost(all.length, 200)
    assert.strictEqual(new Set(all).size, all.length)
    const known = new Set(all)
    const used = [
      ...text("v", 500).map((row) => row.text),
      ...demonstrations("v", 500).flatMap((row) => [row.prompt, row.completion]),
      ...prompts("held", "v", 300).map((row) => row.prompt)
    ].flatMap((line) => line.split(" "))
    assert.deepStrictEqual(used.filter((word) => !known.has(word)), [])
  })

  it("are, when written perfectly, sentences of the grammar, as many as asked for, in a length a small model can speak", () => {
    fc.assert(
      fc.property(request, fc.string(), (wanted, key) => {
        const story = write(stream(key), wanted, perfect)
        const said = sentences(wordsOf(story))
        assert.strictEqual(said.at(-1)!.join(" "), "the end .")
        for (const sentence of said.slice(0, -1)) assert.isDefined(parse(sentence), sentence.join(" "))
        if (wanted.sentences !== undefined) assert.lengthOf(said, wanted.sentences + 1)
        if (wanted.place !== undefined) assert.include(story, ` the ${wanted.place}`)
        assert.isAtMost(wordsOf(story).length, 56)
      }),
      { numRuns: 500 }
    )
  })

  it("have prompt and completion fit in 96 tokens, and texts too", () => {
    const rows = [
      ...demonstrations("l", 1000).map((row) => `${row.prompt} ${row.completion}`),
      ...text("l", 1000).map((row) => row.text)
    ]
    assert.isAtMost(Math.max(...rows.map((row) => row.split(" ").length)), 90)
  })

  it("have no instruction in the text to pretrain on, and titles that the story keeps to", () => {
    const rows = text("t", 500).map((row) => row.text)
    assert.isTrue(rows.every((row) => !/\b(?:write|tell|please|want a|sentences)\b/u.test(row.split(" : ")[0]!)))
    const titled = rows.filter((row) => row.includes(" : "))
    assert.isAbove(titled.length, 150)
    for (const row of titled) {
      const [title, story] = row.split(" : ")
      const { object, subject } = read(title!)
      assert.include(wordsOf(story!), subject)
      assert.include(wordsOf(story!), object)
    }
  })

  it("leave the demonstrations' gold reward between that of random words and of perfect writers", () => {
    const random = stream("random words"), all = words()
    const average = mean(demonstrations("g", 400, mediocre).map((row) => tales(row.prompt, row.completion)))
    const best = mean(demonstrations("g", 400, perfect).map((row) => tales(row.prompt, row.completion)))
    const noise = mean(
      prompts("train", "g", 400).map((row) =>
        tales(row.prompt, Array.from({ length: 30 }, () => all[random.int(all.length)]!).join(" "))
      )
    )
    assert.isAbove(best, 4.6)
    assert.isAbove(best - average, 1)
    assert.isAbove(average - noise, 4)
  })

  it("have a grammar whose rules are all defined and reachable, and whose longest sentence is within the parser's limit", () => {
    const reached = new Set<string>()
    const longest = (name: string): number => {
      reached.add(name)
      return Math.max(...grammar[name]!.map((alternative) =>
        alternative.split(" ").reduce((sum, symbol) => {
          const rule = symbol.split(":")
          if (rule.length === 2) return sum + 1
          assert.isFalse(/^[A-Z]/u.test(symbol) && !(symbol in grammar), symbol)
          return sum + (symbol in grammar ? longest(symbol) : 1)
        }, 0)
      ))
    }
    assert.isAtMost(longest("Sentence"), longestSentence)
    assert.sameMembers([...reached], Object.keys(grammar))
  })
})
