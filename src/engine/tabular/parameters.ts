import { adamw, clipScale } from "../../optim/adamw.ts"
import type { Optimizer, Update, Weights } from "../engine.ts"

/** A table of parameters, its accumulated gradient and its AdamW moments. */
export interface Parameters {
  readonly values: Float64Array
  readonly gradient: Float64Array
  readonly step: (update: Update) => number
  readonly follow: (of: Weights, rate: number) => void
  readonly optimizer: () => Optimizer
  readonly restore: (optimizer: Optimizer) => void
}

/** `name` and `shape` as in the checkpoint; the moments are saved as `name.m` and `name.v`. */
export const parameters = (name: string, shape: ReadonlyArray<number>, initial: ArrayLike<number>): Parameters => {
  const values = Float64Array.from(initial)
  const gradient = new Float64Array(values.length)
  const m = new Float64Array(values.length)
  const v = new Float64Array(values.length)
  let updates = 0
  return {
    values,
    gradient,
    step: ({ betas, eps, learningRate, maxGradNorm, weightDecay }) => {
      const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))
      updates++
      adamw(values, gradient, m, v, {
        learningRate,
        beta1: betas[0],
        beta2: betas[1],
        eps,
        weightDecay,
        step: updates,
        gradScale: clipScale(norm, maxGradNorm)
      })
      return norm
    },
    follow: (of, rate) => {
      const other = of.tensors.get(name)!.data
      values.forEach((x, i) => {
        values[i] = (1 - rate) * x + rate * other[i]!
      })
    },
    optimizer: () => ({
      step: updates,
      tensors: new Map([[`${name}.m`, { shape, data: m.slice() }], [`${name}.v`, { shape, data: v.slice() }]])
    }),
    restore: (optimizer) => {
      for (const [key, moments] of [[`${name}.m`, m], [`${name}.v`, v]] as const) {
        const saved = optimizer.tensors.get(key)
        if (saved?.data.length !== moments.length) throw new Error(`optimizer state has no ${key} of ${moments.length}`)
        moments.set(saved.data)
      }
      updates = optimizer.step
    }
  }
}
