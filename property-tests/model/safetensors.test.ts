import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { TensorData, Tensors } from "../../src/engine/engine.ts"
import { BadCheckpoint } from "../../src/model/BadCheckpoint.ts"
import { decode, encode } from "../../src/model/safetensors.ts"

const tensor: fc.Arbitrary<TensorData> = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).chain((shape) => {
  const size = shape.reduce((a, b) => a * b, 1)
  const length = { minLength: size, maxLength: size }
  return fc.oneof(fc.float32Array(length), fc.float64Array(length)).map((data) => ({ shape, data }))
})
const tensors: fc.Arbitrary<Tensors> = fc
  .array(fc.tuple(fc.oneof(fc.string(), fc.stringMatching(/^[a-c.0-9"\\]{1,3}$/)), tensor), { maxLength: 6 })
  .map((list) => new Map(list.filter(([name]) => name !== "__metadata__")))

/** Bit patterns, so that NaN and −0 count. */
const bits = ({ data, shape }: TensorData): unknown => [
  shape,
  data.constructor.name,
  [...new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength))]
]

/** A file with this header text and so many zero bytes of data. */
const file = (header: string, data: Uint8Array | number): Uint8Array => {
  const text = new TextEncoder().encode(header)
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true)
  const body = typeof data === "number" ? new Uint8Array(data) : data
  return Uint8Array.from([...length, ...text, ...body])
}

const problemOf = (bytes: Uint8Array): string => {
  try {
    decode(bytes, "some/model.safetensors")
  } catch (error) {
    assert.instanceOf(error, BadCheckpoint)
    assert.strictEqual(error.path, "some/model.safetensors")
    assert.isAbove(error.remedy.length, 10)
    assert.include(error.message, error.problem)
    return error.problem
  }
  return assert.fail("it was accepted")
}

describe("safetensors", () => {
  it("reads what it writes, bit for bit", () => {
    fc.assert(fc.property(tensors, (given) => {
      const read = decode(encode(given), "x")
      assert.deepEqual([...read.keys()].sort(), [...given.keys()].sort())
      for (const [name, one] of given) assert.deepEqual(bits(read.get(name)!), bits(one))
    }))
  })

  it("is not fooled by the key cache of V8 (nodejs/node#63785)", () => {
    const one = { shape: [1], data: Float32Array.of(7) }
    for (const name of ["\\", '"', "a\\", 'a"', "\n"]) {
      assert.deepEqual([...decode(encode(new Map([[name, one]])), "x").keys()], [name])
    }
  })

  it("reads from the middle of a buffer, at any alignment", () => {
    fc.assert(fc.property(tensors, fc.integer({ min: 0, max: 9 }), (given, shift) => {
      const bytes = encode(given)
      const buffer = new Uint8Array(bytes.length + shift)
      buffer.set(bytes, shift)
      const read = decode(buffer.subarray(shift), "x")
      for (const [name, one] of given) assert.deepEqual(bits(read.get(name)!), bits(one))
    }))
  })

  it("writes equal tensors as equal bytes, whatever their order, with aligned data", () => {
    fc.assert(fc.property(tensors, (given) => {
      const bytes = encode(given)
      assert.deepEqual(encode(new Map([...given].reverse())), bytes)
      const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
      assert.strictEqual(length % 8, 0)
      const header = new TextDecoder().decode(bytes.subarray(8, 8 + length))
      assert.isTrue(header.startsWith('{"__metadata__":{"format":"pt"}'))
    }))
  })

  it("writes this file, byte for byte", () => {
    const bytes = encode(
      new Map([["b", { shape: [1], data: Float32Array.of(1) }], ["a", { shape: [], data: Float32Array.of(-2) }]])
    )
    const header = '{"__metadata__":{"format":"pt"},'
      + '"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8)
    assert.deepEqual(bytes, file(padded, Uint8Array.of(0, 0, 0, 0xc0, 0, 0, 0x80, 0x3f)))
  })

  it("widens F16 and BF16 exactly", () => {
    const entry = (dtype: string): string => `{"x":{"dtype":"${dtype}","shape":[7],"data_offsets":[0,14]}}`
    const read = (dtype: string, codes: ReadonlyArray<number>): ReadonlyArray<number> =>
      Array.from(decode(file(entry(dtype), new Uint8Array(Uint16Array.from(codes).buffer)), "x").get("x")!.data)
    // 1, −2, the largest, the smallest normal, the smallest subnormal, −0, infinity.
    const half = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x8000, 0x7c00]
    assert.deepEqual(read("F16", half), [1, -2, 65504, 2 ** -14, 2 ** -24, -0, Infinity])
    const brain = [0x3f80, 0xc000, 0x7f7f, 0x0080, 0x0001, 0x8000, 0x7f80]
    assert.deepEqual(read("BF16", brain), [1, -2, 255 * 2 ** 120, 2 ** -126, 2 ** -133, -0, Infinity])
    assert.isNaN(read("F16", half.with(0, 0x7e00))[0])
    assert.isNaN(read("BF16", half.with(0, 0x7fc0))[0])
  })

  it("names what is wrong with a file", () => {
    const x = (entry: string): string => `{"x":${entry}}`
    const good = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    assert.strictEqual(decode(file(x(good), 8), "x").get("x")!.data.length, 2)
    const wrong: ReadonlyArray<readonly [Uint8Array, RegExp]> = [
      [new Uint8Array(3), /3 bytes is too short/],
      [Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 123, 125), /claims 18446744073709551615 bytes/],
      [file(x(good), 8).subarray(0, 20), /truncated/],
      [file(x(good), 7), /"x" ends 1 bytes after the end of the file: truncated/],
      [file(x(good), 9), /1 bytes at the end belong to no tensor/],
      [file('{"x":', 0), /not UTF-8 JSON/],
      [file("[]", 0), /not a JSON object/],
      [Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), /not UTF-8 JSON/],
      [file(`{"x":${good},"x":${good}}`, 8), /"x" appears twice/],
      [file(`{"x":${good},"\\u0078":${good}}`, 8), /"x" appears twice/],
      [file(x("7"), 0), /"x" is not described by an object/],
      [file(x('{"dtype":"I64","shape":[1],"data_offsets":[0,8]}'), 8), /"x" has type "I64"; only F64, F32, F16, BF16/],
      [file(x('{"dtype":"toString","shape":[1],"data_offsets":[0,8]}'), 8), /has type "toString"/],
      [file(x('{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}'), 8), /shape \[-2\]/],
      [file(x('{"dtype":"F32","shape":[1e200,1e200],"data_offsets":[0,8]}'), 8), /shape/],
      [file(x('{"dtype":"F32","shape":[9007199254740991,9],"data_offsets":[0,8]}'), 8), /more than any file can hold/],
      [
        file(x('{"dtype":"F32","shape":[3],"data_offsets":[0,8]}'), 8),
        /8 bytes of data for shape \[3\] of F32, which is 12/
      ],
      [file(x('{"dtype":"F32","shape":[2],"data_offsets":[8,0]}'), 8), /-8 bytes/],
      [file(x('{"dtype":"F32","shape":[2],"data_offsets":[0.5,8.5]}'), 9), /data_offsets \[0.5,8.5\]/],
      [file(x('{"dtype":"F32","shape":[2],"data_offsets":[4,12]}'), 12), /4 bytes before tensor "x" belong to none/],
      [file(`{"x":${good},"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), /"y" overlaps/],
      [file(`{"__metadata__":{"a":1},"x":${good}}`, 8), /__metadata__/]
    ]
    for (const [bytes, expected] of wrong) assert.match(problemOf(bytes), expected)
  })

  it("reports every mistake at once", () => {
    const header =
      '{"a":{"dtype":"I8","shape":[],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":["2"],"data_offsets":[1,9]}}'
    const problem = problemOf(file(header, 9))
    assert.match(problem, /"a" has type/)
    assert.match(problem, /"b" has shape/)
  })

  it("answers any damage with tensors or BadCheckpoint, nothing else", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(tensors, damage, fc.nat(), (given, changes, cut) => {
        const bytes = encode(given)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        try {
          decode(bytes.subarray(0, bytes.length - (cut % 3)), "x")
        } catch (error) {
          assert.instanceOf(error, BadCheckpoint)
        }
      }),
      { numRuns: 500 }
    )
  })

  it("rejects every truncation of a file that holds data", () => {
    const bytes = encode(new Map([["w", { shape: [3], data: Float32Array.of(1, 2, 3) }]]))
    for (let length = 0; length < bytes.length; length++) problemOf(bytes.subarray(0, length))
  })

  it("refuses to write a shape that does not fit", () => {
    assert.throws(
      () => encode(new Map([["w", { shape: [2], data: Float32Array.of(1) }]])),
      /w: shape \[2\] for 1 elements/
    )
  })
})
