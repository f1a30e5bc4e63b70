import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Source, Verifier } from "../../dsl/index.ts"
import { demonstrations, prompts, texts, wordsOf } from "../../src/data/puzzles/puzzles.ts"
import { shortestPuzzle } from "../../src/interpreters/checks/context.ts"
import { verify } from "../../src/rewards/verifier.ts"

const verifiers = { letters: Verifier.letterCount(), countdown: Verifier.countdown() } as const
const tasks = ["letters", "countdown"] as const

describe.each(tasks)("puzzles of %s", (task) => {
  const of = (options: Partial<Parameters<typeof Source.puzzles>[0]> = {}) =>
    Source.puzzles({ task, count: 200, ...options })
  /** Columns by prompt, of many of both splits. */
  const known = new Map(
    (["train", "held"] as const).flatMap((split) =>
      prompts(of({ split, count: task === "letters" ? 4000 : 400 })).map((row) => [row.prompt, row] as const)
    )
  )
  const verdicts = (right: number, seed: number) =>
    demonstrations(of({ right, seed })).flatMap(({ completion, prompt }) => {
      const row = known.get(prompt)
      return row === undefined ? [] : [Number(verify(verifiers[task], row, completion))]
    })

  it("are answered rightly as often as said, by the verdict of their verifier", () => {
    fc.assert(
      fc.property(fc.nat(1e6), (seed) => {
        const [right, wrong] = [verdicts(1, seed), verdicts(0, seed)]
        assert.isAbove(right.length, 10)
        assert.isTrue(right.every((verdict) => verdict === 1))
        assert.isTrue(wrong.every((verdict) => verdict === 0))
      }),
      { numRuns: 10 }
    )
    const half = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((seed) => verdicts(0.5, seed))
    assert.closeTo(half.filter(Boolean).length / half.length, 0.5, 4 * Math.sqrt(0.25 / half.length))
  })

  it("are the same for the same seed, of words that are known, and of two splits that share nothing", () => {
    fc.assert(
      fc.property(fc.nat(1e6), fc.constantFrom("train" as const, "held" as const), (seed, split) => {
        const one = of({ seed, split, count: 40, right: 0.5 })
        assert.deepStrictEqual(prompts(one), prompts(one))
        assert.deepStrictEqual(texts(one), texts(one))
        const known = new Set(wordsOf(task))
        const said = [
          ...texts(one).map(({ text }) => text),
          ...demonstrations(one).flatMap(({ completion, prompt }) => [prompt, completion]),
          ...prompts(one).map(({ prompt }) => prompt)
        ]
        for (const text of said) for (const word of text.split(" ")) assert.isTrue(known.has(word), word)
        for (const { prompt } of prompts(one)) assert.isAtLeast(prompt.split(" ").length, shortestPuzzle)
        const other = new Set(
          prompts(of({ seed, split: split === "train" ? "held" : "train" })).map(({ prompt }) => prompt)
        )
        for (const { prompt } of [...prompts(one), ...demonstrations(one)]) assert.isFalse(other.has(prompt))
      }),
      { numRuns: 20 }
    )
  })
})

it("more different puzzles than there are cannot be had", () => {
  assert.isBelow(prompts(Source.puzzles({ task: "countdown", split: "held", count: 5000 })).length, 5000)
})
