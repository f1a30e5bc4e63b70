import fc from "fast-check"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { generalizedJsd } from "../../src/losses/distill.ts"
import { onPolicyDistill } from "../../src/losses/onPolicyDistill.ts"
import { assertClose, f64, finiteDifferences, i32, numbers, total } from "./gradients.ts"

const logSoftmax = (z: Float64Array): Float64Array => {
  const max = z.reduce((most, x) => Math.max(most, x), -Infinity)
  const lse = max + Math.log(z.reduce((sum, x) => sum + Math.exp(x - max), 0))
  return z.map((x) => x - lse)
}
const kl = (p: Float64Array, q: Float64Array): number => total(p.map((x, v) => Math.exp(x) * (x - q[v]!)))

const V = 5
const beta = fc.constantFrom(0, 1e-6, 0.1, 0.5, 0.9, 1)
const cases = fc.record({
  student: numbers(-4, 4, V),
  teacher: numbers(-4, 4, V),
  beta,
  temperature: fc.constantFrom(1, 0.5, 2)
})

describe("generalised Jensen–Shannon divergence", () => {
  it("by hand: s = (1/2, 1/2), t = (1/4, 3/4), β = 1/2", () => {
    // m = (3/8, 5/8). ½ [¼ log ⅔ + ¾ log 6/5] + ½ [½ log 4/3 + ½ log 4/5].
    const expected = 0.5 * (0.25 * Math.log(2 / 3) + 0.75 * Math.log(6 / 5)) +
      0.5 * (0.5 * Math.log(4 / 3) + 0.5 * Math.log(4 / 5))
    const [s, t] = [f64(0.5, 0.5).map(Math.log), f64(0.25, 0.75).map(Math.log)]
    assert.closeTo(generalizedJsd({ beta: 0.5 })(s, t, null), expected, 1e-15)
    // β = 0: ¼ log ½ + ¾ log 3/2; β = 1: ½ log 2 + ½ log ⅔.
    assert.closeTo(generalizedJsd({ beta: 0 })(s, t, null), 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5), 1e-15)
    assert.closeTo(generalizedJsd({ beta: 1 })(s, t, null), 0.5 * Math.log(2) + 0.5 * Math.log(2 / 3), 1e-15)
  })

  it("invariant 34: its gradient with respect to the student's logits is the finite differences", () => {
    fc.assert(fc.property(cases, ({ student, teacher, ...options }) => {
      const divergence = generalizedJsd(options)
      const gradient = new Float64Array(V).fill(NaN)
      const value = divergence(logSoftmax(student), logSoftmax(teacher), gradient)
      assert.strictEqual(divergence(logSoftmax(student), logSoftmax(teacher), null), value)
      assertClose(
        gradient,
        finiteDifferences((z) => divergence(logSoftmax(z), logSoftmax(teacher), null), student),
        1e-8
      )
      // Softmax does not see a constant.
      assert.closeTo(total(gradient), 0, 1e-12)
    }))
  })

  it("invariant 1: is 0 between equals and above 0 otherwise; its ends are the forward and the reverse KL", () => {
    fc.assert(fc.property(cases, ({ student, teacher, ...options }) => {
      const [s, t] = [logSoftmax(student), logSoftmax(teacher)]
      assert.closeTo(generalizedJsd(options)(s, s, null), 0, 1e-12)
      assert.isAtLeast(generalizedJsd(options)(s, t, null), -1e-12)
      assert.closeTo(generalizedJsd({ beta: 0 })(s, t, null), kl(t, s), 1e-12)
      assert.closeTo(generalizedJsd({ beta: 1 })(s, t, null), kl(s, t), 1e-12)
      // D_β of (s, t) is D_1−β of (t, s), and D_β / β goes to the forward KL.
      assert.closeTo(generalizedJsd({ beta: 0.3 })(s, t, null), generalizedJsd({ beta: 0.7 })(t, s, null), 1e-12)
      assert.closeTo(generalizedJsd({ beta: 1e-9 })(s, t, null) / 1e-9, kl(t, s), 1e-4 * (1 + kl(t, s)))
    }))
  })

  it("a token that one of them never says costs what it should", () => {
    const [s, t] = [f64(Math.log(0.5), Math.log(0.5), -Infinity), f64(-Infinity, Math.log(0.5), Math.log(0.5))]
    assert.strictEqual(generalizedJsd({ beta: 0 })(s, t, null), Infinity)
    assert.strictEqual(generalizedJsd({ beta: 1 })(s, t, null), Infinity)
    // m = (¼, ½, ¼): ½ log 2 for each of the two.
    assert.closeTo(generalizedJsd({ beta: 0.5 })(s, t, null), 0.5 * Math.LN2, 1e-15)
    const gradient = new Float64Array(3)
    generalizedJsd({ beta: 0.5 })(s, t, gradient)
    assert.isTrue(gradient.every(Number.isFinite))
  })

  it("TRL's values and gradients (GKDTrainer.generalized_jsd_loss, mean over tokens)", () => {
    const path = new URL("../golden/trl-distill.json", import.meta.url)
    const golden = JSON.parse(readFileSync(path, "utf8")) as ReadonlyArray<{
      readonly beta: number
      readonly temperature: number
      readonly student: ReadonlyArray<ReadonlyArray<number>>
      readonly teacher: ReadonlyArray<ReadonlyArray<number>>
      readonly loss: number
      readonly gradient: ReadonlyArray<ReadonlyArray<number>>
    }>
    assert.isAtLeast(golden.length, 15)
    for (const { gradient, loss, student, teacher, ...options } of golden) {
      const divergence = generalizedJsd(options)
      let sum = 0
      student.forEach((z, i) => {
        const own = new Float64Array(z.length)
        sum += divergence(logSoftmax(f64(...z)), logSoftmax(f64(...teacher[i]!)), own) / student.length
        assertClose(own.map((g) => g / student.length), gradient[i]!, 1e-12)
      })
      assert.closeTo(sum, loss, 1e-12)
    }
  })
})

describe("on-policy distillation by policy gradient", () => {
  const offsets = i32(0, 2, 3)

  it("by hand", () => {
    // Rewards log π_T − log π_S: (1, −2) and (0.5). γ = 1: A = (−1, −2), (0.5); n = 2 sequences.
    const [logps, teacher] = [f64(-2, -1, -1), f64(-1, -3, -0.5)]
    const one = onPolicyDistill(logps, teacher, offsets, { discount: 1 })
    assert.deepStrictEqual(one.advantages, f64(-1, -2, 0.5))
    assert.deepStrictEqual(one.gradient, f64(0.5, 1, -0.25))
    assert.closeTo(one.loss, -((-1 * -2) + (-2 * -1) + 0.5 * -1) / 2, 1e-15)
    // KL(π_S‖π_T): (1 − 0.5) / 2 = 0.25 per sequence, over 1.5 tokens each.
    assert.closeTo(one.metrics["kl"]!, 0.25, 1e-15)
    assert.closeTo(one.metrics["kl_per_token"]!, 0.5 / 3, 1e-15)
    assert.deepStrictEqual(onPolicyDistill(logps, teacher, offsets, { discount: 0 }).advantages, f64(1, -2, 0.5))
  })

  it("teaches nothing where teacher and student agree; what is not finite comes through", () => {
    const logps = f64(-1, -2, -3)
    const agreed = onPolicyDistill(logps, logps, offsets, { discount: 1 })
    assert.isTrue(agreed.gradient.every((g) => g === 0))
    assert.strictEqual(agreed.metrics["kl"], 0)
    assert.isNaN(onPolicyDistill(logps, f64(-1, -Infinity, 0), offsets, { discount: 0 }).loss)
    assert.strictEqual(onPolicyDistill(f64(), f64(), i32(0), { discount: 0 }).loss, 0)
  })
})
