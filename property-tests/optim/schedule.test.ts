import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { learningRateAt, type Schedule, scheduled } from "../../src/optim/schedule.ts"

const of = (schedule: Schedule["schedule"], warmupSteps: number, more: Partial<Schedule> = {}): Schedule => ({
  learningRate: 1,
  schedule,
  warmupSteps,
  ...more
})
const schedules = ["constant", "linear", "cosine"] as const

describe("learning-rate schedules", () => {
  it("invariant 36: warm up in a straight line to the peak: 1/4, 2/4, 3/4, 1", () => {
    for (const schedule of schedules) {
      assert.deepStrictEqual([0, 1, 2, 3, 4].map((n) => scheduled(of(schedule, 4), n, 20)), [0.25, 0.5, 0.75, 1, 1])
    }
  })

  it("invariant 36: end where they should: constant at 1, linear just above 0, cosine just above 10 %", () => {
    assert.strictEqual(scheduled(of("constant", 0), 99, 100), 1)
    assert.closeTo(scheduled(of("linear", 0), 99, 100), 0.01, 1e-15)
    assert.closeTo(scheduled(of("linear", 0), 50, 100), 0.5, 1e-15)
    assert.closeTo(scheduled(of("cosine", 0), 50, 100), 0.55, 1e-15)
    assert.strictEqual(scheduled(of("cosine", 0), 99, 100), 0.1 + 0.45 * (1 + Math.cos(0.99 * Math.PI)))
    assert.isAbove(scheduled(of("cosine", 0), 99_999, 100_000), 0.1)
    assert.closeTo(scheduled(of("cosine", 0), 99_999, 100_000), 0.1, 1e-8)
  })

  it("stay in (0, 1], and never rise after the warm-up", () => {
    fc.assert(fc.property(
      fc.constantFrom(...schedules),
      fc.integer({ min: 1, max: 200 }),
      fc.nat(200),
      (schedule, steps, warmup) => {
        const warm = Math.min(warmup, steps)
        const rates = Array.from({ length: steps }, (_, n) => scheduled(of(schedule, warm), n, steps))
        assert.isTrue(rates.every((rate) => rate > 0 && rate <= 1))
        rates.forEach((rate, n) => {
          if (n > warm) assert.isAtMost(rate, rates[n - 1]!)
          else if (n > 0 && n < warm) assert.isAbove(rate, rates[n - 1]!)
        })
      }
    ))
  })

  // transformers 4.57, `optimization.py` and `TrainingArguments.get_warmup_steps`, in closed form.
  it("are transformers' for every warm-up, share of warm-up and floor", () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.oneof(
        fc.record({ warmupSteps: fc.nat(60) }),
        fc.record({ warmupRatio: fc.double({ min: 0, max: 1, noNaN: true }) })
      ),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (steps, given, floor) => {
        const warm = "warmupRatio" in given ? Math.ceil(given.warmupRatio * steps) : Math.min(given.warmupSteps, steps)
        const own = { ...given, warmupSteps: "warmupRatio" in given ? 0 : warm, warmupFrom: 0, learningRate: 3 }
        for (let n = 0; n < steps; n++) {
          const progress = (n - warm) / Math.max(1, steps - warm)
          const theirs = {
            // get_constant_schedule_with_warmup
            constant: n < warm ? n / Math.max(1, warm) : 1,
            // get_linear_schedule_with_warmup
            linear: n < warm ? n / Math.max(1, warm) : Math.max(0, (steps - n) / Math.max(1, steps - warm)),
            // get_cosine_with_min_lr_schedule_with_warmup
            cosine: n < warm
              ? n / Math.max(1, warm)
              : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)) * (1 - floor) + floor)
          }
          assert.closeTo(learningRateAt({ ...own, schedule: "constant" }, n, steps), 3 * theirs.constant, 1e-12)
          assert.closeTo(learningRateAt({ ...own, schedule: "linear" }, n, steps), 3 * theirs.linear, 1e-12)
          const cosine = { ...own, schedule: "cosine" } as const
          assert.closeTo(learningRateAt({ ...cosine, minLearningRateRatio: floor }, n, steps), 3 * theirs.cosine, 1e-12)
          assert.closeTo(learningRateAt({ ...cosine, minLearningRate: 3 * floor }, n, steps), 3 * theirs.cosine, 1e-12)
        }
      }
    ))
  })

  it("warm up from a share of the peak in a straight line: InstructGPT's first rate is a tenth", () => {
    const own = of("constant", 10, { warmupFrom: 0.1 })
    assert.strictEqual(scheduled(own, 0, 100), 0.1)
    assert.closeTo(scheduled(own, 5, 100), 0.55, 1e-15)
    assert.strictEqual(scheduled(own, 10, 100), 1)
    assert.closeTo(scheduled(of("linear", 0, { minLearningRateRatio: 0.2 }), 50, 100), 0.6, 1e-15)
  })
})
