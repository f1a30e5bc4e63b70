import type { Backend } from "../backend.ts"
import type { Memory } from "./memory.ts"
import type { Tfjs } from "./pieces.ts"

/**
 * AdamW (Loshchilov and Hutter 2019, Algorithm 2), one piece of the flat buffers after the other, which stays in the caches between
 * its operations. The bias corrections are numbers, folded into the learning rate and eps:
 * lr · m̂ / (√v̂ + eps) = lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + eps · √(1 − β₂ᵗ)).
 */
export const adamw = (
  tf: Tfjs,
  { aligned, check, kernel, part, real, room, set, shape }: Memory
): Pick<Backend, "adamw"> => ({
  adamw: (params, grads, m, v, { beta1, beta2, eps, gradScale, learningRate, step, weightDecay }) =>
    kernel(() => {
      check.adamw(step)
      const length = params.length
      const buffers = {
        params: room("adamw", "params", params),
        grads: room("adamw", "grads", grads, length),
        m: room("adamw", "m", m, length),
        v: room("adamw", "v", v, length)
      }
      const root = Math.sqrt(1 - beta2 ** step)
      const rate = learningRate * root / (1 - beta1 ** step)
      for (const [at, size] of aligned(Object.values(buffers))) {
        // The shape of the products to come, to avoid reshaping back and forth.
        const matrix = shape(part(buffers.params, at, size))
        const now = (name: keyof typeof buffers) => real("adamw", name, part(buffers[name], at, size), matrix)
        tf.tidy(() => {
          const gradient = now("grads")
          const first = tf.add(tf.mul(now("m"), beta1), tf.mul(gradient, (1 - beta1) * gradScale))
          const second = tf.add(
            tf.mul(now("v"), beta2),
            tf.mul(tf.square(gradient), (1 - beta2) * gradScale * gradScale)
          )
          const update = tf.div(tf.mul(first, rate), tf.add(tf.sqrt(second), eps * root))
          set(part(buffers.params, at, size), tf.sub(tf.mul(now("params"), 1 - learningRate * weightDecay), update))
          set(part(buffers.m, at, size), first)
          set(part(buffers.v, at, size), second)
          set(part(buffers.grads, at, size), null)
        })
      }
    })
})
