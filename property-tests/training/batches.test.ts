import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { batchAt, stepsOf } from "../../src/training/batches.ts"

const sizes = fc.record({
  key: fc.string({ maxLength: 4 }),
  count: fc.integer({ min: 1, max: 40 }),
  batchSize: fc.integer({ min: 1, max: 50 })
})

describe("batches", () => {
  it("cover every row exactly once in every epoch", () => {
    fc.assert(fc.property(sizes, fc.integer({ min: 1, max: 3 }), ({ batchSize, count, key }, epochs) => {
      const steps = stepsOf(count, { batchSize, epochs })
      const all = Array.from({ length: steps }, (_, n) => batchAt(key, count, batchSize, n)).flat()
      assert.isAtLeast(all.length, count * epochs)
      assert.isBelow(all.length, count * epochs + batchSize)
      for (let epoch = 0; epoch < epochs; epoch++) {
        const rows = all.slice(epoch * count, (epoch + 1) * count).sort((a, b) => a - b)
        assert.deepStrictEqual(rows, Array.from({ length: count }, (_, i) => i))
      }
    }))
  })

  it("depend on the step's number alone, not on which steps were asked for before", () => {
    fc.assert(fc.property(sizes, fc.array(fc.nat(30), { maxLength: 10 }), ({ batchSize, count, key }, asked) => {
      const inOrder = Array.from({ length: 31 }, (_, n) => batchAt(key, count, batchSize, n))
      for (const n of asked) assert.deepStrictEqual(batchAt(key, count, batchSize, n), inOrder[n])
    }))
  })

  it("are shuffled differently by every epoch and every key", () => {
    const [first, second, other] = [batchAt("k", 64, 64, 0), batchAt("k", 64, 64, 1), batchAt("l", 64, 64, 0)]
    assert.notDeepEqual(first, second)
    assert.notDeepEqual(first, other)
    assert.notDeepEqual(first, [...first].sort((a, b) => a - b))
  })

  it("of an epoch are as many as its rows fill, and at least one", () => {
    assert.strictEqual(stepsOf(10, { batchSize: 4, epochs: 1 }), 3)
    assert.strictEqual(stepsOf(10, { batchSize: 4, epochs: 2 }), 5)
    assert.strictEqual(stepsOf(10, { batchSize: 10, epochs: 1 }), 1)
    assert.strictEqual(stepsOf(1, { batchSize: 100, epochs: 1 }), 1)
    assert.strictEqual(stepsOf(10, { batchSize: 4, epochs: 1, steps: 7 }), 7)
  })
})
