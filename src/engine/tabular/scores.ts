import type { Weights } from "../engine.ts"
import { codecOf } from "./codec.ts"
import { completions, type Table } from "./exact.ts"
import { tabular } from "./tabular.ts"
import type { World } from "./world.ts"

/** The reward of every completion by any reward model: a score table, an ensemble, or a process reward model. */
export const rewardOf = (world: World, weights: Weights): Table => {
  const codec = codecOf(world)
  const scorer = tabular(world).scorer(weights)
  return world.prompts.map((prompt) => {
    const rows = completions(world).map(({ tokens }) => ({ prompt: codec.encodePrompt(prompt), completion: tokens }))
    const { offsets, values } = scorer.values(rows)
    return Float64Array.from(rows, (_, i) => values[offsets[i + 1]! - 1]!)
  })
}
