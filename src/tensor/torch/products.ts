import type { Precision } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Memory, Real } from "./memory.ts"

/** A matrix [rows, columns] and the same elements as [columns, rows]. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly straight: Handle
  readonly turned: Handle
}

export const turn = ({ columns, rows, straight, turned }: Matrix): Matrix => ({
  rows: columns,
  columns: rows,
  straight: turned,
  turned: straight
})

/** Matrix products in some precision; their sums are float32 in all. */
export interface Products {
  /** out = a b + add; `add` may be `out` itself. */
  readonly into: (out: Matrix, a: Matrix, b: Matrix, add: Handle | null) => void
  /** out += aᵀ b, where a and b have many rows. */
  readonly accumulate: (out: Matrix, a: Matrix, b: Matrix) => void
  /** b as `intoPacked` reads it best, for whoever asks to drop. */
  readonly pack: (b: Matrix) => Handle
  /** Bytes that it takes for each element of b: none where it is b itself. */
  readonly packedBytes: number
  /** out = a b + add */
  readonly intoPacked: (out: Matrix, a: Matrix, packed: Handle, add: Handle | null) => void
}

/** Elements of a tensor from `offset` on as a matrix. */
export const matrixOf = (memory: Memory, of: Real, rows: number, columns: number, offset = 0): Matrix => ({
  rows,
  columns,
  straight: memory.view(of, [rows, columns], [columns, 1], offset),
  turned: memory.view(of, [columns, rows], [1, columns], offset)
})

/** The same of a result. */
export const matrixAt = ({ as }: Aten, straight: Handle, rows: number, columns: number): Matrix => ({
  rows,
  columns,
  straight,
  turned: as(straight, [columns, rows], [1, columns])
})

/** By the BLAS that libtorch was built with: cuBLAS on a GPU. */
const blas = ({ abi, addmm, mm }: Aten): Products => {
  const into = (out: Matrix, a: Matrix, b: Handle, add: Handle | null): void =>
    add === null ? mm(out.straight, a.straight, b) : addmm(out.straight, add, a.straight, b)
  return {
    into: (out, a, b, add) => into(out, a, b.straight, add),
    accumulate: (out, a, b) => addmm(out.straight, out.straight, a.turned, b.straight),
    // No other order is read faster.
    pack: (b) => abi.share(b.straight),
    packedBytes: 0,
    intoPacked: into
  }
}

/**
 * By oneDNN, which takes the widest instructions of the processor, where the BLAS of the wheels (MKL) takes AVX2 on any that is not
 * Intel's. None of its operators writes into memory that it is given: hence the copies.
 */
const oneDnn = ({ add: addTo, copy, linear, packed }: Aten): Products => {
  const into = (out: Matrix, a: Matrix, b: Handle, add: Handle | null): void =>
    copy(out.straight, linear(a.straight, b, add))
  return {
    into: (out, a, b, add) => into(out, a, b.turned, add),
    // It copies its first operand when that is transposed, so that is the smaller operand.
    accumulate: (out, a, b) =>
      a.columns <= b.columns
        ? addTo(out.straight, linear(a.turned, b.turned, null))
        : addTo(out.turned, linear(b.turned, a.turned, null)),
    pack: (b) => packed(b.turned),
    packedBytes: 4,
    intoPacked: into
  }
}

/** Factors rounded to bfloat16 and widened again: a product of two of them is exact in float32. Slower, not faster. */
const rounding = (aten: Aten, exact: Products): Products => {
  const { abi: { dtypes }, copy, room } = aten
  const round = ({ columns, rows, straight }: Matrix): Matrix => {
    const [narrow, wide] = [room([rows, columns], dtypes.bf16), room([rows, columns])]
    copy(narrow, straight)
    copy(wide, narrow)
    return matrixAt(aten, wide, rows, columns)
  }
  return {
    into: (out, a, b, add) => exact.into(out, round(a), round(b), add),
    accumulate: (out, a, b) => exact.accumulate(out, round(a), round(b)),
    pack: (b) => exact.pack(round(b)),
    packedBytes: 4,
    intoPacked: (out, a, packed, add) => exact.intoPacked(out, round(a), packed, add)
  }
}

/** On tensor cores: bfloat16 factors, float32 sums and results. */
const tensorCores = (aten: Aten): Products => {
  const { abi: { dtypes, share }, add: addTo, copy, mmWide, room } = aten
  const narrow = ({ columns, rows, straight }: Matrix): Handle => {
    const to = room([rows, columns], dtypes.bf16)
    copy(to, straight)
    return to
  }
  const into = (out: Matrix, a: Handle, b: Handle, add: Handle | null): void => {
    if (add === null) return mmWide(out.straight, a, b)
    const product = room([out.rows, out.columns])
    mmWide(product, a, b)
    if (add !== out.straight) copy(out.straight, add)
    addTo(out.straight, product)
  }
  return {
    into: (out, a, b, add) => into(out, narrow(a), narrow(b), add),
    accumulate: (out, a, b) =>
      into(out, aten.as(narrow(a), [a.columns, a.rows], [1, a.columns]), narrow(b), out.straight),
    pack: (b) => share(narrow(b)),
    packedBytes: 2,
    intoPacked: (out, a, packed, add) => into(out, narrow(a), packed, add)
  }
}

/** The products of a device. */
export const productsOf = (aten: Aten, device: "cpu" | "cuda", precision: Precision): Products => {
  if (device === "cuda") return precision === "bf16" ? tensorCores(aten) : blas(aten)
  const exact = aten.hasOneDnn ? oneDnn(aten) : blas(aten)
  return precision === "bf16" ? rounding(aten, exact) : exact
}
