import { assert, describe, it } from "vitest"
import { PolicyGradient } from "../../dsl/index.ts"
import { grpoMetrics } from "../../src/losses/grpo.ts"
import { policyGradient } from "../../src/losses/policyGradient.ts"
import { f64, i32 } from "./gradients.ts"

describe("GRPO by hand (Shao et al. 2024, eq. 3 and 4)", () => {
  // Two answers of 1 and 2 tokens, one right and one wrong; ratios 1.5 (cut at 1.2), 0.9 and 0.5 (cut at 0.8); β 0.1.
  const oldLogps = f64(-1, -1, -1)
  const logps = oldLogps.map((x, t) => x + Math.log([1.5, 0.9, 0.5][t]!))
  const refLogps = f64(logps[0]!, logps[1]! + Math.log(2), logps[2]!)
  const batch = { logps, oldLogps, refLogps, advantages: f64(1, -1, -1), offsets: i32(0, 1, 3) }
  const made = policyGradient(batch, PolicyGradient.grpo.loss, { beta: 0.1, maxLength: 2 })
  // k3 of the second token: 2 − 1 − log 2.
  const k3 = 1 - Math.LN2

  it("is the mean over answers of the mean over their tokens of the clipped surrogate and β k3", () => {
    const first = -1.2
    const second = (0.9 + 0.1 * k3 + 0.8) / 2
    assert.closeTo(made.loss, (first + second) / 2, 1e-12)
  })
  it("has no gradient where it is cut, and ρA's and k3's elsewhere", () => {
    assert.closeTo(made.gradient[0]!, 0, 1e-12)
    assert.closeTo(made.gradient[1]!, (0.9 + 0.1 * (1 - 2)) / 4, 1e-12)
    assert.closeTo(made.gradient[2]!, 0, 1e-12)
  })
  it("is reported under TRL's names", () => {
    const metrics = grpoMetrics(made)
    assert.sameMembers(Object.keys(metrics), [
      "loss",
      "kl",
      "clip_ratio/low_mean",
      "clip_ratio/high_mean",
      "clip_ratio/region_mean",
      "val/ratio"
    ])
    // Means over the three tokens, although the loss is a mean over answers.
    assert.closeTo(metrics["kl"]!, k3 / 3, 1e-12)
    assert.closeTo(metrics["clip_ratio/high_mean"]!, 1 / 3, 1e-12)
    assert.closeTo(metrics["clip_ratio/low_mean"]!, 1 / 3, 1e-12)
    assert.closeTo(metrics["val/ratio"]!, (1.5 + 0.9 + 0.5) / 3, 1e-12)
  })
})
