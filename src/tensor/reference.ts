import type { Backend, Ints } from "./backend.ts"
import { adamw } from "./reference/adamw.ts"
import { attention, attentionBackward, attentionDecode, cacheWrite } from "./reference/attention.ts"
import { embed, embedBackward, scatterRows } from "./reference/embedding.ts"
import { gelu, geluBackward } from "./reference/gelu.ts"
import { head, headBackward } from "./reference/head.ts"
import { layerNorm, layerNormBackward } from "./reference/layerNorm.ts"
import { linear, linearBiasGradient, linearInputGradient, linearWeightGradient } from "./reference/linear.ts"
import { check, intsOf, makeMemory, realsOf } from "./reference/memory.ts"
import { rmsNorm, rmsNormBackward } from "./reference/rmsNorm.ts"
import { rope } from "./reference/rope.ts"
import { sample } from "./reference/sample.ts"
import { swiglu, swigluBackward } from "./reference/swiglu.ts"

/** Row starts of a packed batch. */
const startsOf = (kernel: string, starts: Ints, rows: number): Int32Array => {
  const data = intsOf(kernel, "starts", starts, rows + 1)
  check.starts(kernel, data, rows)
  return data
}

/**
 * The definition of every kernel: plain loops in double precision, each a transcription of its formula. For tests and for
 * the smallest models; slow on purpose.
 */
export const reference = (): Backend => {
  const memory = makeMemory()
  const product = (kernel: string): Backend["linear"] => (out, x, w, bias, rows, inputs, outputs, residual = null) =>
    linear(
      realsOf(kernel, "out", out, rows * outputs),
      realsOf(kernel, "x", x, rows * inputs),
      realsOf(kernel, "w", w, outputs * inputs),
      bias === null ? null : realsOf(kernel, "bias", bias, outputs),
      rows,
      inputs,
      outputs,
      residual === null ? null : realsOf(kernel, "residual", residual, rows * outputs)
    )
  const gather = (kernel: string, from: string, which: string): Backend["embed"] => (out, table, ids, dim) => {
    const known = check.rowsOf(kernel, from, table, dim)
    const to = realsOf(kernel, "out", out, ids.length * dim)
    embed(to, realsOf(kernel, from, table), intsOf(kernel, which, ids, known), dim)
  }
  const backend: Backend = {
    name: "reference",
    realBytes: 8,
    addressable: Infinity,
    precisions: ["f32"],
    at: (precision) => {
      if (precision !== "f32") check.fail("at", `no precision ${precision}: everything is in double precision`)
      return backend
    },
    ...memory,
    zero: (of) => void realsOf("zero", "of", of).fill(0),
    dispose: () => {},

    add: (out, x) => {
      const terms = realsOf("add", "x", x, out.length)
      const sums = realsOf("add", "out", out)
      for (let i = 0; i < terms.length; i++) sums[i]! += terms[i]!
    },
    copy: (out, x) => realsOf("copy", "out", out).set(realsOf("copy", "x", x, out.length)),
    lerp: (out, x, rate) => {
      const to = realsOf("lerp", "x", x, out.length)
      const from = realsOf("lerp", "out", out)
      for (let i = 0; i < to.length; i++) from[i] = (1 - rate) * from[i]! + rate * to[i]!
    },
    scale: (x, by) => {
      const values = realsOf("scale", "x", x)
      for (let i = 0; i < values.length; i++) values[i]! *= by
    },
    softcap: (x, cap) => {
      check.softcap(cap)
      const values = realsOf("softcap", "x", x)
      for (let i = 0; i < values.length; i++) values[i] = cap * Math.tanh(values[i]! / cap)
    },
    sumSquares: (x) => {
      let sum = 0
      for (const value of realsOf("sumSquares", "x", x)) sum += value * value
      return sum
    },

    embed: gather("embed", "table", "ids"),
    embedBackward: (dTable, dOut, ids, dim) => {
      const vocab = check.rowsOf("embedBackward", "dTable", dTable, dim)
      embedBackward(
        realsOf("embedBackward", "dTable", dTable),
        realsOf("embedBackward", "dOut", dOut, ids.length * dim),
        intsOf("embedBackward", "ids", ids, vocab),
        dim
      )
    },

    linear: product("linear"),
    packedLength: (inputs, outputs) => inputs * outputs,
    packWeight: (packed, w, inputs, outputs) =>
      realsOf("packWeight", "packed", packed, inputs * outputs).set(
        realsOf("packWeight", "w", w, inputs * outputs)
      ),
    linearPacked: product("linearPacked"),
    linearBackward: (out, dOut, x, w, rows, inputs, outputs) => {
      const kernel = "linearBackward"
      const gradient = realsOf(kernel, "dOut", dOut, rows * outputs)
      const input = realsOf(kernel, "x", x, rows * inputs)
      const weight = realsOf(kernel, "w", w, outputs * inputs)
      const dX = out.dX === null ? null : realsOf(kernel, "dX", out.dX, rows * inputs)
      const dW = out.dW === null ? null : realsOf(kernel, "dW", out.dW, outputs * inputs)
      const dBias = out.dBias === null ? null : realsOf(kernel, "dBias", out.dBias, outputs)
      if (dX !== null) linearInputGradient(dX, out.accumulate, gradient, weight, rows, inputs, outputs)
      if (dW !== null) linearWeightGradient(dW, gradient, input, rows, inputs, outputs)
      if (dBias !== null) linearBiasGradient(dBias, gradient, rows, outputs)
    },

    rmsNorm: (out, x, weight, inv, shape) => {
      const sizes = check.norm("rmsNorm", shape)
      rmsNorm(
        realsOf("rmsNorm", "out", out, sizes.x),
        realsOf("rmsNorm", "x", x, sizes.x),
        realsOf("rmsNorm", "weight", weight, shape.dim),
        realsOf("rmsNorm", "inv", inv, sizes.inv),
        shape
      )
    },
    rmsNormBackward: (out, dOut, x, weight, inv, shape) => {
      const kernel = "rmsNormBackward"
      const sizes = check.norm(kernel, shape)
      rmsNormBackward(
        realsOf(kernel, "dX", out.dX, sizes.x),
        out.accumulate,
        out.dWeight === null ? null : realsOf(kernel, "dWeight", out.dWeight, shape.dim),
        realsOf(kernel, "dOut", dOut, sizes.x),
        realsOf(kernel, "x", x, sizes.x),
        realsOf(kernel, "weight", weight, shape.dim),
        realsOf(kernel, "inv", inv, sizes.inv),
        shape
      )
    },

    layerNorm: (out, x, weight, bias, stats, shape) => {
      const kernel = "layerNorm"
      const { dim, rows } = shape
      layerNorm(
        realsOf(kernel, "out", out, rows * dim),
        realsOf(kernel, "x", x, rows * dim),
        realsOf(kernel, "weight", weight, dim),
        bias === null ? null : realsOf(kernel, "bias", bias, dim),
        realsOf(kernel, "stats", stats, 2 * rows),
        shape
      )
    },
    layerNormBackward: (out, dOut, x, weight, stats, shape) => {
      const kernel = "layerNormBackward"
      const { dim, rows } = shape
      layerNormBackward(
        realsOf(kernel, "dX", out.dX, rows * dim),
        out.accumulate,
        out.dWeight === null ? null : realsOf(kernel, "dWeight", out.dWeight, dim),
        out.dBias === null ? null : realsOf(kernel, "dBias", out.dBias, dim),
        realsOf(kernel, "dOut", dOut, rows * dim),
        realsOf(kernel, "x", x, rows * dim),
        realsOf(kernel, "weight", weight, dim),
        realsOf(kernel, "stats", stats, 2 * rows),
        shape
      )
    },

    rope: (x, cos, sin, positions, shape) => {
      const known = check.rope(cos, shape)
      rope(
        realsOf("rope", "x", x, positions.length * shape.stride),
        realsOf("rope", "cos", cos),
        realsOf("rope", "sin", sin, cos.length),
        intsOf("rope", "positions", positions, known),
        shape
      )
    },

    attention: (out, lse, qkv, starts, shape) => {
      const sizes = check.attention("attention", qkv, shape)
      attention(
        realsOf("attention", "out", out, sizes.out),
        realsOf("attention", "lse", lse, sizes.lse),
        realsOf("attention", "qkv", qkv),
        startsOf("attention", starts, sizes.rows),
        shape
      )
    },
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) => {
      const kernel = "attentionBackward"
      const sizes = check.attention(kernel, qkv, shape)
      attentionBackward(
        realsOf(kernel, "dQkv", dQkv, sizes.qkv),
        realsOf(kernel, "dOut", dOut, sizes.out),
        realsOf(kernel, "qkv", qkv),
        realsOf(kernel, "out", out, sizes.out),
        realsOf(kernel, "lse", lse, sizes.lse),
        startsOf(kernel, starts, sizes.rows),
        shape
      )
    },
    cacheWrite: (keys, values, qkv, slots, positions, shape) => {
      const { rows } = check.attention("cacheWrite", qkv, shape)
      cacheWrite(
        realsOf("cacheWrite", "keys", keys),
        realsOf("cacheWrite", "values", values, keys.length),
        realsOf("cacheWrite", "qkv", qkv),
        intsOf("cacheWrite", "slots", slots, check.slots("cacheWrite", keys, shape), rows),
        intsOf("cacheWrite", "positions", positions, shape.capacity, rows),
        shape
      )
    },
    attentionDecode: (out, qkv, keys, values, slots, positions, shape) => {
      const kernel = "attentionDecode"
      const sizes = check.attention(kernel, qkv, shape)
      attentionDecode(
        realsOf(kernel, "out", out, sizes.out),
        realsOf(kernel, "qkv", qkv),
        realsOf(kernel, "keys", keys),
        realsOf(kernel, "values", values, keys.length),
        intsOf(kernel, "slots", slots, check.slots(kernel, keys, shape), sizes.rows),
        intsOf(kernel, "positions", positions, shape.capacity, sizes.rows),
        shape
      )
    },

    swiglu: (out, gateUp, rows, dim) =>
      swiglu(
        realsOf("swiglu", "out", out, rows * dim),
        realsOf("swiglu", "gateUp", gateUp, rows * 2 * dim),
        rows,
        dim
      ),
    swigluBackward: (dGateUp, dOut, gateUp, rows, dim) =>
      swigluBackward(
        realsOf("swigluBackward", "dGateUp", dGateUp, rows * 2 * dim),
        realsOf("swigluBackward", "dOut", dOut, rows * dim),
        realsOf("swigluBackward", "gateUp", gateUp, rows * 2 * dim),
        rows,
        dim
      ),

    gelu: (out, x, shape) => {
      const { dim, gated, rows } = shape
      gelu(realsOf("gelu", "out", out, rows * dim), realsOf("gelu", "x", x, rows * dim * (gated ? 2 : 1)), shape)
    },
    geluBackward: (dX, dOut, x, shape) => {
      const { dim, gated, rows } = shape
      const length = rows * dim * (gated ? 2 : 1)
      geluBackward(
        realsOf("geluBackward", "dX", dX, length),
        realsOf("geluBackward", "dOut", dOut, rows * dim),
        realsOf("geluBackward", "x", x, length),
        shape
      )
    },

    head: (out, h, w, targets, shape) => {
      check.head("head", shape)
      head(
        realsOf("head", "logps", out.logps, shape.rows),
        realsOf("head", "lse", out.lse, shape.rows),
        realsOf("head", "entropy", out.entropy, shape.rows),
        realsOf("head", "h", h, shape.rows * shape.dim),
        realsOf("head", "w", w, shape.vocab * shape.dim),
        intsOf("head", "targets", targets, shape.vocab, shape.rows),
        shape
      )
    },
    headBackward: (out, dLogps, h, w, targets, lse, shape) => {
      check.head("headBackward", shape)
      headBackward(
        realsOf("headBackward", "dH", out.dH, shape.rows * shape.dim),
        out.dW === null ? null : realsOf("headBackward", "dW", out.dW, shape.vocab * shape.dim),
        realsOf("headBackward", "dLogps", dLogps, shape.rows),
        realsOf("headBackward", "h", h, shape.rows * shape.dim),
        realsOf("headBackward", "w", w, shape.vocab * shape.dim),
        intsOf("headBackward", "targets", targets, shape.vocab, shape.rows),
        realsOf("headBackward", "lse", lse, shape.rows),
        shape
      )
    },
    sample: (out, logits, uniforms, shape) => {
      const { rows, vocab } = shape
      check.sample(shape)
      sample(
        realsOf("sample", "tokens", out.tokens, rows),
        realsOf("sample", "logps", out.logps, rows),
        realsOf("sample", "logits", logits, rows * vocab),
        realsOf("sample", "uniforms", uniforms, 2 * rows),
        shape
      )
    },
    gatherRows: gather("gatherRows", "x", "rows"),
    scatterRows: (out, x, rows, dim) => {
      const to = intsOf("scatterRows", "rows", rows, check.rowsOf("scatterRows", "out", out, dim))
      check.distinct("scatterRows", to)
      scatterRows(realsOf("scatterRows", "out", out), realsOf("scatterRows", "x", x, rows.length * dim), to, dim)
    },

    adamw: (params, grads, m, v, update) => {
      check.adamw(update.step)
      const length = params.length
      adamw(
        realsOf("adamw", "params", params),
        realsOf("adamw", "grads", grads, length),
        realsOf("adamw", "m", m, length),
        realsOf("adamw", "v", v, length),
        update
      )
    }
  }
  return backend
}
