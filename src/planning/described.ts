/** The `config.json` of a described model, for plans, which need no weights. */
import type { Shape } from "../../dsl/Checkpoint.ts"
import { describedShape, idleIn } from "../interpreters/checks/described.ts"
import { idleKey } from "../model/config.ts"
import { llamaConfig } from "../model/init.ts"

export const describedConfig = (shape: Shape): Readonly<Record<string, unknown>> => {
  const { headDim, ...model } = describedShape(shape)
  const idle = idleIn(shape)
  return { ...llamaConfig(model), head_dim: headDim, ...(idle === 0 ? {} : { [idleKey]: idle }) }
}
