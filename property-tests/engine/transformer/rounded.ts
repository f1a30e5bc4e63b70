import type { Backend, Tensor } from "../../../src/tensor/backend.ts"

const bits = new DataView(new ArrayBuffer(4))

/** The nearest bfloat16, the even one of two. */
export const bf16 = (x: number): number => {
  bits.setFloat32(0, x)
  const whole = bits.getUint32(0)
  bits.setUint32(0, (whole + 0x7fff + ((whole >>> 16) & 1)) & 0xffff0000)
  return bits.getFloat32(0)
}

/** A slow backend that offers bf16 by definition: the factors of every product are rounded, everything else is as in `held`. */
export const rounded = (held: Backend): Backend => {
  /** Calls `use` with rounded copies. */
  const factors = <A>(tensors: ReadonlyArray<Tensor>, use: (copies: ReadonlyArray<Tensor>) => A): A => {
    const copies = tensors.map((tensor) => {
      const copy = held.reals(tensor.length)
      held.write(copy, held.read(tensor).map(bf16))
      return copy
    })
    const result = use(copies)
    copies.forEach(held.free)
    return result
  }
  const low: Backend = {
    ...held,
    linear: (out, x, w, ...rest) => factors([x, w], ([x, w]) => held.linear(out, x!, w!, ...rest)),
    linearPacked: (out, x, w, ...rest) => factors([x, w], ([x, w]) => held.linearPacked(out, x!, w!, ...rest)),
    linearBackward: (out, dOut, x, w, ...rest) =>
      factors([dOut, x, w], ([dOut, x, w]) => held.linearBackward(out, dOut!, x!, w!, ...rest)),
    head: (out, h, w, ...rest) => factors([h, w], ([h, w]) => held.head(out, h!, w!, ...rest)),
    headBackward: (out, dLogps, h, w, ...rest) =>
      factors([h, w], ([h, w]) => held.headBackward(out, dLogps, h!, w!, ...rest))
  }
  return {
    ...held,
    precisions: ["f32", "bf16"],
    at: (precision) => precision === "bf16" ? low : held
  }
}
