import { Effect } from "effect"
import * as fc from "fast-check"
import { assert, describe, it } from "vitest"
import { devices } from "../../src/bench/devices.ts"
import { clock } from "../../src/planning/cost/clock.ts"
import { assumed, type Costs, measured, roofline } from "../../src/planning/cost/costs.ts"
import { nonNegative, ratesOf } from "../../src/planning/cost/fit.ts"
import { hostTally } from "../../src/planning/cost/tally.ts"
import type { Computing } from "../../src/engine/engine.ts"
import { initial } from "../../src/engine/transformer/initial.ts"
import { type Cost, counting } from "../../src/tensor/counting/backend.ts"
import { countedEngine } from "../../src/planning/countedEngine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { reference } from "../../src/tensor/reference.ts"

const rates = {
  linear: { call: 1e-6, byte: 1e-11, flop: 1e-11 },
  "linear bf16": { call: 1e-6, byte: 1e-11, flop: 2e-12 },
  linearPacked: { call: 1e-6, byte: 1e-10, flop: 1e-11 },
  attention: { call: 2e-6, byte: 0, flop: 5e-11 },
  attentionDecode: { call: 1e-6, byte: 1e-10, flop: 1e-10 },
  learn: { call: 1e-5, byte: 1e-7, flop: 0 },
  "stage.learn": { call: 1, byte: 1e-8, flop: 0 },
  stage: { call: 1e-3, byte: 0, flop: 0 },
  start: { call: 1e-2, byte: 0, flop: 0 }
}
const all: ReadonlyArray<readonly [string, Costs]> = [
  ["rates", measured(rates)],
  ...Object.values(devices).map((device) => [device.title, roofline(device)] as const)
]
const kernels = ["linear", "attention", "rmsNorm", "adamw", "read"]
const amount = fc.integer({ min: 0, max: 1e9 })
const precision = fc.constantFrom("f32" as const, "bf16" as const)

const model = {
  dim: 8,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  ffn: 12,
  context: 32,
  words: ["a", "b", "c", "d"],
  seed: "cost"
}
const rowsOf = (lengths: ReadonlyArray<number>) =>
  lengths.map((length) => ({ prompt: Int32Array.of(1), completion: new Int32Array(length).fill(2) }))
const update = { learningRate: 1e-3, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0, maxGradNorm: 1 } as const
const sampling = (maxNewTokens: number) => ({ maxNewTokens, temperature: 1, topK: 0, topP: 1, stop: [] })

/** Seconds that some work takes by this cost. */
const planned = (cost: Cost, lengths: ReadonlyArray<number>, newTokens: number, dim = model.dim): number => {
  const meter = countedEngine({ cost })
  const policy = meter.engine.policy(meter.engine.initial({ ...model, dim }))
  policy.learn(rowsOf(lengths), ({ length }) => new Float64Array(length))
  policy.step(update)
  if (newTokens > 0) policy.sample(lengths.map(() => Int32Array.of(1, 2)), sampling(newTokens), lengths.map(String))
  return [...meter.spentIn().values()].reduce((sum, { seconds }) => sum + seconds, 0)
}

const mistral = { architectures: ["MistralForCausalLM"], model_type: "mistral", sliding_window: 30 }

describe("what work costs", () => {
  for (const [name, { backend }] of all) {
    it(`by ${name} is finite, not negative, and no less for more`, () => {
      fc.assert(fc.property(
        fc.constantFrom(...kernels),
        amount,
        amount,
        amount,
        precision,
        (what, flops, bytes, more, in_) => {
          const least = backend(what, flops, bytes, in_)
          assert.isTrue(Number.isFinite(least) && least >= 0)
          assert.isAtLeast(backend(what, flops + more, bytes, in_), least)
          assert.isAtLeast(backend(what, flops, bytes + more, in_), least)
          // Two pieces of work are never quicker than the two of them at once.
          assert.isAtMost(backend(what, 2 * flops, 2 * bytes, in_), 2 * least * (1 + 1e-12))
        }
      ))
    })
  }

  it("by a roof is never beyond the published peaks", () => {
    for (const device of Object.values(devices)) {
      const { backend } = roofline(device)
      fc.assert(
        fc.property(fc.constantFrom("linear", "attention"), amount, amount, precision, (what, flops, bytes, in_) => {
          const seconds = backend(what, flops, bytes, in_)
          assert.isAtMost(flops / seconds, device.peak[in_])
          assert.isAtMost(bytes / seconds, device.bandwidth)
        })
      )
    }
    assert.isBelow(Math.max(assumed.products, assumed.attention, assumed.bandwidth), 1)
  })

  it("by rates in a lower precision is that of its own where there are any", () => {
    const { backend } = measured(rates)
    assert.isBelow(backend("linear", 1e6, 0, "bf16"), backend("linear", 1e6, 0, "f32"))
    assert.strictEqual(backend("attention", 1e6, 8, "bf16"), backend("attention", 1e6, 8, "f32"))
    assert.strictEqual(backend("nothing that was measured", 1e6, 8, "f32"), 0)
  })

  it("is the sum of its kernels, phase by phase", () => {
    const calls: Array<number> = []
    const cost: Cost = (what, flops, bytes, in_) => {
      const seconds = measured(rates).backend(what, flops, bytes, in_)
      calls.push(seconds)
      return seconds
    }
    const backend = counting({ cost })
    const policy = transformer(backend).policy(initial(model))
    backend.during("update", () => {
      policy.learn(rowsOf([3, 9]), ({ length }) => new Float64Array(length))
      policy.step(update)
    })
    backend.during("logps", () => policy.logprobs(rowsOf([5])))
    const sum = calls.reduce((a, b) => a + b, 0)
    const phases = [...backend.spentIn().values()].reduce((sum, { seconds }) => sum + seconds, 0)
    assert.approximately(backend.spent().seconds, sum, 1e-12 * sum)
    // Opening it was in no phase, and cost nothing by these rates.
    assert.approximately(phases, sum, 1e-12 * sum)
    assert.isAbove(backend.spentIn().get("update")!.seconds, backend.spentIn().get("logps")!.seconds)
  })

  it("of a model grows with its width, its rows and what it samples", () => {
    for (const [, { backend }] of all) {
      const base = planned(backend, [6, 9], 4)
      assert.isAbove(planned(backend, [6, 9, 9], 4), base)
      assert.isAbove(planned(backend, [6, 12], 4), base)
      assert.isAbove(planned(backend, [6, 9], 8), base)
      assert.isAtLeast(planned(backend, [6, 9], 4, 2 * model.dim), base)
    }
  })

  it("counts decoding by its first tokens the same as token by token, and the memory too", () => {
    const { backend } = measured(rates)
    const lengths = fc.integer({ min: 1, max: 9 })
    fc.assert(
      fc.property(
        fc.array(lengths, { minLength: 1, maxLength: 70 }),
        fc.integer({ min: 1, max: 90 }),
        fc.constantFrom<Computing>({}, { precision: "bf16" }, {
          lora: { rank: 2, alpha: 4, targetModules: ["q_proj", "down_proj"], seed: "decoded" }
        }),
        fc.boolean(),
        (prompts, maxNewTokens, computing, windowed) => {
          const of = (whole: boolean) => {
            const meter = countedEngine({ cost: backend, whole })
            const { config, ...weights } = meter.engine.initial({ ...model, context: 128 })
            const shape = windowed ? { ...config, ...mistral } : config
            meter.engine.policy({ ...weights, config: shape }, computing)
              .sample(
                prompts.map((length) => new Int32Array(length).fill(1)),
                sampling(maxNewTokens),
                prompts.map(String)
              )
            const { terms, bytes } = meter.peaks().get("generation")!
            return {
              spent: meter.spentIn().get("generation")!,
              bytes,
              terms: [...terms],
              generated: meter.amounts().generated
            }
          }
          const [few, all] = [of(false), of(true)]
          assert.deepStrictEqual([few.bytes, few.terms, few.generated], [all.bytes, all.terms, all.generated])
          for (const what of ["flops", "calls", "traffic", "seconds"] as const) {
            // Prompts of several lengths reach a window at several tokens.
            const near = windowed && what !== "calls" ? 0.02 : 1e-9
            assert.approximately(few.spent[what] / all.spent[what], 1, near, what)
          }
        }
      ),
      { numRuns: 40 }
    )
  })

  it("of the host is charged by unit, and the start of an operation once", () => {
    const host = hostTally(rates)
    host.stage("Sft")
    assert.approximately(host.seconds(), 1e-3 + 1e-2, 1e-15)
    host.stage("Sft")
    assert.approximately(host.seconds(), 2e-3 + 1e-2, 1e-15)
    assert.strictEqual(host.during("learn", () => "done", () => 100), "done")
    assert.approximately(host.seconds(), 2e-3 + 1e-2 + 1e-5 + 100 * (1e-7 + 1e-8), 1e-15)
    assert.strictEqual(Effect.runSync(host.effect("pass", Effect.succeed(5), () => 3)), 5)
  })
})

describe("fitting", () => {
  it("finds rates that are not negative, and those behind exact timings", () => {
    const rate = fc.integer({ min: 0, max: 1000 })
    fc.assert(
      fc.property(rate, rate, rate, (call, byte, flop) => {
        const truth = { call: call * 1e-8, byte: byte * 1e-13, flop: flop * 1e-14 }
        const timings = [[1, 1], [1, 100], [100, 1], [50, 70], [90, 10]].map(([b, f]) => ({
          bytes: 1e5 * b!,
          flops: 1e6 * f!,
          calls: 3,
          seconds: truth.call + truth.byte * 1e5 * b! + truth.flop * 1e6 * f!
        }))
        const found = ratesOf(timings)
        const scale = timings.reduce((sum, { seconds }) => sum + seconds, 0)
        for (const { bytes, flops, seconds } of timings) {
          assert.approximately(found.call + found.byte * bytes + found.flop * flops, seconds, 1e-3 * scale)
        }
        assert.isAtLeast(Math.min(found.call, found.byte, found.flop), 0)
      }),
      { numRuns: 50 }
    )
  })

  it("keeps what all of it took", () => {
    const seconds = fc.integer({ min: 1, max: 1000 })
    fc.assert(fc.property(fc.array(fc.tuple(seconds, seconds, seconds), { minLength: 1, maxLength: 12 }), (rows) => {
      const timings = rows.map(([s, b, f]) => ({ seconds: s, bytes: b, flops: f, calls: 2 }))
      const { byte, call, flop } = ratesOf(timings)
      const fitted = timings.reduce(
        (sum, { bytes, calls, flops }) => sum + calls * (call + byte * bytes + flop * flops),
        0
      )
      const taken = timings.reduce((sum, { calls, seconds }) => sum + calls * seconds, 0)
      assert.approximately(fitted, taken, 1e-9 * taken)
    }))
    assert.deepStrictEqual(ratesOf([]), { call: 0, byte: 0, flop: 0 })
  })

  it("has no negative coefficient where least squares has", () => {
    const rows = [{ a: [1, 0], y: 1, weight: 1 }, { a: [1, 1], y: 0.5, weight: 1 }]
    const [first, second] = nonNegative(rows)
    assert.approximately(first!, 0.75, 1e-9)
    assert.strictEqual(second, 0)
  })
})

describe("the clock", () => {
  it("gives each piece of work its own time, without the pieces inside it", () => {
    let now = 0
    const times = clock(() => now)
    const whole = times.begin()
    now += 1
    times.during("learn", () => {
      now += 2
      times.during("encode", () => void (now += 4), () => 7)
    }, () => 5)
    assert.strictEqual(whole(), 1)
    assert.deepStrictEqual(times.timings().get("learn"), [{ flops: 0, bytes: 5, calls: 1, seconds: 2 }])
    assert.deepStrictEqual(times.timings().get("encode"), [{ flops: 0, bytes: 7, calls: 1, seconds: 4 }])
    assert.deepStrictEqual([...times.done()], [["encode", 7], ["learn", 5]])
  })

  it("changes nothing of what a backend computes, and counts its calls as the plan does", () => {
    const of = (backend: ReturnType<typeof reference>) => {
      const policy = transformer(backend).policy(initial(model))
      const { logps } = policy.learn(rowsOf([3, 5]), ({ length }) => new Float64Array(length).fill(-0.1))
      policy.step(update)
      return [...logps, ...policy.logprobs(rowsOf([4])).logps]
    }
    const times = clock(() => 0)
    assert.deepStrictEqual(of(times.backend(reference()) as ReturnType<typeof reference>), of(reference()))
    const counted = new Map<string, number>()
    const single = counting({ cost: (what) => (counted.set(what, (counted.get(what) ?? 0) + 1), 0) })
    of(single as never)
    const timed = new Map(
      [...times.timings()].map(([what, sizes]) => [what, sizes.reduce((sum, { calls }) => sum + calls, 0)])
    )
    assert.deepStrictEqual([...timed].sort(), [...counted].sort())
  })
})
