/** Adapters must have a lower rank than their matrices. */
import type * as Artifact from "../../../dsl/Artifact.ts"
import { trains } from "../../../dsl/Definition.ts"
import type { TargetModule } from "../../../dsl/Lora.ts"
import { definitionOf, fieldsOf } from "../../../dsl/Stage.ts"
import { shapeOf, type Shapes } from "./shapes.ts"

/** A sentence for each kind of matrix that is too small for the adapters of a stage, if its size is known. */
export const ranks = (artifact: Artifact.Any, shapes: Shapes): ReadonlyArray<string> => {
  const { lora } = fieldsOf(artifact)
  const definition = definitionOf(artifact.node)
  if (lora === undefined || definition?.parent === undefined || !trains(definition)) return []
  const shape = shapeOf(artifact, shapes)
  if (shape === undefined) return []
  const { dim, ffn, headDim, heads, kvHeads } = shape
  const [queries, keys] = [Math.min(dim, heads * headDim), Math.min(dim, kvHeads * headDim)]
  const smaller: Readonly<Record<TargetModule, number>> = {
    q_proj: queries,
    k_proj: keys,
    v_proj: keys,
    o_proj: queries,
    gate_proj: Math.min(dim, ffn),
    up_proj: Math.min(dim, ffn),
    down_proj: Math.min(dim, ffn)
  }
  return lora.targetModules.filter((name) => lora.rank > smaller[name]).map((name) =>
    `lora.rank ${lora.rank} is larger than the smaller dimension of ${name}, ${smaller[name]}`
  )
}
