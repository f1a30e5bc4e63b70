import fc from "fast-check"
import { assert, it } from "vitest"
import type { Backend, Host, Precision } from "../../src/tensor/backend.ts"
import { reference } from "../../src/tensor/reference.ts"
import { head } from "./kernels/head.ts"
import { linear } from "./kernels/linear.ts"
import { assertClose, assertSameBits, draws, execute } from "./kernelLaw.ts"
import type { KernelCase } from "./kernelLaw.ts"

const bits = new Uint32Array(1)
const number = new Float32Array(bits.buffer)

/** x with 8 bits of mantissa, to nearest, ties to even. */
export const bfloat16 = (x: number): number => {
  number[0] = x
  bits[0] = ((bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000) >>> 0
  return number[0]!
}

const rounded = (x: Float32Array): Float32Array => x.map(bfloat16)

const dataOf = (example: KernelCase, name: string): Float32Array => {
  const argument = example.reals[name]!
  assert.notStrictEqual(argument.role, "out")
  return (argument as { readonly data: Float32Array }).data
}

/** The case with some of its inputs rounded to bfloat16. */
const withRounded = (example: KernelCase, names: ReadonlyArray<string>): KernelCase => ({
  ...example,
  reals: {
    ...example.reals,
    ...Object.fromEntries(names.map((name) => [name, { role: "in", data: rounded(dataOf(example, name)) } as const]))
  }
})

/**
 * The inputs that are factors of products, by law. `linearBackward` adds up the columns of dOut as they are, so its bias
 * gradient is that of the case not rounded.
 */
const factors: Readonly<Record<string, ReadonlyArray<string>>> = {
  "linear": ["x", "w"],
  "packWeight and linearPacked": ["x", "w"],
  "linearBackward": ["dOut", "x", "w"],
  "head": ["h", "w"]
}

const checkRounded = (backend: Backend, name: string, tolerance: number): void => {
  const law = [...linear, ...head].find((law) => law.name === name)!
  law.forCases((example, padding) => {
    const actual = execute(backend, example, NaN, padding)
    const exact = execute(reference(), example, NaN, 0)
    const expected = execute(reference(), withRounded(example, factors[name]!), NaN, 0)
    const again = execute(backend, example, 12345, padding)
    for (const [result, value] of actual) {
      const want = (result === "dBias" ? exact : expected).get(result)!
      assertClose(result, value, want, tolerance, example.magnitude?.[result])
      assertSameBits(result, value, again.get(result)!)
    }
  })
}

/**
 * dH = round(dZ) round(w) and dW += round(dZ)ᵀ round(h) with dZ = dLogp (1[target] − p) / T from logits of rounded factors.
 * An element of dZ within 10⁻⁵ of where rounding turns may go either way: what that changes is allowed on top.
 */
const checkHeadBackward = (backend: Backend, tolerance: number): void => {
  const shapes = fc.record({
    rows: fc.integer({ min: 1, max: 70 }),
    dim: fc.integer({ min: 1, max: 70 }),
    vocab: fc.integer({ min: 1, max: 150 }),
    temperature: fc.constantFrom(1, 0.7, 1.5),
    seed: fc.integer()
  })
  fc.assert(fc.property(shapes, ({ dim, rows, seed, temperature, vocab }) => {
    const draw = draws(seed)
    const [h, w, dLogps] = [draw(rows * dim), draw(vocab * dim), draw(rows)] as const
    const [hs, ws] = [rounded(h), rounded(w)] as const
    const targets = Int32Array.from({ length: rows }, (_, n) => n * 7 % vocab)
    const lse = new Float32Array(rows)
    const dZ = new Float64Array(rows * vocab)
    for (let n = 0; n < rows; n++) {
      const z = Float64Array.from({ length: vocab }, (_, v) => {
        let sum = 0
        for (let c = 0; c < dim; c++) sum += hs[n * dim + c]! * ws[v * dim + c]!
        return sum / temperature
      })
      lse[n] = Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0))
      z.forEach((x, v) => {
        dZ[n * vocab + v] = dLogps[n]! * (Number(v === targets[n]) - Math.exp(x - lse[n]!)) / temperature
      })
    }
    const factor = dZ.map(bfloat16)
    const unsure = dZ.map((x) => Math.abs(bfloat16(x * (1 + 1e-5)) - bfloat16(x * (1 - 1e-5))))
    const [dH, dW] = [new Float64Array(rows * dim), new Float64Array(vocab * dim)] as const
    let slack = 0
    for (let n = 0; n < rows; n++) {
      for (let v = 0; v < vocab; v++) {
        slack += unsure[n * vocab + v]!
        for (let c = 0; c < dim; c++) {
          dH[n * dim + c]! += factor[n * vocab + v]! * ws[v * dim + c]!
          dW[v * dim + c]! += factor[n * vocab + v]! * hs[n * dim + c]!
        }
      }
    }
    const put = (data: Host) => {
      const tensor = backend.reals(data.length)
      backend.write(tensor, data)
      return tensor
    }
    const ids = backend.ints(rows)
    backend.writeInts(ids, targets)
    const out = { dH: put(dH.map(() => NaN)), dW: put(dW.map(() => 0)) }
    const inputs = [put(dLogps), put(h), put(w), put(lse)] as const
    backend.headBackward(out, inputs[0], inputs[1], inputs[2], ids, inputs[3], {
      rows,
      dim,
      vocab,
      temperature,
      cap: 0
    })
    // `assertClose` measures by the largest result: slack is brought to that scale.
    const allowed = (scale: number) => tolerance + slack / scale
    assertClose("dH", backend.read(out.dH), dH, allowed(1 / temperature), 1 / temperature)
    assertClose("dW", backend.read(out.dW), dW, allowed(1 / temperature), 1 / temperature)
    for (const buffer of [out.dH, out.dW, ...inputs, ids]) backend.free(buffer)
  }))
}

/** What `at` gives: another precision of products over the same memory. */
export const precisionLaws = (backend: () => Backend, tolerance: number): void => {
  const product = (b: Backend): Host => {
    const draw = draws(7)
    const [x, w, out] = [b.reals(5 * 33), b.reals(9 * 33), b.reals(45)] as const
    b.write(x, draw(x.length))
    b.write(w, draw(w.length))
    b.linear(out, x, w, null, 5, 33, 9)
    const result = b.read(out)
    for (const buffer of [x, w, out]) b.free(buffer)
    return result
  }

  it("at gives the precisions that are offered, over the same memory", () => {
    const b = backend()
    assert.include(b.precisions, "f32")
    for (const precision of ["f32", "bf16"] satisfies ReadonlyArray<Precision>) {
      if (!b.precisions.includes(precision)) {
        assert.throws(() => b.at(precision))
        continue
      }
      const other = b.at(precision)
      assert.strictEqual(other.name, b.name)
      assert.deepEqual(other.precisions, b.precisions)
      const tensor = other.reals(3)
      other.write(tensor, new Float32Array([1, 2, 3]))
      assert.deepEqual(Array.from(b.read(tensor)), [1, 2, 3])
      assert.deepEqual(b.memory(), other.memory())
      b.free(tensor)
      assert.deepEqual(b.memory(), other.memory())
      // Whatever was asked for before, the precision asked for last holds.
      assertSameBits("at f32", product(other.at("f32")), product(b.at("f32")), "after another precision")
      assertSameBits(`at ${precision}`, product(b.at("f32").at(precision)), product(other), "after f32")
    }
  })

  it("bf16 rounds the factors of products and nothing else", (context) => {
    const b = backend()
    if (!b.precisions.includes("bf16")) return context.skip(`${b.name} offers no bf16`)
    const low = b.at("bf16")
    const law = linear[0]!
    const [exact, coarse] = [execute(b, law.sample, NaN, 0), execute(low, law.sample, NaN, 0)]
    assert.notDeepEqual(coarse, exact)
    for (const name of Object.keys(factors)) checkRounded(low, name, tolerance)
    checkHeadBackward(low, tolerance)
  })
}
