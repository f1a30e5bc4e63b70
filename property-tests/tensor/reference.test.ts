import { assert, describe, it } from "vitest"
import type { Backend, Tensor } from "../../src/tensor/backend.ts"
import { reference } from "../../src/tensor/reference.ts"
import { conformance } from "./conformance.ts"
import { assertClose } from "./kernelLaw.ts"

conformance("reference", reference, 0)

/** Runs kernels on a fresh backend: `put` uploads doubles, `read` downloads them. */
const compute = <A>(f: (b: Backend, put: (data: ArrayLike<number>) => Tensor) => A): A => {
  const backend = reference()
  return f(backend, (data) => {
    const tensor = backend.reals(data.length)
    backend.write(tensor, Float64Array.from(data))
    return tensor
  })
}

const intsOf = (b: Backend, data: ArrayLike<number>) => {
  const ints = b.ints(data.length)
  b.writeInts(ints, Int32Array.from(data))
  return ints
}

const close = (label: string, actual: ArrayLike<number>, expected: ReadonlyArray<number>): void =>
  assertClose(label, Float64Array.from(actual), Float64Array.from(expected), 1e-14, 1)

describe("reference, hand-worked", () => {
  it("fresh buffers hold nothing usable, freed ones are refused", () => {
    const b = reference()
    const x = b.reals(3)
    const ids = b.ints(2)
    assert.deepEqual(b.memory(), { live: 3 * 8 + 2 * 4, peak: 32 })
    assert.isTrue(b.read(x).every(Number.isNaN))
    assert.throws(() => b.embed(b.reals(6), x, ids, 3), /embed: ids\[0\] is -2147483648, expected 0 to 0/)
    const slice = b.slice(x, 1, 2)
    assert.throws(() => b.free(slice), /slice of length 2/)
    assert.throws(() => b.add(x, slice), /add: x has length 2, expected 3/)
    b.free(x)
    assert.throws(() => b.read(slice), /read: from \(length 2\) was freed/)
    assert.throws(() => b.zero(x), /zero: of \(length 3\) was freed/)
    assert.throws(() => b.free(x), /freed/)
  })

  it("linear", () =>
    compute((b, put) => {
      const out = b.reals(6)
      b.linear(out, put([1, 2, 0, -1]), put([3, 4, 5, 6, 7, 8]), put([1, 0, -1]), 2, 2, 3)
      close("out", b.read(out), [12, 17, 22, -3, -6, -9])
    }))

  it("linearBackward writes or adds dX, always adds dW and dBias", () =>
    compute((b, put) => {
      const [dX, dW, dBias] = [put([100, 200, 300, 400]), put([1, 1, 1, 1, 1, 1]), put([0, 10, 20])] as const
      const args = [put([1, 0, 2, 0, 1, -1]), put([1, 2, 0, -1]), put([3, 4, 5, 6, 7, 8]), 2, 2, 3] as const
      b.linearBackward({ dX, accumulate: true, dW: null, dBias: null }, ...args)
      close("dX added", b.read(dX), [117, 220, 298, 398])
      b.linearBackward({ dX, accumulate: false, dW, dBias }, ...args)
      close("dX written", b.read(dX), [17, 20, -2, -2])
      close("dW", b.read(dW), [2, 3, 1, 0, 3, 6])
      close("dBias", b.read(dBias), [1, 11, 21])
    }))

  it("rmsNormBackward adds when asked, and leaves what is outside the groups", () =>
    compute((b, put) => {
      const shape = { rows: 1, groups: 1, dim: 2, stride: 3, offset: 1, eps: 0, plus: 0 }
      const [x, weight, dOut, inv] = [put([9, 1, 1]), put([2, 4]), put([9, 3, 1]), put([1])] as const
      const [dX, dWeight] = [put([50, 60, 70]), put([7, 8])] as const
      // d = (6, 4), u = (1, 1), mean(d·u) = 5.
      b.rmsNormBackward({ dX, accumulate: true, dWeight }, dOut, x, weight, inv, shape)
      close("dX added", b.read(dX), [50, 61, 69])
      close("dWeight", b.read(dWeight), [10, 9])
      b.rmsNormBackward({ dX, accumulate: false, dWeight: null }, dOut, x, weight, inv, shape)
      close("dX written", b.read(dX), [50, 1, -1])
    }))

  it("rmsNorm of the second and third pair of a row", () =>
    compute((b, put) => {
      const x = put([9, 9, 3, 4, 0, 2, 9])
      const inv = b.reals(2)
      b.rmsNorm(x, x, put([10, 20]), inv, { rows: 1, groups: 2, dim: 2, stride: 7, offset: 2, eps: 0, plus: 0 })
      const first = Math.SQRT2 / 5
      const second = Math.SQRT1_2
      close("inv", b.read(inv), [first, second])
      close("x", b.read(x), [9, 9, 30 * first, 80 * first, 0, 40 * second, 9])
    }))

  it("rope by a quarter turn moves the second half to the first", () =>
    compute((b, put) => {
      const x = put([1, 2, 3, 4, 5, 6])
      const shape = { heads: 1, headDim: 4, turned: 4, stride: 6, inverse: false }
      b.rope(x, put([1, 1, 0, 0]), put([0, 0, 1, 1]), intsOf(b, [1]), shape)
      close("x", b.read(x), [-3, -4, 1, 2, 5, 6])
    }))

  /** Two heads, one key head, headDim 1, zero queries: uniform attention over what is visible. */
  const uniform = (values: ReadonlyArray<number>, starts: ReadonlyArray<number>, window: number) =>
    compute((b, put) => {
      const out = b.reals(2 * values.length)
      const lse = b.reals(2 * values.length)
      const shape = { heads: 2, kvHeads: 1, headDim: 1, scale: 1, window, cap: 0 }
      b.attention(out, lse, put(values.flatMap((v) => [0, 0, 5, v])), intsOf(b, starts), shape)
      return { out: b.read(out), lse: b.read(lse) }
    })

  it("attention is causal, per sequence, within the window", () => {
    const both = (xs: ReadonlyArray<number>) => xs.flatMap((x) => [x, x])
    const { lse, out } = uniform([1, 2, 6, 10], [0, 3, 4], 0)
    close("out", out, both([1, 1.5, 3, 10]))
    close("lse", lse, both([0, Math.log(2), Math.log(3), 0]))
    close("window 2", uniform([1, 2, 6, 10], [0, 4], 2).out, both([1, 1.5, 4, 8]))
  })

  it("attention scores are scale q·k, query heads share key heads in order", () =>
    compute((b, put) => {
      // 4 query heads on 2 key heads: heads 0 and 1 read value 1 and 3, heads 2 and 3 read value 2 and 4.
      const row = (k0: number, k1: number, v0: number, v1: number) => [1, 2, 1, 2, k0, k1, v0, v1]
      const out = b.reals(8)
      const lse = b.reals(8)
      const shape = { heads: 4, kvHeads: 2, headDim: 1, scale: 0.5, window: 0, cap: 0 }
      b.attention(out, lse, put([...row(0, 0, 1, 2), ...row(2 * Math.log(3), 0, 5, 4)]), intsOf(b, [0, 2]), shape)
      // Weights of the second row: 3/4 and 9/10 for the first key head, 1/2 for the other.
      close("out", b.read(out), [1, 1, 2, 2, 4, 4.6, 3, 3])
      close("lse", b.read(b.slice(lse, 4, 4)), [Math.log(4), Math.log(10), Math.log(2), Math.log(2)])
    }))

  it("swiglu", () =>
    compute((b, put) => {
      const out = b.reals(4)
      b.swiglu(out, put([0, Math.log(3), -800, 800, 7, 2, 5, 0.5]), 1, 4)
      close("out", b.read(out), [0, 1.5 * Math.log(3), 0, 400])
    }))

  it("gelu, exact and by its approximation", () =>
    compute((b, put) => {
      const of = (tanh: boolean, gated: boolean, x: ReadonlyArray<number>) => {
        const dim = gated ? x.length / 2 : x.length
        const out = b.reals(dim)
        b.gelu(out, put(x), { rows: 1, dim, gated, tanh })
        return b.read(out)
      }
      // Φ(1) = 0.841344746068543, Φ(−3) = 0.001349898031630, Φ(4) = 0.999968328758167
      close("exact", of(false, false, [0, 1, -3, 4]), [
        0,
        0.841344746068543,
        -3 * 0.00134989803163,
        4 * 0.999968328758167
      ])
      close("gated", of(false, true, [1, 0, 2, 7]), [2 * 0.841344746068543, 0])
      const t = Math.tanh(Math.sqrt(2 / Math.PI) * (1 + 0.044715))
      close("tanh", of(true, false, [1, 30, -30]), [(1 + t) / 2, 30, 0])
    }))

  it("layerNorm", () =>
    compute((b, put) => {
      const [out, stats] = [b.reals(4), b.reals(2)]
      b.layerNorm(out, put([1, 2, 3, 6]), put([1, 2, 3, 4]), put([10, 20, 30, 40]), stats, {
        rows: 1,
        dim: 4,
        eps: 0.5
      })
      // Mean 3, variance 3.5.
      close("stats", b.read(stats), [3, 0.5])
      close("out", b.read(out), [9, 19, 30, 46])
    }))

  it("softcap", () =>
    compute((b, put) => {
      const x = put([0, 3 * Math.atanh(0.5), -1e9])
      b.softcap(x, 3)
      close("x", b.read(x), [0, 1.5, -3])
    }))

  it("head", () =>
    compute((b, put) => {
      // Probabilities 1/8, 2/8, 5/8 at temperature 2.
      const w = put([0, 2 * Math.log(2), 2 * Math.log(5)])
      const [logps, lse, entropy] = [b.reals(2), b.reals(2), b.reals(2)] as const
      b.head({ logps, lse, entropy }, put([1, 0]), w, intsOf(b, [2, 1]), {
        rows: 2,
        dim: 1,
        vocab: 3,
        temperature: 2,
        cap: 0
      })
      close("logps", b.read(logps), [Math.log(5 / 8), -Math.log(3)])
      close("lse", b.read(lse), [Math.log(8), Math.log(3)])
      close("entropy", b.read(entropy), [(Math.log(8) + 2 * Math.log(4) + 5 * Math.log(8 / 5)) / 8, Math.log(3)])
    }))

  it("adamw moves by the learning rate at first, then by hand", () =>
    compute((b, put) => {
      const [params, grads, m, v] = [put([1, 1]), put([8, -4]), put([0, 0]), put([0, 0])] as const
      const update = { learningRate: 0.1, beta1: 0.5, beta2: 0.75, eps: 0, weightDecay: 0.5, gradScale: 0.25 }
      b.adamw(params, grads, m, v, { ...update, step: 1 })
      close("params", b.read(params), [1 - 0.1 * (1 + 0.5), 1 - 0.1 * (-1 + 0.5)])
      close("m", b.read(m), [1, -0.5])
      close("v", b.read(v), [1, 0.25])
      close("grads", b.read(grads), [0, 0])
      b.adamw(params, grads, m, v, { ...update, step: 2 })
      // m̂ = 0.5 / 0.75, v̂ = 0.75 / 0.4375
      const ratio = 0.5 / 0.75 / Math.sqrt(0.75 / 0.4375)
      close("params", b.read(params), [0.85 - 0.1 * (ratio + 0.425), 1.05 - 0.1 * (-ratio + 0.525)])
      // eps stands outside the root: 2 / (2 + 2).
      const [p, g, zero, zeroSquare] = [put([1]), put([2]), put([0]), put([0])] as const
      const first = { ...update, eps: 2, weightDecay: 0, gradScale: 1, step: 1 }
      b.adamw(p, g, zero, zeroSquare, first)
      close("eps", b.read(p), [0.95])
    }))

  it("embed, embedBackward, gatherRows, scatterRows", () =>
    compute((b, put) => {
      const ids = intsOf(b, [2, 0, 2])
      const out = b.reals(6)
      const table = put([1, 2, 3, 4, 5, 6])
      b.embed(out, table, ids, 2)
      close("embed", b.read(out), [5, 6, 1, 2, 5, 6])
      b.embedBackward(table, put([10, 20, 30, 40, 50, 60]), ids, 2)
      close("embedBackward", b.read(table), [31, 42, 3, 4, 65, 86])
      b.gatherRows(out, put([1, 2, 3, 4, 5, 6]), ids, 2)
      close("gatherRows", b.read(out), [5, 6, 1, 2, 5, 6])
      b.scatterRows(out, put([7, 8, 9, 10]), intsOf(b, [2, 0]), 2)
      close("scatterRows", b.read(out), [9, 10, 0, 0, 7, 8])
      assert.throws(() => b.scatterRows(out, put([7, 8, 9, 10]), intsOf(b, [1, 1]), 2), /distinct/)
    }))
})
