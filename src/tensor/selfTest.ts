import type { Backend } from "./backend.ts"
import { reference } from "./reference.ts"

/** Numbers in [-1, 1) without pattern, the same every time. */
const numbers = (length: number, seed: number): Float32Array =>
  Float32Array.from(
    { length },
    (_, i) => ((Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b)) % 65536) / 65536
  )

const shape = { rows: 37, inputs: 50, outputs: 70 }
const heads = { heads: 4, kvHeads: 2, headDim: 12, scale: 0.3, window: 0, cap: 0 }

/** A product with its gradients, attention with its gradient, and the head, on shapes that fill no vector or tile. */
const results = (backend: Backend): Record<string, Float64Array> => {
  const { inputs, outputs, rows } = shape
  const put = (length: number, seed: number) => {
    const tensor = backend.reals(length)
    backend.write(tensor, numbers(length, seed))
    return tensor
  }
  const room = (length: number) => put(length, 9)
  const ints = (values: ReadonlyArray<number>) => {
    const buffer = backend.ints(values.length)
    backend.writeInts(buffer, Int32Array.from(values))
    return buffer
  }
  const [x, w] = [put(rows * inputs, 1), put(outputs * inputs, 2)]
  const out = room(rows * outputs)
  const packed = backend.reals(backend.packedLength(inputs, outputs))
  const again = room(rows * outputs)
  const [dX, dW] = [room(rows * inputs), room(outputs * inputs)]
  backend.linear(out, x, w, null, rows, inputs, outputs)
  backend.packWeight(packed, w, inputs, outputs)
  backend.linearPacked(again, x, packed, null, rows, inputs, outputs, out)
  backend.linearBackward({ dX, accumulate: false, dW, dBias: null }, out, x, w, rows, inputs, outputs)

  const qkv = put(rows * 8 * 12, 3)
  const [attended, lse] = [room(rows * 4 * 12), room(rows * 4)]
  const [dAttended, dQkv] = [put(rows * 4 * 12, 4), room(rows * 8 * 12)]
  const starts = ints([0, 5, 6, rows])
  backend.attention(attended, lse, qkv, starts, heads)
  backend.attentionBackward(dQkv, dAttended, qkv, attended, lse, starts, heads)

  const targets = ints(Array.from({ length: rows }, (_, i) => i % outputs))
  const [logps, headLse, entropy] = [room(rows), room(rows), room(rows)]
  backend.head({ logps, lse: headLse, entropy }, x, w, targets, {
    rows,
    dim: inputs,
    vocab: outputs,
    temperature: 1,
    cap: 0
  })
  const named = { out, again, dX, dW, attended, lse, dQkv, logps, entropy }
  const read = Object.fromEntries(
    Object.entries(named).map(([name, tensor]) => [name, Float64Array.from(backend.read(tensor))])
  )
  for (const buffer of [x, w, packed, headLse, qkv, dAttended, starts, targets, ...Object.values(named)]) {
    backend.free(buffer)
  }
  return read
}

/** The largest error by rounding, relative to the largest element of a result: float32, and factors of bfloat16 (2⁻⁸ each). */
const tolerances = { f32: 1e-4, bf16: 3e-2 } as const

/** Throws when a backend differs from `reference`, in any precision it offers. */
export const selfTest = (backend: Backend): void => {
  const expected = results(reference())
  for (const precision of backend.precisions) {
    const got = results(backend.at(precision))
    for (const [name, want] of Object.entries(expected)) {
      const scale = Math.max(...want.map(Math.abs))
      const at = want.findIndex((x, i) => !(Math.abs(x - got[name]![i]!) <= tolerances[precision] * scale))
      if (at >= 0) {
        throw new Error(
          `its self-test fails: ${name}[${at}] is ${got[name]![at]}, expected ${want[at]} (${precision})`
        )
      }
    }
  }
}
