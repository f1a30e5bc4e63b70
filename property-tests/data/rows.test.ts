/** Rows that a stage goes on from are read by their schema. */
import { assert, it } from "vitest"
import { CompletionRow, resumed, ScoredRow } from "../../src/data/rows.ts"

const row = { prompt: "a", completion: "b", ended: true, tokens: 2 }

it("rows of a checkpoint come back as they were, in an array that can grow", () => {
  const rows = resumed(CompletionRow, JSON.parse(JSON.stringify([row, { ...row, answer: "c" }])))
  rows.push(row)
  assert.deepStrictEqual(rows, [row, { ...row, answer: "c" }, row])
  assert.deepStrictEqual(resumed(ScoredRow, [{ ...row, score: -1 }]), [{ ...row, score: -1 }])
  assert.deepStrictEqual(resumed(ScoredRow, null), [])
})

it("rows of another kind are refused", () => {
  assert.throws(() => resumed(ScoredRow, [row]), /score/)
  assert.throws(() => resumed(CompletionRow, [{ ...row, tokens: "2" }]), /tokens/)
  assert.throws(() => resumed(CompletionRow, { rows: [] }))
})
