/** The operators of ATen that the kernels use, on handles. An operator with a result of its own drops it when the kernel ends. */
import { freemem } from "node:os"
import type { AdamW } from "../backend.ts"
import { type Abi, contiguous, type Handle, operator } from "./abi.ts"
import { explained } from "./errors.ts"
import type { Memory } from "./memory.ts"

const op = {
  mul: operator("aten::mul.out", "tensor tensor tensor"),
  div: operator("aten::div.out", "tensor tensor tensor"),
  hypot: operator("aten::hypot.out", "tensor tensor tensor"),
  exp: operator("aten::exp.out", "tensor tensor"),
  tanh: operator("aten::tanh.out", "tensor tensor"),
  erf: operator("aten::erf.out", "tensor tensor"),
  silu: operator("aten::silu.out", "tensor tensor"),
  siluBackward: operator("aten::silu_backward.grad_input", "tensor tensor tensor"),
  addcmul: operator("aten::_foreach_addcmul_.Tensor", "tensors tensors tensors tensor"),
  norm: operator("aten::linalg_norm", "tensor real? ints? int int?"),
  dot: operator("aten::dot", "tensor tensor"),
  mv: operator("aten::mv", "tensor tensor"),
  matmul: operator("aten::matmul", "tensor tensor"),
  softmax: operator("aten::_softmax.out", "tensor int int tensor"),
  logSoftmax: operator("aten::_log_softmax.out", "tensor int int tensor"),
  gather: operator("aten::gather.out", "tensor int tensor int tensor"),
  scatterAdd: operator("aten::scatter_add_", "tensor int tensor tensor"),
  indexSelect: operator("aten::index_select.out", "tensor int tensor tensor"),
  indexCopy: operator("aten::index_copy_", "tensor int tensor tensor"),
  embeddingBackward: operator("aten::embedding_dense_backward", "tensor tensor int int int"),
  layerNorm: operator("aten::native_layer_norm", "tensor ints tensor? tensor? real"),
  layerNormBackward: operator(
    "aten::native_layer_norm_backward",
    "tensor tensor ints tensor tensor tensor? tensor? ints"
  ),
  cumsum: operator("aten::cumsum", "tensor int int?"),
  searchSorted: operator("aten::searchsorted.Tensor", "tensor tensor int int int? tensor?"),
  minimum: operator("aten::minimum", "tensor tensor"),
  max: operator("aten::max.dim", "tensor int int"),
  adamw: operator(
    "aten::_fused_adamw_",
    "tensors tensors tensors tensors tensors tensors real real real real real int int tensor? tensor?"
  ),
  mmWide: operator("aten::mm.dtype_out", "tensor tensor int tensor"),
  sum: operator("aten::sum.dim_IntList", "tensor ints? int int?"),
  logSumExp: operator("aten::logsumexp", "tensor ints int"),
  transpose: operator("aten::transpose.int", "tensor int int"),
  pick: operator("aten::select.int", "tensor int int"),
  reorder: operator("mkldnn::_reorder_linear_weight", "tensor ints?")
}

/** Constants that are kept as tensors without dimensions; they change with the learning rate, so not for ever. */
const mostConstants = 64

export const makeAten = (abi: Abi, memory: Memory) => {
  const { check, dispatch, places } = abi
  const { device, empty } = memory
  const temporary = memory.discarded
  const keep = (of: Handle): Handle => {
    temporary.push(of)
    return of
  }

  type Values = Parameters<Abi["dispatch"]>
  const made = (...call: Values): Handle => keep(dispatch(...call))
  /** An operator whose result is one of its arguments. */
  const into = (...call: Values): void => abi.drop(dispatch(...call))
  const pointer = "uint64_t"
  const shim = (name: string, parameters: string) => abi.need(`int aoti_torch_${device.kind}_${name}(${parameters})`)
  const c = {
    mm: shim("mm_out", `${pointer} out, ${pointer} a, ${pointer} b`),
    addmm: shim("addmm_out", `${pointer} out, ${pointer} add, ${pointer} a, ${pointer} b, double beta, double alpha`),
    bmm: shim("bmm_out", `${pointer} out, ${pointer} a, ${pointer} b`),
    baddbmm: shim(
      "baddbmm_out",
      `${pointer} out, ${pointer} add, ${pointer} a, ${pointer} b, double beta, double alpha`
    )
  }
  /** Absent on a GPU and where libtorch is built without oneDNN. */
  const dnn = device.kind === "cpu"
    ? {
      linear: abi.find(
        `int aoti_torch_cpu__linear_pointwise(${pointer} a, ${pointer} b, ${pointer} bias, const char* then, ${pointer} scalars, int64_t count, ${pointer} algorithm, ${pointer} into)`
      ),
      linearAdd: abi.find(
        `int aoti_torch_cpu__linear_pointwise_binary(${pointer} a, ${pointer} other, ${pointer} b, ${pointer} bias, const char* then, ${pointer} into)`
      )
    }
    : { linear: null, linearAdd: null }

  const constants = memory.keptBy<number>(mostConstants)
  /** A number as a tensor without dimensions: it has no say in the precision of a result. */
  const constant = (value: number): Handle => constants(value, abi.scalar)
  const one = memory.upload(Float32Array.of(1), [1])
  // The operator reads the factors on the host.
  const signs = new Float64Array([1, -1])
  const factor = [0, 1].map((i) => abi.onHost(signs.subarray(i, i + 1), [1]))

  /** out += sign · a · b, each broadcast to `out`. */
  const addcmul = (out: Handle, a: Handle, b: Handle, sign: 1 | -1 = 1): void =>
    void dispatch(op.addcmul, [out], [a], [b], factor[sign === 1 ? 0 : 1]!)

  return {
    abi,
    keep,
    constant,
    one,
    addcmul,
    /** Runs a kernel: drops its temporary results, and reports the shapes with which an operator failed. */
    run: <A>(kernel: string, shapes: ReadonlyArray<number>, work: () => A): A => {
      try {
        return work()
      } catch (error) {
        throw explained(error, kernel, shapes.join(", "), freemem)
      } finally {
        for (let i = 0; i < temporary.length; i++) abi.drop(temporary[i]!)
        temporary.length = 0
      }
    },
    /** Room for a result, until the kernel ends. */
    room: (sizes: ReadonlyArray<number>, dtype?: number): Handle => keep(empty(sizes, dtype)),
    /** Other sizes and strides over the elements of a result. */
    as: (
      of: Handle,
      sizes: ReadonlyArray<number>,
      strides: ReadonlyArray<number> = contiguous(sizes),
      offset = 0
    ): Handle => keep(abi.view(of, sizes, strides, offset)),
    copy: (to: Handle, from: Handle): void => abi.copy(to, from, false),
    zero: abi.zero,
    add: (out: Handle, x: Handle): void => addcmul(out, x, one),
    mul: (out: Handle, a: Handle, b: Handle): void => into(op.mul, a, b, out),
    div: (out: Handle, a: Handle, b: Handle): void => into(op.div, a, b, out),
    /** √(a² + b²) */
    hypot: (out: Handle, a: Handle, b: Handle): void => into(op.hypot, a, b, out),
    exp: (out: Handle, x: Handle): void => into(op.exp, x, out),
    /** x = cap · tanh(x / cap) */
    softcap: (x: Handle, cap: number): void => {
      into(op.mul, x, constant(1 / cap), x)
      into(op.tanh, x, x)
      into(op.mul, x, constant(cap), x)
    },
    /** x = 1 − (x / by)² */
    oneLessSquare: (x: Handle, by: number): void => {
      into(op.mul, x, constant(1 / by), x)
      into(op.mul, x, x, x)
      into(op.mul, x, constant(-1), x)
      addcmul(x, one, one)
    },
    tanh: (out: Handle, x: Handle): void => into(op.tanh, x, out),
    erf: (out: Handle, x: Handle): void => into(op.erf, x, out),
    silu: (out: Handle, x: Handle): void => into(op.silu, x, out),
    /** out = dOut · silu′(x) */
    siluBackward: (out: Handle, dOut: Handle, x: Handle): void => into(op.siluBackward, dOut, x, out),
    softmax: (out: Handle, x: Handle): void => into(op.softmax, x, -1, 0, out),
    logSoftmax: (out: Handle, x: Handle): void => into(op.logSoftmax, x, -1, 0, out),
    /** √Σx² over the last dimension, which stays with length 1. */
    norm: (x: Handle): Handle => made(op.norm, x, null, [-1], 1, null),
    /** Σ x y of vectors, as a tensor without dimensions. */
    dot: (x: Handle, y: Handle): Handle => made(op.dot, x, y),
    /** x v, over the last dimension of x. */
    timesVector: (x: Handle, v: Handle, dimensions: number): Handle => made(dimensions === 2 ? op.mv : op.matmul, x, v),
    /** out = a b */
    mm: (out: Handle, a: Handle, b: Handle): void => check(c.mm(out, a, b) as number, "mm"),
    /** out = add + a b; `add` may be `out`. */
    addmm: (out: Handle, add: Handle, a: Handle, b: Handle): void =>
      check(c.addmm(out, add, a, b, 1, 1) as number, "addmm"),
    bmm: (out: Handle, a: Handle, b: Handle): void => check(c.bmm(out, a, b) as number, "bmm"),
    /** out = add + a b, matrix by matrix. */
    baddbmm: (out: Handle, add: Handle, a: Handle, b: Handle): void =>
      check(c.baddbmm(out, add, a, b, 1, 1) as number, "baddbmm"),
    /** out[i, j] = x[i, index[i, j]] */
    gather: (out: Handle, x: Handle, index: Handle): void => into(op.gather, x, 1, index, 0, out),
    /** out[i, index[i, j]] += x[i, j] */
    scatterAdd: (out: Handle, index: Handle, x: Handle): void => into(op.scatterAdd, out, 1, index, x),
    /** out[i] = x[index[i]] */
    select: (out: Handle, x: Handle, index: Handle): void => into(op.indexSelect, x, 0, index, out),
    /** out[index[i]] = x[i]; `index` without repetition. */
    indexCopy: (out: Handle, index: Handle, x: Handle): void => into(op.indexCopy, out, 0, index, x),
    /** Row r of the result [rows, …] is the sum of dOut[i] with index[i] = r, in the order of i. */
    embeddingBackward: (dOut: Handle, index: Handle, rows: number): Handle =>
      made(op.embeddingBackward, dOut, index, rows, -1, 0),
    /** y = weight · (x − mean) · inv + bias, and mean and inv of each row. */
    layerNorm: (
      x: Handle,
      dim: number,
      weight: Handle,
      bias: Handle | null,
      eps: number
    ): readonly [y: Handle, mean: Handle, inv: Handle] => [
      made(op.layerNorm, x, [dim], weight, bias, eps),
      keep(places.at(1)),
      keep(places.at(2))
    ],
    /** [dX, dWeight, dBias] of y = weight · (x − mean) · inv + bias, with `mean` and `inv` for each row. */
    layerNormBackward: (
      dOut: Handle,
      x: Handle,
      dim: number,
      mean: Handle,
      inv: Handle,
      weight: Handle,
      withWeight: boolean,
      bias: Handle | null = null
    ): readonly [dX: Handle, dWeight: Handle | null, dBias: Handle | null] => {
      const wanted = [1, withWeight ? 1 : 0, bias === null ? 0 : 1]
      const dX = made(op.layerNormBackward, dOut, x, [dim], mean, inv, weight, bias, wanted)
      const [dWeight, dBias] = [keep(places.at(1)), keep(places.at(2))] as const
      return [dX, withWeight ? dWeight : null, bias === null ? null : dBias]
    },
    /** Running sums over the last dimension. */
    cumsum: (x: Handle): Handle => made(op.cumsum, x, -1, null),
    /** Of each row, the first index whose element is above the row's value. */
    firstAbove: (rows: Handle, values: Handle): Handle => made(op.searchSorted, rows, values, 0, 1, null, null),
    minimum: (a: Handle, b: Handle): Handle => made(op.minimum, a, b),
    /** The largest of each row and where it is first, [rows, 1] each. */
    max: (x: Handle): readonly [values: Handle, indices: Handle] => [made(op.max, x, -1, 1), keep(places.at(1))],
    adamw: (
      [params, grads, m, v, step]: readonly [Handle, Handle, Handle, Handle, Handle],
      { beta1, beta2, eps, learningRate, weightDecay }: Omit<AdamW, "step" | "gradScale">
    ): void => {
      const rates = [learningRate, beta1, beta2, weightDecay, eps]
      dispatch(op.adamw, [params], [grads], [m], [v], [], [step], ...rates, 0, 0, null, null)
    },
    hasOneDnn: dnn.linear !== null && dnn.linearAdd !== null,
    /** a bᵀ + add, by oneDNN. */
    linear: (a: Handle, b: Handle, add: Handle | null): Handle => {
      const code = add === null
        ? dnn.linear!(a, b, 0, "none", 0, 0, 0, abi.into)
        : dnn.linearAdd!(a, add, b, 0, "add", abi.into)
      check(code as number, "linear")
      return keep(abi.got())
    },
    /** b in the order in which oneDNN reads it; the caller drops it. */
    packed: (b: Handle): Handle => dispatch(op.reorder, b, null),
    /** out = a b, float32 from bfloat16. */
    mmWide: (out: Handle, a: Handle, b: Handle): void => into(op.mmWide, a, b, abi.dtypes.f32, out),
    /** x with its second and third dimension exchanged. */
    transposed: (x: Handle): Handle => made(op.transpose, x, 1, 2),
    /** x with its last two of four dimensions exchanged. */
    turned: (x: Handle): Handle => made(op.transpose, x, 2, 3),
    /** a b, matrix by matrix. */
    matmul: (a: Handle, b: Handle): Handle => made(op.matmul, a, b),
    /** Over the last dimension, which stays with length 1. */
    sum: (x: Handle): Handle => made(op.sum, x, [-1], 1, null),
    /** Over the last dimension. */
    logSumExp: (x: Handle): Handle => made(op.logSumExp, x, [-1], 0),
    /** x[i] */
    pick: (x: Handle, i: number): Handle => made(op.pick, x, 0, i),
    dispose: (): void => {
      for (const handle of [one, ...factor]) abi.drop(handle)
    }
  }
}

export type Aten = ReturnType<typeof makeAten>
