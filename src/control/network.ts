import { type AdamW, adamw, clipScale } from "../optim/adamw.ts"
import type { Random } from "../sampling/random.ts"

/**
 * A multilayer perceptron in double precision: h_k = tanh(W_k h_{k−1} + b_k), the last layer linear. For networks of a few
 * hundred parameters, where calling a kernel costs more than the arithmetic.
 */
export interface Network {
  readonly parameters: Float64Array
  /** `rows` × inputs in, `rows` × outputs out; with `retain` the activations stay for a `backward`. */
  readonly forward: (inputs: Float64Array, options?: { readonly retain?: boolean }) => Float64Array
  /** Adds the gradient of a loss, given dLoss/dOutputs for the last retained `forward`. */
  readonly backward: (dOutputs: Float64Array) => void
  readonly gradient: Float64Array
  /** AdamW on the accumulated gradient, scaled down to L2 norm `maxGradNorm`, which is then 0. Returns the norm before. */
  readonly step: (update: Omit<AdamW, "step" | "gradScale"> & { readonly maxGradNorm: number }) => number
}

/** Weights are normal with variance gain²/inputs (tanh gain 5/3; the last layer `lastGain`), biases 0. */
export const network = (sizes: ReadonlyArray<number>, random: Random, lastGain: number): Network => {
  const layers = sizes.slice(1).map((outputs, k) => ({ inputs: sizes[k]!, outputs }))
  const parameters = new Float64Array(layers.reduce((sum, { inputs, outputs }) => sum + (inputs + 1) * outputs, 0))
  const [gradient, m, v] = [parameters.map(() => 0), parameters.map(() => 0), parameters.map(() => 0)]
  /** Where a layer's weights begin, outputs × inputs; its biases follow. */
  const starts: Array<number> = []
  let end = 0
  layers.forEach(({ inputs, outputs }, k) => {
    starts.push(end)
    const gain = (k === layers.length - 1 ? lastGain : 5 / 3) / Math.sqrt(inputs)
    for (let i = 0; i < inputs * outputs; i++) parameters[end + i] = gain * random.normal()
    end += (inputs + 1) * outputs
  })
  let kept: ReadonlyArray<Float64Array> | null = null
  let updates = 0

  const forward: Network["forward"] = (inputs, { retain = false } = {}) => {
    const rows = inputs.length / sizes[0]!
    const all = [inputs]
    layers.forEach((layer, k) => {
      const [before, after] = [all[k]!, new Float64Array(rows * layer.outputs)]
      const [weights, biases] = [starts[k]!, starts[k]! + layer.inputs * layer.outputs]
      for (let row = 0; row < rows; row++) {
        for (let out = 0; out < layer.outputs; out++) {
          let sum = parameters[biases + out]!
          const [w, x] = [weights + out * layer.inputs, row * layer.inputs]
          for (let i = 0; i < layer.inputs; i++) sum += parameters[w + i]! * before[x + i]!
          after[row * layer.outputs + out] = k === layers.length - 1 ? sum : Math.tanh(sum)
        }
      }
      all.push(after)
    })
    if (retain) kept = all
    return all.at(-1)!
  }

  const backward: Network["backward"] = (dOutputs) => {
    if (kept === null) throw new Error("backward without a retained forward")
    const all = kept
    kept = null
    const rows = all[0]!.length / sizes[0]!
    let slopes = dOutputs
    for (let k = layers.length - 1; k >= 0; k--) {
      const { inputs, outputs } = layers[k]!
      const before = all[k]!
      const [weights, biases] = [starts[k]!, starts[k]! + inputs * outputs]
      const dBefore = new Float64Array(before.length)
      for (let row = 0; row < rows; row++) {
        for (let out = 0; out < outputs; out++) {
          const slope = slopes[row * outputs + out]!
          gradient[biases + out]! += slope
          const [w, x] = [weights + out * inputs, row * inputs]
          for (let i = 0; i < inputs; i++) {
            gradient[w + i]! += slope * before[x + i]!
            dBefore[x + i]! += slope * parameters[w + i]!
          }
        }
      }
      // Through the tanh that made `before`, unless it is the input.
      slopes = k === 0 ? dBefore : dBefore.map((d, i) => d * (1 - before[i]! ** 2))
    }
  }

  const step: Network["step"] = ({ maxGradNorm, ...update }) => {
    const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))
    updates++
    adamw(parameters, gradient, m, v, { ...update, step: updates, gradScale: clipScale(norm, maxGradNorm) })
    return norm
  }

  return { parameters, gradient, forward, backward, step }
}
