import type { AttentionShape, Backend, HeadShape, Ints, NormShape, Tensor } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { Threads } from "./threads.ts"

/** Up to so many rows `linear` reads its operands as they lie; above, packing pays. */
const fewRows = 64

/** Logits that exist at once in the head: 2 MiB, and never fewer than 64 rows. */
const headLogits = 2 ** 19

/** Elements in one partial sum of squares. */
const sumChunk = 16384

/** Rough floating-point operations for each element of a kernel that moves, adds or passes it through an exponential. */
const moving = 4
const adding = 6
const exponential = 30

/** Checks shapes, turns buffers into addresses and calls the C kernels, all named as in `../kernels`. */
export const makeBackend = (memory: Memory, { floatsOf, heap, reserve, run, stop }: Threads): Backend => {
  const { fail, int, intValues, real } = memory

  const need = (condition: boolean, kernel: string, complaint: () => string): void => {
    if (!condition) fail(kernel, complaint())
  }

  /** Rows of `width` elements in a tensor that must hold a whole number of them. */
  const rowsOf = (kernel: string, name: string, tensor: Tensor, width: number): number => {
    need(
      width > 0 && tensor.length % width === 0,
      kernel,
      () => `${name} has length ${tensor.length}, expected a multiple of ${width}`
    )
    return tensor.length / width
  }

  const linearScratch = floatsOf("linear_scratch")

  /** out = x wᵀ + bias on addresses; also the logits of the head. */
  const product = (
    out: number,
    x: number,
    w: number,
    bias: number,
    rows: number,
    inputs: number,
    outputs: number
  ): void => {
    reserve(linearScratch)
    run(rows <= fewRows ? "linear_few_rows" : "linear", 2 * rows * inputs * outputs, [
      out,
      x,
      w,
      bias,
      rows,
      inputs,
      outputs
    ])
  }
  const inputGradient = (
    dX: number,
    dOut: number,
    w: number,
    accumulate: boolean,
    rows: number,
    inputs: number,
    outputs: number
  ): void => {
    reserve(linearScratch)
    run("linear_input_gradient", 2 * rows * inputs * outputs, [dX, dOut, w, Number(accumulate), rows, inputs, outputs])
  }
  const weightGradient = (dW: number, dOut: number, x: number, rows: number, inputs: number, outputs: number): void => {
    reserve(linearScratch)
    run("linear_weight_gradient", 2 * rows * inputs * outputs, [dW, dOut, x, rows, inputs, outputs])
  }

  const normSizes = (kernel: string, { dim, groups, offset, rows, stride }: NormShape) => {
    need(
      dim > 0 && offset >= 0 && offset + groups * dim <= stride,
      kernel,
      () => `${groups} groups of ${dim} from ${offset} do not fit in a row of ${stride}`
    )
    return { x: rows * stride, inv: rows * groups, work: adding * rows * groups * dim }
  }

  const attentionSizes = (kernel: string, qkv: Tensor, shape: AttentionShape) => {
    const { headDim, heads, kvHeads, window } = shape
    need(
      kvHeads > 0 && headDim > 0 && heads % kvHeads === 0 && window >= 0,
      kernel,
      () => `${heads} heads cannot share ${kvHeads} kvHeads (headDim ${headDim}, window ${window})`
    )
    const width = (heads + 2 * kvHeads) * headDim
    const rows = rowsOf(kernel, "qkv", qkv, width)
    return { rows, qkv: rows * width, out: rows * heads * headDim, lse: rows * heads }
  }

  /** Checks that row starts are 0, not decreasing, and end with the number of rows. */
  const sequences = (kernel: string, starts: Ints, rows: number, { headDim, heads }: AttentionShape) => {
    const values = intValues(kernel, "starts", starts)
    let longest = 0
    let pairs = 0
    let whole = values[0] === 0 && values[values.length - 1] === rows
    for (let b = 1; b < values.length; b++) {
      const length = values[b]! - values[b - 1]!
      whole &&= length >= 0
      longest = Math.max(longest, length)
      pairs += length * length / 2
    }
    need(whole, kernel, () => `starts [${values.join(", ")}] do not divide ${rows} rows`)
    return {
      starts: values.byteOffset,
      count: values.length - 1,
      longest,
      work: heads * pairs * (4 * headDim + exponential)
    }
  }

  const cacheSlots = (kernel: string, keys: Tensor, shape: AttentionShape & { readonly capacity: number }): number =>
    rowsOf(kernel, "keys", keys, shape.capacity * shape.kvHeads * shape.headDim)

  const checkHead = (kernel: string, { temperature, vocab }: HeadShape): void =>
    need(temperature > 0 && vocab > 0, kernel, () => `temperature ${temperature}, vocab ${vocab}`)

  /** Calls `each` with blocks of rows and the address of room for their logits. */
  const inBlocks = ({ rows, vocab }: HeadShape, each: (logits: number, first: number, count: number) => void): void => {
    const block = Math.min(rows, Math.max(64, Math.floor(headLogits / vocab)))
    const logits = heap.allocate(4 * block * vocab)
    try {
      for (let first = 0; first < rows; first += block) each(logits.pointer, first, Math.min(block, rows - first))
    } finally {
      heap.free(logits.pointer, logits.bytes)
    }
  }

  const gather = (
    kernel: string,
    out: Tensor,
    table: Tensor,
    name: string,
    ids: Ints,
    idsName: string,
    dim: number
  ) => {
    const known = rowsOf(kernel, name, table, dim)
    run("gather_rows", moving * ids.length * dim, [
      real(kernel, "out", out, ids.length * dim),
      real(kernel, name, table),
      int(kernel, idsName, ids, known),
      ids.length,
      dim
    ])
  }

  return {
    name: "wasm",
    realBytes: 4,
    reals: memory.reals,
    ints: memory.ints,
    free: memory.free,
    slice: memory.slice,
    write: memory.write,
    writeInts: memory.writeInts,
    read: memory.read,
    memory: memory.memory,
    dispose: stop,

    zero: (of) => run("zero", moving * of.length, [real("zero", "of", of), of.length]),
    add: (out, x) =>
      run("add", adding * out.length, [real("add", "out", out), real("add", "x", x, out.length), out.length]),
    copy: (out, x) =>
      run("copy", moving * out.length, [real("copy", "out", out), real("copy", "x", x, out.length), out.length]),
    sumSquares: (x) => {
      const pointer = real("sumSquares", "x", x)
      const chunks = Math.ceil(x.length / sumChunk)
      const sums = heap.allocate(8 * chunks)
      run("sum_squares", adding * x.length, [sums.pointer, pointer, x.length, sumChunk])
      let sum = 0
      for (let c = 0; c < chunks; c++) sum += heap.doubles()[sums.pointer / 8 + c]!
      heap.free(sums.pointer, sums.bytes)
      return sum
    },

    embed: (out, table, ids, dim) => gather("embed", out, table, "table", ids, "ids", dim),
    embedBackward: (dTable, dOut, ids, dim) => {
      const vocab = rowsOf("embedBackward", "dTable", dTable, dim)
      run("embed_backward", adding * ids.length * dim, [
        real("embedBackward", "dTable", dTable),
        real("embedBackward", "dOut", dOut, ids.length * dim),
        int("embedBackward", "ids", ids, vocab),
        ids.length,
        dim
      ])
    },
    gatherRows: (out, x, rows, dim) => gather("gatherRows", out, x, "x", rows, "rows", dim),
    scatterRows: (out, x, rows, dim) => {
      const kernel = "scatterRows"
      const to = int(kernel, "rows", rows, rowsOf(kernel, "out", out, dim))
      need(new Set(intValues(kernel, "rows", rows)).size === rows.length, kernel, () => "rows are not distinct")
      const pointer = real(kernel, "out", out)
      const from = real(kernel, "x", x, rows.length * dim)
      run("zero", moving * out.length, [pointer, out.length])
      run("scatter_rows", moving * x.length, [pointer, from, to, rows.length, dim])
    },

    linear: (out, x, w, bias, rows, inputs, outputs) =>
      product(
        real("linear", "out", out, rows * outputs),
        real("linear", "x", x, rows * inputs),
        real("linear", "w", w, outputs * inputs),
        bias === null ? 0 : real("linear", "bias", bias, outputs),
        rows,
        inputs,
        outputs
      ),
    linearBackward: (out, dOut, x, w, rows, inputs, outputs) => {
      const kernel = "linearBackward"
      const gradient = real(kernel, "dOut", dOut, rows * outputs)
      const input = real(kernel, "x", x, rows * inputs)
      const weight = real(kernel, "w", w, outputs * inputs)
      const dX = out.dX === null ? 0 : real(kernel, "dX", out.dX, rows * inputs)
      const dW = out.dW === null ? 0 : real(kernel, "dW", out.dW, outputs * inputs)
      const dBias = out.dBias === null ? 0 : real(kernel, "dBias", out.dBias, outputs)
      if (dX !== 0) inputGradient(dX, gradient, weight, out.accumulate, rows, inputs, outputs)
      if (dW !== 0) weightGradient(dW, gradient, input, rows, inputs, outputs)
      if (dBias !== 0) run("linear_bias_gradient", adding * rows * outputs, [dBias, gradient, rows, outputs])
    },

    rmsNorm: (out, x, weight, inv, shape) => {
      const sizes = normSizes("rmsNorm", shape)
      run("rms_norm", sizes.work, [
        real("rmsNorm", "out", out, sizes.x),
        real("rmsNorm", "x", x, sizes.x),
        real("rmsNorm", "weight", weight, shape.dim),
        real("rmsNorm", "inv", inv, sizes.inv),
        shape.rows,
        shape.groups,
        shape.dim,
        shape.stride,
        shape.offset,
        shape.eps
      ])
    },
    rmsNormBackward: (out, dOut, x, weight, inv, shape) => {
      const kernel = "rmsNormBackward"
      const sizes = normSizes(kernel, shape)
      const dX = real(kernel, "dX", out.dX, sizes.x)
      const gradient = real(kernel, "dOut", dOut, sizes.x)
      const input = real(kernel, "x", x, sizes.x)
      const by = real(kernel, "weight", weight, shape.dim)
      const inverse = real(kernel, "inv", inv, sizes.inv)
      const { dim, groups, offset, rows, stride } = shape
      // First, because dX may be dOut.
      if (out.dWeight !== null) {
        const dWeight = real(kernel, "dWeight", out.dWeight, dim)
        run("rms_norm_weight_gradient", sizes.work, [
          dWeight,
          gradient,
          input,
          inverse,
          rows,
          groups,
          dim,
          stride,
          offset
        ])
      }
      const accumulate = Number(out.accumulate)
      run("rms_norm_backward", 2 * sizes.work, [
        dX,
        gradient,
        input,
        by,
        inverse,
        accumulate,
        rows,
        groups,
        dim,
        stride,
        offset
      ])
    },

    rope: (x, cos, sin, positions, { headDim, heads, inverse, stride }) => {
      need(headDim > 0 && headDim % 2 === 0, "rope", () => `headDim ${headDim} is not even`)
      need(heads * headDim <= stride, "rope", () => `${heads} heads of ${headDim} do not fit in a row of ${stride}`)
      const known = rowsOf("rope", "cos", cos, headDim / 2)
      run("rope", adding * positions.length * heads * headDim, [
        real("rope", "x", x, positions.length * stride),
        real("rope", "cos", cos),
        real("rope", "sin", sin, cos.length),
        int("rope", "positions", positions, known),
        positions.length,
        heads,
        headDim,
        stride,
        Number(inverse)
      ])
    },

    attention: (out, lse, qkv, starts, shape) => {
      const sizes = attentionSizes("attention", qkv, shape)
      const packed = sequences("attention", starts, sizes.rows, shape)
      const { headDim, heads, kvHeads, scale, window } = shape
      reserve(floatsOf("attention_scratch", packed.longest, headDim, window))
      run("attention", packed.work, [
        real("attention", "out", out, sizes.out),
        real("attention", "lse", lse, sizes.lse),
        real("attention", "qkv", qkv),
        packed.starts,
        packed.count,
        heads,
        kvHeads,
        headDim,
        scale,
        window
      ])
    },
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) => {
      const kernel = "attentionBackward"
      const sizes = attentionSizes(kernel, qkv, shape)
      const packed = sequences(kernel, starts, sizes.rows, shape)
      const { headDim, heads, kvHeads, scale, window } = shape
      reserve(floatsOf("attention_backward_scratch", packed.longest, headDim))
      run("attention_backward", 2.5 * packed.work, [
        real(kernel, "dQkv", dQkv, sizes.qkv),
        real(kernel, "dOut", dOut, sizes.out),
        real(kernel, "qkv", qkv),
        real(kernel, "out", out, sizes.out),
        real(kernel, "lse", lse, sizes.lse),
        packed.starts,
        packed.count,
        heads,
        kvHeads,
        headDim,
        scale,
        window
      ])
    },
    cacheWrite: (keys, values, qkv, slots, positions, shape) => {
      const { rows } = attentionSizes("cacheWrite", qkv, shape)
      const { capacity, headDim, heads, kvHeads } = shape
      run("cache_write", 2 * moving * rows * kvHeads * headDim, [
        real("cacheWrite", "keys", keys),
        real("cacheWrite", "values", values, keys.length),
        real("cacheWrite", "qkv", qkv),
        int("cacheWrite", "slots", slots, cacheSlots("cacheWrite", keys, shape), rows),
        int("cacheWrite", "positions", positions, capacity, rows),
        rows,
        heads,
        kvHeads,
        headDim,
        capacity
      ])
    },
    attentionDecode: (out, qkv, keys, values, slots, positions, shape) => {
      const kernel = "attentionDecode"
      const sizes = attentionSizes(kernel, qkv, shape)
      const { capacity, headDim, heads, kvHeads, scale, window } = shape
      const last = int(kernel, "positions", positions, capacity, sizes.rows)
      let seen = 0
      for (const position of intValues(kernel, "positions", positions)) {
        seen += window > 0 ? Math.min(window, position + 1) : position + 1
      }
      reserve(floatsOf("attention_decode_scratch", heads, kvHeads, capacity))
      run("attention_decode", seen * heads * (4 * headDim + exponential), [
        real(kernel, "out", out, sizes.out),
        real(kernel, "qkv", qkv),
        real(kernel, "keys", keys),
        real(kernel, "values", values, keys.length),
        int(kernel, "slots", slots, cacheSlots(kernel, keys, shape), sizes.rows),
        last,
        sizes.rows,
        heads,
        kvHeads,
        headDim,
        scale,
        window,
        capacity
      ])
    },

    swiglu: (out, gateUp, rows, dim) =>
      run("swiglu", exponential * rows * dim, [
        real("swiglu", "out", out, rows * dim),
        real("swiglu", "gateUp", gateUp, rows * 2 * dim),
        rows,
        dim
      ]),
    swigluBackward: (dGateUp, dOut, gateUp, rows, dim) =>
      run("swiglu_backward", 1.5 * exponential * rows * dim, [
        real("swigluBackward", "dGateUp", dGateUp, rows * 2 * dim),
        real("swigluBackward", "dOut", dOut, rows * dim),
        real("swigluBackward", "gateUp", gateUp, rows * 2 * dim),
        rows,
        dim
      ]),

    head: (out, h, w, targets, shape) => {
      checkHead("head", shape)
      const { dim, rows, temperature, vocab } = shape
      const logps = real("head", "logps", out.logps, rows)
      const lse = real("head", "lse", out.lse, rows)
      const entropy = real("head", "entropy", out.entropy, rows)
      const hidden = real("head", "h", h, rows * dim)
      const weight = real("head", "w", w, vocab * dim)
      const ids = int("head", "targets", targets, vocab, rows)
      inBlocks(shape, (logits, first, count) => {
        const at = 4 * first
        product(logits, hidden + at * dim, weight, 0, count, dim, vocab)
        run("head_rows", exponential * count * vocab, [
          logps + at,
          lse + at,
          entropy + at,
          logits,
          ids + at,
          count,
          vocab,
          1 / temperature
        ])
      })
    },
    headBackward: (out, dLogps, h, w, targets, lse, shape) => {
      const kernel = "headBackward"
      checkHead(kernel, shape)
      const { dim, rows, temperature, vocab } = shape
      const dH = real(kernel, "dH", out.dH, rows * dim)
      const dW = out.dW === null ? 0 : real(kernel, "dW", out.dW, vocab * dim)
      const gradient = real(kernel, "dLogps", dLogps, rows)
      const hidden = real(kernel, "h", h, rows * dim)
      const weight = real(kernel, "w", w, vocab * dim)
      const ids = int(kernel, "targets", targets, vocab, rows)
      const sums = real(kernel, "lse", lse, rows)
      inBlocks(shape, (logits, first, count) => {
        const at = 4 * first
        product(logits, hidden + at * dim, weight, 0, count, dim, vocab)
        run("head_rows_backward", exponential * count * vocab, [
          logits,
          gradient + at,
          ids + at,
          sums + at,
          count,
          vocab,
          1 / temperature
        ])
        inputGradient(dH + at * dim, logits, weight, false, count, dim, vocab)
        if (dW !== 0) weightGradient(dW, logits, hidden + at * dim, count, dim, vocab)
      })
    },

    adamw: (params, grads, m, v, { beta1, beta2, eps, gradScale, learningRate, step, weightDecay }) => {
      need(step >= 1, "adamw", () => `step ${step} is not 1 or more`)
      const length = params.length
      run("adamw", 20 * length, [
        real("adamw", "params", params),
        real("adamw", "grads", grads, length),
        real("adamw", "m", m, length),
        real("adamw", "v", v, length),
        length,
        gradScale,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        learningRate / (1 - beta1 ** step),
        1 / (1 - beta2 ** step),
        eps,
        1 - learningRate * weightDecay
      ])
    }
  }
}
