/** The operators of ATen that the kernels use, on handles. An operator with a result of its own drops it when the kernel ends. */
import { freemem } from "node:os"
import { type Abi, contiguous, type Handle, operator } from "./abi.ts"
import { explained } from "./errors.ts"
import type { Memory } from "./memory.ts"

const op = {
  mul: operator("aten::mul", "out"),
  div: operator("aten::div", "out"),
  hypot: operator("aten::hypot", "out"),
  exp: operator("aten::exp", "out"),
  silu: operator("aten::silu", "out"),
  siluBackward: operator("aten::silu_backward", "grad_input"),
  addcmul: operator("aten::_foreach_addcmul_", "Tensor"),
  norm: operator("aten::linalg_norm"),
  dot: operator("aten::dot"),
  mv: operator("aten::mv"),
  matmul: operator("aten::matmul"),
  softmax: operator("aten::_softmax", "out"),
  logSoftmax: operator("aten::_log_softmax", "out"),
  gather: operator("aten::gather", "out"),
  scatterAdd: operator("aten::scatter_add_"),
  indexSelect: operator("aten::index_select", "out"),
  indexCopy: operator("aten::index_copy_"),
  embeddingBackward: operator("aten::embedding_dense_backward"),
  layerNormBackward: operator("aten::native_layer_norm_backward"),
  cumsum: operator("aten::cumsum"),
  searchSorted: operator("aten::searchsorted", "Tensor"),
  minimum: operator("aten::minimum"),
  max: operator("aten::max", "dim"),
  adamw: operator("aten::_fused_adamw_"),
  mmWide: operator("aten::mm", "dtype_out"),
  transpose: operator("aten::transpose", "int"),
  pick: operator("aten::select", "int"),
  reorder: operator("mkldnn::_reorder_linear_weight")
}

/** Constants that are kept as tensors without dimensions; they change with the learning rate, so not for ever. */
const mostConstants = 64

export const makeAten = (abi: Abi, memory: Memory) => {
  const { check, stack } = abi
  const { device, empty } = memory
  const temporary = memory.discarded
  const keep = (of: Handle): Handle => {
    temporary.push(of)
    return of
  }

  /** An elementwise operator into `out`, which its result is too. */
  const into = (of: ReturnType<typeof operator>, out: Handle, a: Handle, b?: Handle): void => {
    stack.tensor(a)
    if (b !== undefined) stack.tensor(b)
    stack.tensor(out)
    abi.drop(stack.call(of))
  }
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

  const constants = new Map<number, Handle>()
  /** A number as a tensor without dimensions: it has no say in the precision of a result. */
  const constant = (value: number): Handle => {
    const known = constants.get(value)
    if (known !== undefined) return known
    const made = abi.scalar(value)
    if (constants.size >= mostConstants) {
      for (const handle of constants.values()) keep(handle)
      constants.clear()
    }
    constants.set(value, made)
    return made
  }
  const one = memory.upload(Float32Array.of(1), [1])
  // The operator reads the factors on the host.
  const signs = new Float64Array([1, -1])
  const factor = [0, 1].map((i) => abi.onHost(signs.subarray(i, i + 1), [1], abi.dtypes.f64, abi.deviceType("cpu")))

  const normalised = (of: typeof op.softmax, out: Handle, x: Handle): void => {
    stack.tensor(x)
    stack.int(-1)
    stack.int(0)
    stack.tensor(out)
    abi.drop(stack.call(of))
  }
  /** out += sign · a · b, each broadcast to `out`. */
  const addcmul = (out: Handle, a: Handle, b: Handle, sign: 1 | -1 = 1): void => {
    stack.tensors([out])
    stack.tensors([a])
    stack.tensors([b])
    stack.tensor(factor[sign === 1 ? 0 : 1]!)
    stack.call(op.addcmul)
  }

  return {
    abi,
    stack,
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
    mul: (out: Handle, a: Handle, b: Handle): void => into(op.mul, out, a, b),
    div: (out: Handle, a: Handle, b: Handle): void => into(op.div, out, a, b),
    /** √(a² + b²) */
    hypot: (out: Handle, a: Handle, b: Handle): void => into(op.hypot, out, a, b),
    exp: (out: Handle, x: Handle): void => into(op.exp, out, x),
    silu: (out: Handle, x: Handle): void => into(op.silu, out, x),
    /** out = dOut · silu′(x) */
    siluBackward: (out: Handle, dOut: Handle, x: Handle): void => into(op.siluBackward, out, dOut, x),
    softmax: (out: Handle, x: Handle): void => normalised(op.softmax, out, x),
    logSoftmax: (out: Handle, x: Handle): void => normalised(op.logSoftmax, out, x),
    /** √Σx² over the last dimension, which stays with length 1. */
    norm: (x: Handle): Handle => {
      stack.tensor(x)
      stack.none()
      stack.ints([-1])
      stack.optional()
      stack.int(1)
      stack.none()
      return keep(stack.call(op.norm))
    },
    /** Σ x y of vectors, as a tensor without dimensions. */
    dot: (x: Handle, y: Handle): Handle => {
      stack.tensor(x)
      stack.tensor(y)
      return keep(stack.call(op.dot))
    },
    /** x v, over the last dimension of x. */
    timesVector: (x: Handle, v: Handle, dimensions: number): Handle => {
      stack.tensor(x)
      stack.tensor(v)
      return keep(stack.call(dimensions === 2 ? op.mv : op.matmul))
    },
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
    gather: (out: Handle, x: Handle, index: Handle): void => {
      stack.tensor(x)
      stack.int(1)
      stack.tensor(index)
      stack.int(0)
      stack.tensor(out)
      abi.drop(stack.call(op.gather))
    },
    /** out[i, index[i, j]] += x[i, j] */
    scatterAdd: (out: Handle, index: Handle, x: Handle): void => {
      stack.tensor(out)
      stack.int(1)
      stack.tensor(index)
      stack.tensor(x)
      abi.drop(stack.call(op.scatterAdd))
    },
    /** out[i] = x[index[i]] */
    select: (out: Handle, x: Handle, index: Handle): void => {
      stack.tensor(x)
      stack.int(0)
      stack.tensor(index)
      stack.tensor(out)
      abi.drop(stack.call(op.indexSelect))
    },
    /** out[index[i]] = x[i]; `index` without repetition. */
    indexCopy: (out: Handle, index: Handle, x: Handle): void => {
      stack.tensor(out)
      stack.int(0)
      stack.tensor(index)
      stack.tensor(x)
      abi.drop(stack.call(op.indexCopy))
    },
    /** Row r of the result [rows, …] is the sum of dOut[i] with index[i] = r, in the order of i. */
    embeddingBackward: (dOut: Handle, index: Handle, rows: number): Handle => {
      stack.tensor(dOut)
      stack.tensor(index)
      stack.int(rows)
      stack.int(-1)
      stack.int(0)
      return keep(stack.call(op.embeddingBackward))
    },
    /** [dX, dWeight] of y = weight · (x − mean) · inv, with `mean` and `inv` for each row. */
    layerNormBackward: (
      dOut: Handle,
      x: Handle,
      dim: number,
      mean: Handle,
      inv: Handle,
      weight: Handle,
      withWeight: boolean
    ): readonly [dX: Handle, dWeight: Handle | null] => {
      stack.tensor(dOut)
      stack.tensor(x)
      stack.ints([dim])
      stack.tensor(mean)
      stack.tensor(inv)
      stack.tensor(weight)
      stack.optional()
      stack.none()
      stack.ints([1, withWeight ? 1 : 0, 0])
      stack.call(op.layerNormBackward)
      const [dX, dWeight, dBias] = [keep(stack.result(0)), keep(stack.result(1)), keep(stack.result(2))]
      void dBias
      return [dX, withWeight ? dWeight : null]
    },
    /** Running sums over the last dimension. */
    cumsum: (x: Handle): Handle => {
      stack.tensor(x)
      stack.int(-1)
      stack.none()
      return keep(stack.call(op.cumsum))
    },
    /** Of each row, the first index whose element is above the row's value. */
    firstAbove: (rows: Handle, values: Handle): Handle => {
      stack.tensor(rows)
      stack.tensor(values)
      stack.int(0)
      stack.int(1)
      stack.none()
      stack.none()
      return keep(stack.call(op.searchSorted))
    },
    minimum: (a: Handle, b: Handle): Handle => {
      stack.tensor(a)
      stack.tensor(b)
      return keep(stack.call(op.minimum))
    },
    /** The largest of each row and where it is first, [rows, 1] each. */
    max: (x: Handle): readonly [values: Handle, indices: Handle] => {
      stack.tensor(x)
      stack.int(-1)
      stack.int(1)
      stack.call(op.max)
      return [keep(stack.result(0)), keep(stack.result(1))]
    },
    adamw: (
      [params, grads, m, v, step]: readonly [Handle, Handle, Handle, Handle, Handle],
      { beta1, beta2, eps, learningRate, weightDecay }: Readonly<
        Record<"learningRate" | "beta1" | "beta2" | "eps" | "weightDecay", number>
      >
    ): void => {
      for (const one of [params, grads, m, v]) stack.tensors([one])
      stack.tensors([])
      stack.tensors([step])
      for (const real of [learningRate, beta1, beta2, weightDecay, eps]) stack.real(real)
      stack.int(0)
      stack.int(0)
      stack.none()
      stack.none()
      stack.call(op.adamw)
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
    packed: (b: Handle): Handle => {
      stack.tensor(b)
      stack.none()
      return stack.call(op.reorder)
    },
    /** out = a b, float32 from bfloat16. */
    mmWide: (out: Handle, a: Handle, b: Handle): void => {
      stack.tensor(a)
      stack.tensor(b)
      stack.int(abi.dtypes.f32)
      stack.tensor(out)
      abi.drop(stack.call(op.mmWide))
    },
    /** x with its second and third dimension exchanged. */
    transposed: (x: Handle): Handle => {
      stack.tensor(x)
      stack.int(1)
      stack.int(2)
      return keep(stack.call(op.transpose))
    },
    /** x[i] */
    pick: (x: Handle, i: number): Handle => {
      stack.tensor(x)
      stack.int(0)
      stack.int(i)
      return keep(stack.call(op.pick))
    },
    dispose: (): void => {
      for (const handle of [...constants.values(), one, ...factor]) abi.drop(handle)
      constants.clear()
    }
  }
}

export type Aten = ReturnType<typeof makeAten>
