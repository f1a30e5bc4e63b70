/** The divergence verb on both engines, and the stages' gradients held to enumeration. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Policy } from "../../src/engine/engine.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { treeOf } from "../../src/engine/tabular/tree.ts"
import { type World, world } from "../../src/engine/tabular/world.ts"
import { generalizedJsd } from "../../src/losses/distill.ts"
import { onPolicyDistill } from "../../src/losses/onPolicyDistill.ts"
import { assertClose, finiteDifferences, total } from "../losses/gradients.ts"
import { everyRow, randomPolicy, readGradient, worlds } from "./tabularWorlds.ts"
import { policyWeights } from "../../src/engine/tabular/checkpoint.ts"

const withLogits = (of: World, logits: Float64Array) => policyWeights(of, logits)
const logitsOf = (policy: ReturnType<typeof randomPolicy>) => Float64Array.from(policy.tensors.get("logits")!.data)

/** Probability of every completion, prompts one after the other and equally likely. */
const weightsOf = (of: World, policy: ReturnType<typeof randomPolicy>): Float64Array =>
  Float64Array.from(
    logDistribution(of, policy).flatMap((table) => Array.from(table, (x) => Math.exp(x) / of.prompts.length))
  )

describe("divergences on the tabular engine", () => {
  it("invariant 4: the expected sum of a completion's reverse KLs is KL of whole completions", () => {
    fc.assert(
      fc.property(worlds, (of) => {
        const [s, t] = [randomPolicy(of, "s"), randomPolicy(of, "t")]
        const engine = tabular(of)
        const { offsets, values } = engine.policy(s).divergences(
          everyRow(of),
          engine.policy(t),
          generalizedJsd({ beta: 1 })
        )
        const mass = weightsOf(of, s)
        const expected = mass.reduce((sum, p, i) => sum + p * total(values.slice(offsets[i]!, offsets[i + 1]!)), 0)
        assert.closeTo(expected, kl(logDistribution(of, s), logDistribution(of, t)).mean, 1e-10)
      }),
      { numRuns: 30 }
    )
  })

  it("invariant 34: backward after divergences is the finite differences, for every β", () => {
    fc.assert(
      fc.property(worlds, fc.constantFrom(0, 0.4, 1), (of, beta) => {
        const rows = everyRow(of).slice(0, 7)
        const teacher = tabular(of).policy(randomPolicy(of, "t"))
        const divergence = generalizedJsd({ beta, temperature: 0.8 })
        const at = logitsOf(randomPolicy(of, "s"))
        const policy = tabular(of).policy(withLogits(of, at))
        const { values } = policy.divergences(rows, teacher, divergence, { retain: true })
        const by = values.map((_, i) => Math.sin(i + 1))
        policy.backward(by)
        const loss = (logits: Float64Array) =>
          tabular(of).policy(withLogits(of, logits)).divergences(rows, teacher, divergence).values
            .reduce((sum, x, i) => sum + x * by[i]!, 0)
        assertClose(readGradient(policy, "logits").gradient, finiteDifferences(loss, at), 1e-7)
      }),
      { numRuns: 15 }
    )
  })

  it("refuses a teacher of another world", () => {
    const [a, b] = [
      world({ prompts: 1, vocab: 2, horizon: 1, seed: "" }),
      world({ prompts: 2, vocab: 3, horizon: 2, seed: "" })
    ]
    const other: Policy = tabular(b).policy(randomPolicy(b, "t"))
    assert.throws(
      () => tabular(a).policy(randomPolicy(a, "s")).divergences([], other, generalizedJsd({ beta: 0 })),
      /teacher/
    )
  })
})

describe("on-policy distillation, exactly", () => {
  const of = world({ prompts: 2, vocab: 3, horizon: 3, seed: "distill" })
  const [s, t] = [randomPolicy(of, "s"), randomPolicy(of, "t")]
  const rows = everyRow(of)
  const tree = treeOf(of)
  assert.strictEqual(logitsOf(s).length, of.prompts.length * tree.contexts * tree.actions)

  /** The expectation of the estimator's gradient over the student's samples, by enumeration. */
  const expectedGradient = (discount: number): Float64Array => {
    const policy = tabular(of).policy(s)
    const { logps, offsets } = policy.logprobs(rows, { retain: true })
    const teacher = tabular(of).policy(t).logprobs(rows).logps
    const { gradient } = onPolicyDistill(logps, teacher, offsets, { discount })
    const mass = weightsOf(of, s)
    // The estimator divides by the number of sequences; here each counts by its probability instead.
    const weighted = gradient.slice()
    rows.forEach((_, i) => {
      for (let at = offsets[i]!; at < offsets[i + 1]!; at++) weighted[at]! *= rows.length * mass[i]!
    })
    policy.backward(weighted)
    return readGradient(policy, "logits").gradient
  }
  const logTeacher = logDistribution(of, t)

  it("invariant 3: with discount 1 the expected gradient is ∇KL(student‖teacher) of whole completions", () => {
    const exact = finiteDifferences(
      (logits) => kl(logDistribution(of, withLogits(of, logits)), logTeacher).mean,
      logitsOf(s)
    )
    assertClose(expectedGradient(1), exact, 1e-8)
  })

  it("invariant 3: with discount 0 it is that of the tokens' KLs with the visited states held fixed, and another one", () => {
    const mass = weightsOf(of, s)
    const held = (logits: Float64Array): number => {
      const { offsets, values } = tabular(of).policy(withLogits(of, logits))
        .divergences(rows, tabular(of).policy(t), generalizedJsd({ beta: 1 }))
      return mass.reduce((sum, p, i) => sum + p * total(values.slice(offsets[i]!, offsets[i + 1]!)), 0)
    }
    const zero = expectedGradient(0)
    assertClose(zero, finiteDifferences(held, logitsOf(s)), 1e-8)
    assert.isAbove(Math.max(...zero.map((g, i) => Math.abs(g - expectedGradient(1)[i]!))), 1e-3)
  })

  it("the estimate of KL is unbiased", () => {
    const { logps, offsets } = tabular(of).policy(s).logprobs(rows)
    const teacher = tabular(of).policy(t).logprobs(rows).logps
    const estimates = rows.map((_, i) =>
      total(logps.slice(offsets[i]!, offsets[i + 1]!)) - total(teacher.slice(offsets[i]!, offsets[i + 1]!))
    )
    const mass = weightsOf(of, s)
    const mean = mass.reduce((sum, p, i) => sum + p * estimates[i]!, 0)
    assert.closeTo(mean, kl(logDistribution(of, s), logTeacher).mean, 1e-10)
  })
})
