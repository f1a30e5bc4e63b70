/** Rows that are too long: what is cut, what is dropped, and what is said. */
import { Effect, Exit } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Truncating } from "../../dsl/Truncation.ts"
import { lengthOf } from "../../src/data/cut.ts"
import { encodeWithin, type Encoding, mostTokens, pairs, prompts, texts, unpaired } from "../../src/data/encode.ts"
import { rankings, steps } from "../../src/data/encodeJudged.ts"
import { masked } from "../../src/data/encodeSft.ts"
import { EncodeWhenRead } from "../../src/data/lazyArray.ts"
import { placed } from "../../src/data/places.ts"
import type { Codec, Row } from "../../src/engine/engine.ts"

/** A token for every character; 1 begins a prompt and 2 ends a completion. */
const codec: Codec = {
  encodePrompt: (text) => Int32Array.of(1, ...Array.from(text, (c) => c.charCodeAt(0))),
  encodeCompletion: (text, { end }) => Int32Array.of(...Array.from(text, (c) => c.charCodeAt(0)), ...(end ? [2] : [])),
  decode: () => "",
  chat: () => "",
  stop: [2],
  vocab: 256
}
const use = { stage: "stage", codec, context: 60 }

const text = (least: number, most: number) =>
  fc.string({ minLength: least, maxLength: most, unit: fc.constantFrom(..."abcdefgh") })
const [prompt, completion] = [text(0, 12), text(1, 14)]
const labels = fc.constantFrom(-1, 0, 1)

interface Kind {
  readonly name: string
  readonly rows: fc.Arbitrary<ReadonlyArray<object>>
  readonly encoding: Encoding<any, any>
  /** The sequences of an encoded row. */
  readonly sequences: (encoded: any) => ReadonlyArray<Row>
}
const rowsOf = <A extends object>(row: fc.Arbitrary<A>) => fc.array(row, { minLength: 1, maxLength: 8 })
const kinds: ReadonlyArray<Kind> = [
  { name: "text", rows: rowsOf(fc.record({ text: text(1, 24) })), encoding: texts(codec), sequences: (row) => [row] },
  {
    name: "demonstrations",
    rows: rowsOf(fc.record({ prompt, completion })),
    encoding: masked(codec, "completion"),
    sequences: (row) => [row]
  },
  {
    name: "pairs",
    rows: rowsOf(fc.record({ prompt, chosen: completion, rejected: completion })),
    encoding: pairs(codec),
    sequences: ({ chosen, rejected }) => [chosen, rejected]
  },
  {
    name: "labelled answers",
    rows: rowsOf(fc.record({ prompt, completion, label: fc.boolean() })),
    encoding: unpaired(codec),
    sequences: ({ row }) => [row]
  },
  {
    name: "rankings",
    rows: rowsOf(
      fc.record({ prompt, completions: fc.array(completion, { minLength: 2, maxLength: 3 }) }).map((row) => ({
        ...row,
        ranks: row.completions.map((_, i) => i + 1)
      }))
    ),
    encoding: rankings(codec),
    sequences: ({ rows }) => rows
  },
  {
    name: "steps",
    rows: rowsOf(
      fc.record({ prompt, steps: fc.array(fc.tuple(text(1, 5), labels), { minLength: 1, maxLength: 4 }) }).map((
        { prompt, steps }
      ) => ({ prompt, completions: steps.map(([step]) => step), labels: steps.map(([, label]) => label) }))
    ),
    encoding: steps(codec, Int32Array.of(10), "ternary"),
    sequences: ({ row }) => [row]
  }
]

const ids = ({ completion, prompt }: Row): ReadonlyArray<number> => [...prompt, ...completion]
const encode = (rows: ReadonlyArray<object>, encoding: Encoding<any, any>, how: Truncating = {}) =>
  Effect.runSync(encodeWithin(use, rows, encoding, how))
const problem = (rows: ReadonlyArray<object>, encoding: Encoding<any, any>, how: Truncating): string => {
  const exit = Effect.runSyncExit(encodeWithin(use, rows, encoding, how))
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  return reason?._tag === "Fail" ? reason.error.message : "it was encoded"
}

describe.each(kinds)("$name that are too long", ({ encoding, rows, sequences }) => {
  const cases = (law: (rows: ReadonlyArray<object>, maxLength: number) => void) =>
    fc.assert(fc.property(rows, fc.integer({ min: 3, max: 26 }), law))

  it("dropped and kept rows are all rows; the kept rows are as they were, in their order", () => {
    cases((rows, maxLength) => {
      const whole = encode(rows, encoding).encoded
      const fits = whole.map((row) => encoding.tokens(row) <= maxLength)
      if (!fits.includes(true)) {
        return assert.match(problem(rows, encoding, { maxLength, truncation: "drop" }), /were dropped/u)
      }
      const { encoded, rows: kept, survey } = encode(rows, encoding, { maxLength, truncation: "drop" })
      assert.deepStrictEqual(encoded, whole.filter((_, i) => fits[i]))
      assert.deepStrictEqual(Array.from(kept), rows.filter((_, i) => fits[i]))
      assert.strictEqual(survey!.kept + survey!.dropped, survey!.rows)
      assert.strictEqual(survey!.dropped, fits.filter((one) => !one).length)
    })
  })

  it("a cut leaves at most maxLength tokens, a beginning or an end of the whole, and something to learn from", () => {
    cases((rows, maxLength) => {
      const whole = encode(rows, encoding).encoded
      for (const truncation of ["keep-start", "keep-end"] as const) {
        for (const [i, row] of rows.entries()) {
          const said = problem([row], encoding, { maxLength, truncation })
          if (said !== "it was encoded") {
            assert.match(said, /nothing of its answer is left/u)
            continue
          }
          const [cut] = encode([row], encoding, { maxLength, truncation }).encoded
          if (encoding.tokens(whole[i]) <= maxLength) assert.deepStrictEqual(cut, whole[i])
          const all = sequences(whole[i]).map(ids)
          for (const [j, sequence] of sequences(cut).entries()) {
            const left = ids(sequence)
            assert.isAtMost(left.length, maxLength)
            assert.isAbove(sequence.completion.length, 0)
            assert.deepStrictEqual(
              left,
              truncation === "keep-start" ? all[j]!.slice(0, left.length) : all[j]!.slice(-left.length)
            )
          }
        }
      }
    })
  })
})

describe("the cut", () => {
  it("answers to one prompt keep one prompt, and whole answers as long as these fit", () => {
    fc.assert(fc.property(
      fc.record({ prompt, chosen: completion, rejected: completion }),
      fc.integer({ min: 4, max: 26 }),
      (row, maxLength) => {
        const longest = Math.max(row.chosen.length, row.rejected.length) + 1
        fc.pre(longest < maxLength)
        const [whole] = encode([row], pairs(codec)).encoded
        const [{ chosen, rejected }] = encode([row], pairs(codec), { maxLength, truncation: "keep-end" }).encoded
        assert.deepStrictEqual(chosen.prompt, rejected.prompt)
        assert.isAbove(chosen.prompt.length, 0)
        assert.deepStrictEqual([chosen.completion, rejected.completion], [
          whole.chosen.completion,
          whole.rejected.completion
        ])
        // No more is cut than has to be.
        const length = Math.max(lengthOf(chosen), lengthOf(rejected))
        assert.strictEqual(length, Math.min(maxLength, encode([row], pairs(codec)).survey!.tokens.longest))
      }
    ))
  })

  it("steps keep their ends and labels: the same token has the same judgement", () => {
    const of = kinds.at(-1)!
    fc.assert(fc.property(of.rows, fc.integer({ min: 3, max: 26 }), (rows, maxLength) => {
      for (const truncation of ["keep-start", "keep-end"] as const) {
        for (const row of rows) {
          const [whole] = encode([row], of.encoding).encoded
          if (problem([row], of.encoding, { maxLength, truncation }) !== "it was encoded") continue
          const [cut] = encode([row], of.encoding, { maxLength, truncation }).encoded
          const shift = truncation === "keep-start" ? 0 : lengthOf(whole.row) - lengthOf(cut.row)
          /** Places in the whole sequence. */
          const judged = ({ ends, labels, row }: any, shift: number): ReadonlyArray<string> =>
            ends.map((end: number, i: number) => `${end + row.prompt.length + shift}: ${labels[i]}`)
          assert.includeMembers([...judged(whole, 0)], [...judged(cut, shift)])
          const first = whole.row.prompt.length
          const inside = whole.ends.filter((end: number) => {
            const place = end + first
            return truncation === "keep-start"
              ? place < lengthOf(cut.row)
              : place > shift && place < lengthOf(whole.row)
          })
          assert.lengthOf(cut.ends, inside.length)
        }
      }
    }))
  })

  it("prompts leave room for an answer of maxNewTokens where they are cut or dropped, and for a token where not", () => {
    assert.strictEqual(mostTokens(60, 20, {}), 59)
    assert.strictEqual(mostTokens(60, 20, { truncation: "drop" }), 40)
    assert.strictEqual(mostTokens(60, 20, { truncation: "keep-end", maxLength: 30 }), 30)
    assert.strictEqual(mostTokens(60, 0, { truncation: "keep-end" }), 60)
    const [cut] = encode([{ prompt: "abcdefgh" }], prompts(codec, 55), { truncation: "keep-end" }).encoded
    assert.strictEqual(String.fromCharCode(...cut), "defgh")
  })
})

describe("what is said", () => {
  const long = (i: number) => placed({ prompt: "a".repeat(70 + i), completion: "b" }, "rows.jsonl", i + 3)

  it("one message for a mistake of many rows, with their count, the first and the longest", () => {
    const rows = Array.from({ length: 400 }, (_, i) => long(i))
    const said = problem([{ prompt: "a", completion: "b" }, ...rows], masked(codec, "completion"), {})
    assert.include(
      said,
      "stage: 400 of 401 rows are too long, first rows.jsonl:3; the longest, rows.jsonl:402, has 472 tokens; the context is 60."
    )
    assert.isBelow(said.length, 400)
  })

  it("one message for each kind of mistake, of rows that cannot be encoded too", () => {
    const refusing: Codec = {
      ...codec,
      encodePrompt: (text) => {
        if (text.startsWith("?")) throw new Error(`no token for ${text}`)
        return codec.encodePrompt(text)
      }
    }
    const rows = [{ prompt: "?1", completion: "b" }, long(0), { prompt: "?2", completion: "b" }]
    const said = problem(rows, masked(refusing, "completion"), {})
    assert.include(said, "rows.jsonl:3 has 73 tokens; the context is 60")
    assert.include(said, "row 1 cannot be encoded: no token for ?1 (and 1 other row like it)")
  })

  it("a plan, which looks at a few rows, drops about as many", () => {
    fc.assert(
      fc.property(fc.integer({ min: 5, max: 50 }), fc.nat(1000), (maxLength, seed) => {
        const rows = Array.from({ length: 300 }, (_, i) => ({ text: "a".repeat(1 + (i * 7919 + seed) % 55) }))
        const exact = encode(rows, texts(codec), { maxLength, truncation: "drop" })
        const planned = Effect.runSync(
          Effect.provideService(
            encodeWithin(use, rows, texts(codec), { maxLength, truncation: "drop" }),
            EncodeWhenRead,
            true
          )
        )
        assert.isNull(planned.survey)
        assert.closeTo(planned.rows.length, exact.rows.length, 15)
        for (const row of planned.encoded) assert.isAtMost(lengthOf(row), maxLength)
      }),
      { numRuns: 20 }
    )
  })
})
