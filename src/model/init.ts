import type { TensorData, Tensors } from "./weights.ts"
import { stream } from "../sampling/random.ts"
import type { ModelConfig } from "./config.ts"
import { elements, parameters } from "./parameters.ts"

/** Standard deviation of the matrices (GPT-2, Radford et al. 2019; `initializer_range` of transformers). */
const deviation = 0.02

/**
 * Untrained weights: matrices normal with deviation 0.02, matrices that write to the residual stream (`o_proj`, `down_proj`)
 * divided by √(2 · layers) so that its variance does not grow with depth (Radford et al. 2019, §2.3), norms 1, biases 0, a
 * scalar head 0. Each tensor draws from a stream of its own, so it depends on the seed and its name only.
 */
export const initial = (config: ModelConfig, seed: string): Tensors =>
  new Map(
    parameters(config, config.head).map(({ name, shape }): [string, TensorData] => {
      const data = new Float32Array(elements(shape))
      const residual = name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight")
      if (name.endsWith("norm.weight")) data.fill(1)
      else if (!name.endsWith(".bias") && name !== "score.weight") {
        const { normal } = stream(`${seed}/${name}`)
        const scale = residual ? deviation / Math.sqrt(2 * config.layers) : deviation
        for (let i = 0; i < data.length; i++) data[i] = scale * normal()
      }
      return [name, { shape, data }]
    })
  )
