/** The merge methods by hand, against PyTorch, and their laws (RECIPES §4, invariant 37). */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Tensors } from "../../src/engine/engine.ts"
import { best, type Judged, type Soup } from "../../src/merging/best.ts"
import { dare } from "../../src/merging/dare.ts"
import { greedySoup } from "../../src/merging/greedySoup.ts"
import { linear } from "../../src/merging/linear.ts"
import { posterior } from "../../src/merging/posterior.ts"
import { arc, slerp, taskSlerp } from "../../src/merging/slerp.ts"
import { taskArithmetic } from "../../src/merging/taskArithmetic.ts"
import { ties } from "../../src/merging/ties.ts"
import { assertSame, flat, tensors, vector, weights } from "./models.ts"

const plain = { normalize: false }
const numbers = (length: number) =>
  fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: length, maxLength: length })
/** Gives each model the score that it asks for. */
const scored = (asking: Judged, score: (tensors: Tensors) => number): Soup => {
  let step = asking.next()
  while (step.done !== true) step = asking.next(score(step.value))
  return step.value
}
const norm = (v: ArrayLike<number>): number => Math.hypot(...Array.from(v))

describe("by hand", () => {
  it("linear, normalised and not", () => {
    const models = { a: vector(1, 2), b: vector(3, -2) }
    assertSame(linear(models, { weights: { a: 0.25, b: 0.75 }, normalize: false }), vector(2.5, -1))
    assertSame(linear(models, { weights: { a: 1, b: 3 }, normalize: true }), vector(2.5, -1))
    assertSame(linear(models, plain), vector(2, 0))
  })

  it("task arithmetic: 1 + ½ ((3 − 1) + (0 − 1)) = 1.5", () => {
    assertSame(taskArithmetic(vector(1), { a: vector(3), b: vector(0) }, { lambda: 0.5 }), vector(1.5))
  })

  it("SLERP of (1, 0) and (0, 1) at ⅓ is (cos 30°, sin 30°)", () => {
    assertSame(
      slerp({ a: vector(1, 0), b: vector(0, 1) }, { weights: { a: 2 / 3, b: 1 / 3 } }),
      vector(Math.sqrt(0.75), 0.5)
    )
    // The same arc around a base.
    assertSame(
      taskSlerp(vector(5, 5), { a: vector(6, 5), b: vector(5, 6) }, { weights: { a: 2 / 3, b: 1 / 3 } }),
      vector(5 + Math.sqrt(0.75), 5.5)
    )
  })

  it("SLERP by layer takes one angle of all tensors of a layer, and its own outside the layers", () => {
    const model = (q: ReadonlyArray<number>, k: ReadonlyArray<number>, norm: ReadonlyArray<number>): Tensors =>
      new Map(
        Object.entries({ "model.layers.0.q": q, "model.layers.0.k": k, "model.norm": norm }).map(([name, data]) => [
          name,
          { shape: [data.length], data: Float64Array.from(data) }
        ])
      )
    const [a, b] = [model([1, 0], [0, 2], [1, 0]), model([0, 1], [0, 2], [0, 1])]
    const half = { weights: { a: 0.5, b: 0.5 } }
    const near = (found: ArrayLike<number>, wanted: ReadonlyArray<number>) =>
      wanted.forEach((x, i) => assert.closeTo(found[i]!, x, 1e-12))
    const layer = slerp({ a, b }, { ...half, per: "layer" })
    // cos Ω = (0 + 4) / (√5 √5) = 0.8 of the layer; both coefficients are 1 / (2 cos ½Ω) = 1 / √(2 · 1.8).
    const c = 1 / Math.sqrt(3.6)
    near(layer.get("model.layers.0.q")!.data, [c, c])
    near(layer.get("model.layers.0.k")!.data, [0, 4 * c])
    near(layer.get("model.norm")!.data, [Math.SQRT1_2, Math.SQRT1_2])
    // By tensor k is the same in both, so that it stays; around a base, by either.
    near(slerp({ a, b }, half).get("model.layers.0.k")!.data, [0, 2])
    const base = model([5, 5], [5, 5], [5, 5])
    const shift = (of: Tensors): Tensors =>
      new Map([...of].map(([name, { data, shape }]) => [name, { shape, data: data.map((x) => x + 5) }]))
    assertSame(taskSlerp(base, { a: shift(a), b: shift(b) }, { ...half, per: "layer" }), shift(layer))
  })

  it("the posterior of domains: by hand, in log space, its largest alone", () => {
    const close = (found: Readonly<Record<string, number>>, wanted: Readonly<Record<string, number>>) => {
      for (const [name, w] of Object.entries(wanted)) assert.closeTo(found[name]!, w, 1e-11, name)
    }
    const logs = (...p: ReadonlyArray<number>) => p.map((x) => Math.log(x) - 5000)
    // Documents 1 and 2: (3, 1, 0) / 4 and (1, 2, 1) / 4; their mean is (½, ⅜, ⅛).
    const all = { a: logs(0.3, 0.1), b: logs(0.1, 0.2), c: [-Infinity, Math.log(0.1) - 5000] }
    close(posterior(all), { a: 1 / 2, b: 3 / 8, c: 1 / 8 })
    close(posterior(all, 2), { a: 4 / 7, b: 3 / 7, c: 0 })
    close(posterior({ c: all.c, b: all.b, a: all.a }, 2), { a: 4 / 7, b: 3 / 7, c: 0 })
    close(posterior(all, 1), { a: 1, b: 0, c: 0 })
  })

  it("TIES: trim, elect, disjoint mean", () => {
    const base = vector(10, 10, 10, 10)
    // τ_a = (4, −1, 3, 0.1), τ_b = (2, 5, −4, 0.2); half of each is kept: (4, 0, 3, 0) and (0, 5, −4, 0).
    const models = { a: vector(14, 9, 13, 10.1), b: vector(12, 15, 6, 10.2) }
    // Elected +, +, −, none; the means of those that agree are 4, 5, −4.
    assertSame(ties(base, models, { density: 0.5, lambda: 1 }), vector(14, 15, 6, 10))
    assertSame(ties(base, models, { density: 0.5, lambda: 0.5 }), vector(12, 12.5, 8, 10))
    // Nothing is trimmed: the first is the mean of 4 and 2, the third elects − by −4 against 3.
    assertSame(ties(base, models, { density: 1, lambda: 1 }), vector(13, 15, 6, 10.15))
  })

  it("DARE keeps an element as τ / (1 − p) or drops it", () => {
    const merged = dare(vector(1, 1, 1, 1, 1, 1, 1, 1), { a: vector(3, 3, 3, 3, 3, 3, 3, 3) }, {
      dropRate: 0.5,
      lambda: 1,
      seed: "by hand"
    })
    const values = new Set(flat(merged))
    assert.deepStrictEqual([...values].sort(), [1, 5])
  })

  it("a linear merge takes its weights as they are, and with normalize over their sum", () => {
    const [models, weights] = [{ a: vector(3), b: vector(6) }, { a: 2, b: 1 }]
    assertSame(linear(models, { weights, normalize: false }), vector(12))
    assertSame(linear(models, { weights, normalize: true }), vector(4))
  })

  it("DARE drops other elements of each tensor and of each model", () => {
    const length = 64
    const like = (value: number): Tensors =>
      new Map(["x", "y"].map((name) => [name, { shape: [length], data: new Float64Array(length).fill(value) }]))
    const merged = (models: Readonly<Record<string, Tensors>>) =>
      dare(like(0), models, { dropRate: 0.5, lambda: 1, seed: "apart" })
    const [a, b] = [merged({ a: like(1) }), merged({ b: like(1) })]
    assert.notDeepEqual(a.get("x")!.data, a.get("y")!.data)
    assert.notDeepEqual(a.get("x")!.data, b.get("x")!.data)
  })

  it("a greedy soup takes the best and leaves out what makes it worse", () => {
    // The nearer to 0 the better: 1; then its mean with −3, −1, as good; then with 9, which would be 7/3.
    const score = (of: Tensors) => -Math.abs(flat(of)[0]!)
    const soup = scored(greedySoup({ bad: vector(9), best: vector(1), second: vector(-3) }), score)
    assert.deepStrictEqual([soup.ingredients, soup.score], [["best", "second"], -1])
    assert.deepStrictEqual(soup.scores, { bad: -9, best: -1, second: -3 })
    const first = scored(best({ bad: vector(9), best: vector(1), second: vector(-3) }), score)
    assert.deepStrictEqual([first.ingredients, first.score, first.scores], [["best"], -1, soup.scores])
    assert.deepStrictEqual(scored(best({ b: vector(-1), a: vector(1) }), score).ingredients, ["a"])
    // Of the same score: by name, not by place.
    assert.deepStrictEqual(scored(greedySoup({ b: vector(-1), a: vector(1) }), score).ingredients, ["a", "b"])
    assert.deepStrictEqual(scored(greedySoup({ a: vector(1), b: vector(-1) }), score).ingredients, ["a", "b"])
  })
})

describe("PyTorch", () => {
  const path = fileURLToPath(new URL("../golden/merging.json", import.meta.url))
  type Json = Readonly<Record<string, { readonly shape: ReadonlyArray<number>; readonly data: ReadonlyArray<number> }>>
  interface Fixture {
    readonly base: Json
    readonly models: Readonly<Record<"a" | "b" | "c", Json>>
    readonly results: Readonly<Record<string, Json>>
  }
  const stored = readFileSync(path, "utf8")
  const fixture = JSON.parse(stored) as Fixture
  const read = (json: Json): Tensors =>
    new Map(Object.entries(json).map(([name, { data, shape }]) => [name, { shape, data: Float64Array.from(data) }]))
  const base = read(fixture.base)
  const [a, b, c] = [read(fixture.models.a), read(fixture.models.b), read(fixture.models.c)]
  const ours: Readonly<Record<string, Tensors>> = {
    linear: linear({ a, b, c }, { weights: { a: 0.5, b: 0.2, c: 0.3 }, normalize: false }),
    uniform: linear({ a, b, c }, plain),
    taskArithmetic: taskArithmetic(base, { a, b, c }, { lambda: 0.4 }),
    slerp: slerp({ a, b }, { weights: { a: 0.7, b: 0.3 } }),
    taskSlerp: taskSlerp(base, { a, b }, { weights: { a: 0.4, b: 0.6 } }),
    liti: taskArithmetic(base, { a }, { lambda: 0.7 }),
    ties: ties(base, { a, b, c }, { density: 0.2, lambda: 1 }),
    tiesScaled: ties(base, { a, b, c }, { density: 0.7, lambda: 0.4 })
  }

  it("computes everything that it has", () => assert.sameMembers(Object.keys(ours), Object.keys(fixture.results)))

  it.each(Object.keys(ours))("%s", (name) => assertSame(ours[name]!, read(fixture.results[name]!)))

  it("makes the fixture again", () => {
    const ran = spawnSync("python3", [fileURLToPath(new URL("pytorch.py", import.meta.url))], { encoding: "utf8" })
    if (ran.error !== undefined || ran.stderr.includes("ModuleNotFoundError")) {
      console.warn("skipped: python3 with torch is not there, so the fixture is not made again")
      return
    }
    const again = JSON.parse(ran.stdout) as Fixture
    for (const name of Object.keys(fixture.results)) {
      assertSame(read(again.results[name]!), read(fixture.results[name]!))
    }
  })
})

describe("invariant 37", () => {
  const property = <T>(arbitrary: fc.Arbitrary<T>, law: (drawn: T) => void) =>
    fc.assert(fc.property(arbitrary, law), { numRuns: 100 })
  const two = fc.record({ base: tensors, a: tensors, b: tensors })
  const half = { a: 0.5, b: 0.5 }

  it("invariant 37: weights (1, 0) are the identity, and equal models merge into that model", () => {
    property(two, ({ a, b, base }) => {
      assertSame(linear({ a, b }, { weights: { a: 1, b: 0 }, normalize: false }), a)
      assertSame(linear({ a }, plain), a)
      assertSame(linear({ a, b: a }, plain), a)
      assertSame(slerp({ a, b: a }, { weights: half }), a)
      assertSame(taskSlerp(base, { a, b: a }, { weights: half }), a)
      assertSame(ties(base, { a, b: a }, { density: 1, lambda: 1 }), a)
    })
  })

  it("invariant 37: linear merges of linear merges multiply their weights", () => {
    property(fc.record({ a: tensors, b: tensors, c: tensors, inner: weights(2), outer: weights(2) }), (drawn) => {
      const { a, b, c, inner, outer } = drawn
      const ab = linear({ a, b }, { weights: { a: inner[0]!, b: inner[1]! }, normalize: false })
      const nested = linear({ ab, c }, { weights: { ab: outer[0]!, c: outer[1]! }, normalize: false })
      const flat = { a: outer[0]! * inner[0]!, b: outer[0]! * inner[1]!, c: outer[1]! }
      assertSame(nested, linear({ a, b, c }, { weights: flat, normalize: false }), 1e-11)
    })
  })

  it("invariant 37: the order of the models changes nothing", () => {
    property(two, ({ a, b, base }) => {
      const weights = { a: 0.3, b: 0.7 }
      assertSame(linear({ a, b }, { weights, normalize: false }), linear({ b, a }, { weights, normalize: false }))
      assertSame(taskArithmetic(base, { a, b }, { lambda: 0.4 }), taskArithmetic(base, { b, a }, { lambda: 0.4 }))
      assertSame(slerp({ a, b }, { weights }), slerp({ b, a }, { weights }))
      assertSame(taskSlerp(base, { a, b }, { weights }), taskSlerp(base, { b, a }, { weights }))
      assertSame(ties(base, { a, b }, { density: 0.5, lambda: 1 }), ties(base, { b, a }, { density: 0.5, lambda: 1 }))
      const dropped = { dropRate: 0.5, lambda: 1, seed: "order" }
      assertSame(dare(base, { a, b }, dropped), dare(base, { b, a }, dropped))
    })
  })

  it("invariant 37: task arithmetic and LITI at 0 are the base, at 1 the one model", () => {
    property(two, ({ a, b, base }) => {
      assertSame(taskArithmetic(base, { a, b }, { lambda: 0 }), base, 0)
      assertSame(taskArithmetic(base, { a }, { lambda: 1 }), a)
    })
  })

  it("invariant 37: SLERP ends at a and b, is symmetric under t → 1 − t and keeps the norm of unit vectors", () => {
    property(
      fc.record({ a: numbers(4), b: numbers(4), t: fc.double({ min: 0, max: 1, noNaN: true }) })
        .filter(({ a, b }) => norm(a) > 0.1 && norm(b) > 0.1),
      ({ a, b, t }) => {
        const close = (x: ArrayLike<number>, y: ArrayLike<number>) =>
          Array.from(x).forEach((value, i) => assert.closeTo(value, y[i]!, 1e-12))
        close(arc(a, b, 0), a)
        close(arc(a, b, 1), b)
        close(arc(a, b, t), arc(b, a, 1 - t))
        const [u, v] = [a.map((x) => x / norm(a)), b.map((x) => x / norm(b))]
        const cosine = u.reduce((sum, x, i) => sum + x * v[i]!, 0)
        // The chord, taken near 0 and π, does not keep it.
        if (Math.abs(cosine) <= 0.9995) assert.closeTo(norm(arc(u, v, t)), 1, 1e-9)
      }
    )
  })

  it("invariant 37: SLERP approaches LERP as the angle approaches 0", () => {
    const gap = (angle: number) => {
      const [a, b] = [[1, 0], [Math.cos(angle), Math.sin(angle)]]
      return norm(arc(a, b, 0.3).map((x, i) => x - (0.7 * a[i]! + 0.3 * b[i]!)))
    }
    // Quadratic in the angle: a tenth of it, a hundredth of the gap; within the threshold none.
    assert.closeTo(gap(0.5) / gap(0.05), 100, 2)
    assert.isBelow(gap(0.0317), 1.5e-4)
    assert.strictEqual(gap(0.02), 0)
  })

  it("invariant 37: DARE at p = 0 is task arithmetic, and its mean over seeds is too", () => {
    property(two, ({ a, b, base }) => {
      const options = { dropRate: 0, lambda: 0.5, seed: "p0" }
      assertSame(dare(base, { a, b }, options), taskArithmetic(base, { a, b }, { lambda: 0.5 }))
    })
    const [base, a] = [vector(1, -2, 0.5), vector(2, 1, 0)]
    const [n, dropRate] = [4000, 0.7]
    const sum = [0, 0, 0]
    for (let k = 0; k < n; k++) {
      flat(dare(base, { a }, { dropRate, lambda: 1, seed: String(k) })).forEach((x, i) => sum[i]! += x / n)
    }
    // Five standard errors of τ · Bernoulli(0.3) / 0.3.
    const tau = [1, 3, -0.5]
    sum.forEach((mean, i) =>
      assert.closeTo(mean, flat(a)[i]!, 5 * Math.abs(tau[i]!) * Math.sqrt(dropRate / (1 - dropRate) / n))
    )
  })

  it("invariant 37: TIES of one model with nothing trimmed is that model, and signs that disagree are never averaged", () => {
    property(
      fc.record({
        base: tensors,
        a: tensors,
        b: tensors,
        c: tensors,
        density: fc.double({ min: 0.1, max: 1, noNaN: true })
      }),
      (d) => {
        const { a, b, base, c, density } = d
        assertSame(ties(base, { a }, { density: 1, lambda: 1 }), a)
        const [x, y] = [flat(ties(base, { a, b, c }, { density, lambda: 1 })), flat(base)]
        const models = [a, b, c].map(flat)
        x.forEach((value, i) => {
          const moved = value - y[i]!
          if (Math.abs(moved) < 1e-12) return
          // The move is a mean of task vectors of its own sign: no larger than the largest, no smaller than the smallest of these.
          const agreeing = models.map((of) => of[i]! - y[i]!).filter((tau) => Math.sign(tau) === Math.sign(moved))
          const sizes = agreeing.map(Math.abs)
          assert.isAtLeast(Math.abs(moved), Math.min(...sizes) - 1e-12)
          assert.isAtMost(Math.abs(moved), Math.max(...sizes) + 1e-12)
        })
      }
    )
  })

  it("invariant 37: negated task vectors give the negated merge", () => {
    property(two, ({ a, b, base }) => {
      const negated = (of: Tensors) => linear({ base, of }, { weights: { base: 2, of: -1 }, normalize: false })
      for (
        const method of [
          (x: Tensors, y: Tensors) => ties(base, { x, y }, { density: 1, lambda: 1 }),
          (x: Tensors, y: Tensors) => taskSlerp(base, { x, y }, { weights: { x: 0.4, y: 0.6 } })
        ]
      ) assertSame(method(negated(a), negated(b)), negated(method(a, b)), 1e-9)
    })
  })

  it("invariant 37: a greedy soup never scores below its best ingredient", () => {
    property(
      fc.record({ a: tensors, b: tensors, c: tensors, probe: numbers(12) }),
      ({ a, b, c, probe }) => {
        const score = (of: Tensors) => Math.sin(flat(of).reduce((sum, x, i) => sum + x * probe[i]!, 0))
        const soup = scored(greedySoup({ a, b, c }), score)
        assert.isAtLeast(soup.score, Math.max(score(a), score(b), score(c)))
        assert.strictEqual(soup.score, score(soup.tensors))
      }
    )
  })

  it("invariant 37: float32 models stay float32, each element rounded once", () => {
    const single = (...data: ReadonlyArray<number>): Tensors =>
      new Map([["x", { shape: [data.length], data: Float32Array.from(data) }]])
    const { data } = linear({ a: single(0.1, 1), b: single(0.2, 2) }, plain).get("x")!
    assert.instanceOf(data, Float32Array)
    assert.deepStrictEqual([...data], [Math.fround((Math.fround(0.1) + Math.fround(0.2)) / 2), 1.5])
  })
})
