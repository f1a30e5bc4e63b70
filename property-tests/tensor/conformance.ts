import fc from "fast-check"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Backend } from "../../src/tensor/backend.ts"
import { gradientLaws } from "./gradients.ts"
import { assertClose, draws, execute, size } from "./kernelLaw.ts"
import type { Fewer, KernelCase, RealArgument } from "./kernelLaw.ts"
import { attentionShape, drawQkv, headsShapes, qkvWidth } from "./kernels/attention.ts"
import { ropeTables } from "./kernels/rope.ts"
import { laws } from "./laws.ts"
import { precisionLaws } from "./precision.ts"

/** The case with one of its buffers `by` elements longer. */
const resized = (example: KernelCase, name: string, by: number): KernelCase => {
  const resize = <A extends Float32Array | Int32Array>(data: A, like: (length: number) => A): A => {
    const other = like(data.length + by)
    other.set(data.subarray(0, other.length))
    return other
  }
  const argument = example.reals[name]
  if (argument === undefined) {
    const data = resize(example.ints[name]!, (length) => new Int32Array(length))
    return { ...example, ints: { ...example.ints, [name]: data } }
  }
  const changed: RealArgument = argument.role === "out"
    ? { role: "out", length: argument.length + by }
    : { role: argument.role, data: resize(argument.data, (length) => new Float32Array(length)) }
  return { ...example, reals: { ...example.reals, [name]: changed } }
}

/**
 * The laws every backend keeps. `tolerance` bounds the difference from `reference`, relative to the largest element of a
 * result; 0 asks for equality.
 */
export const conformance = (
  name: string,
  make: () => Backend | Promise<Backend>,
  tolerance: number,
  fewer?: Fewer
): void => {
  describe(`${name} conforms`, () => {
    let backend: Backend
    beforeAll(async () => {
      backend = await make()
    })
    afterAll(() => backend?.dispose())

    const put = (data: Float32Array) => {
      const tensor = backend.reals(data.length)
      backend.write(tensor, data)
      return tensor
    }
    const putInts = (data: ArrayLike<number>) => {
      const ints = backend.ints(data.length)
      backend.writeInts(ints, Int32Array.from(data))
      return ints
    }

    describe("kernels agree with reference, whatever outputs held, misaligned, twice the same bits", () => {
      for (const law of laws) it(law.name, () => law.check(backend, tolerance, fewer))
    })

    describe("a wrong shape throws", () => {
      for (const law of laws) {
        it(law.name, () => {
          // How many sequences `starts` divides the rows into is free: only its contents could be wrong.
          const buffers = [...Object.keys(law.sample.reals), ...Object.keys(law.sample.ints)].filter((x) =>
            x !== "starts"
          )
          // A kernel of one buffer takes any length.
          if (buffers.length === 1) return
          for (const buffer of buffers) {
            for (const by of [-1, 1]) {
              const example = resized(law.sample, buffer, by)
              let threw = false
              execute(
                backend,
                {
                  ...example,
                  // Only a refusal of the kernel counts, and nothing beside the slices may have been written by then.
                  call: (...passed) => {
                    try {
                      example.call(...passed)
                    } catch {
                      threw = true
                    }
                  }
                },
                0,
                0
              )
              assert.isTrue(threw, `${law.name} took ${buffer} ${by < 0 ? "shorter" : "longer"} by one element`)
            }
          }
        })
      }

      it("a packed weight of another length", () => {
        const [inputs, outputs] = [5, 7]
        const right = backend.packedLength(inputs, outputs)
        const [w, x, out] = [put(draws(1)(35)), put(draws(2)(10)), put(draws(3)(14))] as const
        for (const length of [right - 1, right + 1]) {
          const packed = put(draws(4)(length))
          assert.throws(() => backend.packWeight(packed, w, inputs, outputs))
          assert.throws(() => backend.linearPacked(out, x, packed, null, 2, inputs, outputs))
          backend.free(packed)
        }
        for (const tensor of [w, x, out]) backend.free(tensor)
      })

      it("memory", () => {
        const tensor = put(draws(1)(5))
        const ints = putInts([1, 2])
        assert.throws(() => backend.slice(tensor, 3, 3))
        assert.throws(() => backend.slice(tensor, -1, 3))
        assert.throws(() => backend.write(tensor, new Float32Array(6)))
        assert.throws(() => backend.write(tensor, new Float32Array(2), 4))
        assert.throws(() => backend.writeInts(ints, new Int32Array(3)))
        assert.throws(() => backend.writeInts(ints, new Int32Array(1), 2))
        backend.free(tensor)
        backend.free(ints)
      })
    })

    describe("gradients agree with finite differences", () => gradientLaws(() => backend, fewer?.runs))

    describe("precision", () => precisionLaws(() => backend, tolerance))

    it("write, slice, zero and read share memory", () => {
      fc.assert(fc.property(size(300), fc.nat(), fc.nat(), fc.integer(), (length, a, b, seed) => {
        const draw = draws(seed)
        const expected = draw(length)
        const tensor = put(expected)
        assert.strictEqual(tensor.length, length)
        const start = a % length
        const count = 1 + b % (length - start)
        const slice = backend.slice(tensor, start, count)
        assert.strictEqual(slice.length, count)
        assert.deepEqual(Array.from(backend.read(slice)), Array.from(expected.slice(start, start + count)))
        // A slice of a slice, written in the middle.
        const last = backend.slice(slice, count - 1, 1)
        const value = draw(1)
        backend.write(last, value)
        expected.set(value, start + count - 1)
        backend.write(tensor, value, start)
        expected.set(value, start)
        assert.deepEqual(Array.from(backend.read(tensor)), Array.from(expected))
        // What `read` gave is a copy.
        const copy = backend.read(tensor)
        backend.zero(slice)
        assert.deepEqual(Array.from(copy), Array.from(expected))
        expected.fill(0, start, start + count)
        assert.deepEqual(Array.from(backend.read(tensor)), Array.from(expected))
        backend.write(tensor, Float64Array.from(copy))
        assert.deepEqual(Array.from(backend.read(tensor)), Array.from(copy))
        backend.free(tensor)
      }))
    })

    it("memory counts the bytes of live buffers and their peak", () => {
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.boolean(), size(5000)), { minLength: 1, maxLength: 12 }), (requests) => {
          const before = backend.memory().live
          let bytes = 0
          const buffers = requests.map(([real, length]) => {
            const buffer = real ? backend.reals(length) : backend.ints(length)
            assert.strictEqual(buffer.dtype, real ? "real" : "int")
            assert.strictEqual(buffer.length, length)
            bytes += length * (real ? backend.realBytes : 4)
            const { live, peak } = backend.memory()
            assert.isAtLeast(live - before, bytes)
            assert.isAtLeast(peak, live)
            if (buffer.dtype === "real") backend.slice(buffer, 0, length)
            assert.strictEqual(backend.memory().live, live, "a slice takes no memory")
            return buffer
          })
          const most = backend.memory().live
          // A backend may round a buffer up to its alignment.
          assert.isAtMost(most - before, bytes + 256 * requests.length)
          // Freed out of order, each gives back what it took.
          for (const buffer of [...buffers.filter((_, i) => i % 2 === 1), ...buffers.filter((_, i) => i % 2 === 0)]) {
            const held = backend.memory().live
            backend.free(buffer)
            assert.isAtMost(backend.memory().live, held - buffer.length * 4)
          }
          assert.strictEqual(backend.memory().live, before)
          assert.isAtLeast(backend.memory().peak, most)
        })
      )
    })

    it("buffers do not overlap after others were freed", () => {
      fc.assert(fc.property(fc.array(fc.tuple(size(600), fc.nat(99)), { minLength: 2, maxLength: 40 }), (requests) => {
        const live: Array<{ readonly tensor: ReturnType<typeof put>; readonly data: Float32Array }> = []
        requests.forEach(([length, choice], i) => {
          const data = draws(i)(length)
          live.push({ tensor: put(data), data })
          if (choice < 50) backend.free(live.splice(choice % live.length, 1)[0]!.tensor)
        })
        for (const { data, tensor } of live) assert.deepEqual(Array.from(backend.read(tensor)), Array.from(data))
        for (const { tensor } of live) backend.free(tensor)
      }))
    })

    it("sumSquares is accumulated in double precision", () => {
      const sum = (data: Float32Array): number => {
        const whole = put(new Float32Array([7, ...data, 7]))
        const result = backend.sumSquares(backend.slice(whole, 1, data.length))
        backend.free(whole)
        return result
      }
      fc.assert(fc.property(size(20000), fc.integer(), (length, seed) => {
        const data = draws(seed)(length)
        let expected = 0
        for (const x of data) expected += x * x
        // n sums of positive doubles: n · 2⁻⁵³. In float32 the error would be 1e-6 or more.
        assert.approximately(sum(data), expected, length * 2 ** -52 * expected)
        assert.strictEqual(sum(data), sum(data))
      }))
      const huge = Math.fround(1e30)
      assert.approximately(sum(new Float32Array([huge, huge])), 2 * huge * huge, 1e-15 * huge * huge)
      assert.isNaN(sum(new Float32Array([1, NaN, 2])))
      assert.strictEqual(sum(new Float32Array([1, -Infinity, 2])), Infinity)
    })

    // The laws below compare a backend with itself, so that equality with `reference` is not their reason to hold.
    const ownTolerance = Math.max(tolerance, 1e-12)

    it("inverse rope undoes rope", () => {
      fc.assert(
        fc.property(size(20), fc.integer({ min: 1, max: 4 }), size(32), fc.integer(), (rows, heads, half, seed) => {
          const headDim = 2 * half
          const shape = { heads, headDim, turned: headDim, stride: heads * headDim + 3 }
          const data = draws(seed)(rows * shape.stride)
          const { cos, sin } = ropeTables(rows, headDim)
          const tensors = [put(data), put(cos), put(sin)] as const
          const positions = putInts(Array.from({ length: rows }, (_, i) => rows - 1 - i))
          backend.rope(...tensors, positions, { ...shape, inverse: false })
          backend.rope(...tensors, positions, { ...shape, inverse: true })
          // cos² + sin² of float32 tables is 1 only to 2⁻²³.
          assertClose("x", backend.read(tensors[0]), data, Math.max(ownTolerance, 2 ** -22))
          for (const buffer of [...tensors, positions]) backend.free(buffer)
        }),
        { numRuns: 30 }
      )
    })

    it("decoding from the cache gives every row of full attention", () => {
      fc.assert(
        fc.property(
          fc.record(headsShapes),
          fc.array(size(20), { minLength: 1, maxLength: 4 }),
          fc.integer(),
          (heads, lengths, seed) => {
            const shape = attentionShape(heads)
            const width = qkvWidth(shape)
            const rows = lengths.reduce((a, b) => a + b, 0)
            const sequence = lengths.flatMap((length, b) => Array.from({ length }, () => b))
            const position = lengths.flatMap((length) => Array.from({ length }, (_, i) => i))
            const starts = lengths.map((_, b) => sequence.indexOf(b))
            const cache = { ...shape, capacity: Math.max(...lengths) }
            const data = drawQkv(draws(seed), rows, shape)
            const qkv = put(data)
            const out = backend.reals(rows * shape.heads * shape.headDim)
            const lse = backend.reals(rows * shape.heads)
            const bounds = putInts([...starts, rows])
            backend.attention(out, lse, qkv, bounds, shape)
            const expected = backend.read(out)

            const empty = new Float32Array(lengths.length * cache.capacity * shape.kvHeads * shape.headDim).fill(NaN)
            const keys = put(empty)
            const values = put(empty)
            // Step by step, as generation does: all sequences that reach this position, the last one first.
            for (let at = 0; at < cache.capacity; at++) {
              const active = lengths.flatMap((length, b) => at < length ? [b] : []).reverse()
              const step = put(Float32Array.from(active.flatMap((b) => {
                const row = starts[b]! + at
                return Array.from(data.subarray(row * width, (row + 1) * width))
              })))
              const slots = putInts(active)
              const positions = putInts(active.map(() => at))
              const decoded = backend.reals(active.length * shape.heads * shape.headDim)
              backend.cacheWrite(keys, values, step, slots, positions, cache)
              backend.attentionDecode(decoded, step, keys, values, slots, positions, cache)
              const size = shape.heads * shape.headDim
              active.forEach((b, i) => {
                const row = starts[b]! + at
                assert.strictEqual(position[row], at)
                assertClose(
                  `sequence ${b} position ${at}`,
                  backend.read(backend.slice(decoded, i * size, size)),
                  expected.slice(row * size, (row + 1) * size),
                  ownTolerance,
                  1
                )
              })
              for (const buffer of [step, slots, positions, decoded]) backend.free(buffer)
            }
            for (const buffer of [qkv, out, lse, bounds, keys, values]) backend.free(buffer)
          }
        ),
        { numRuns: 20 }
      )
    })
  })
}
