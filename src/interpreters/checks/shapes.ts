/** The shape of an unopened model: from the description of a `Pretrain`, or from a checkpoint's `config.json`. */
import * as Result from "effect/Result"
import type * as Artifact from "../../../dsl/Artifact.ts"
import { fieldsOf, parentsOf } from "../../../dsl/Stage.ts"
import type { Shape as Described } from "../../../dsl/stages/Pretrain.ts"
import { llamaStructure } from "../../model/architecture.ts"
import type { ParameterShape } from "../../model/parameters.ts"
import { describedShape } from "./described.ts"

export type ModelShape = ParameterShape

/** For each checkpoint's folder: its shape, or its problem and remedy in one line. Adapters' folders: problems only. */
export type Shapes = ReadonlyMap<string, Result.Result<ModelShape, string>>

/** Results for every artefact on the way, because all artefacts of a chain ask for the same. */
const roots = new WeakMap<Artifact.Any, Artifact.Any>()

/** The artefact that decides the shape of a model. */
export const shapedBy = (artifact: Artifact.Any): Artifact.Any => {
  const way: Array<Artifact.Any> = []
  let at = artifact
  for (let up: Artifact.Any | undefined = at; up !== undefined; up = roots.has(at) ? undefined : parentsOf(at)[0]) {
    at = up
    way.push(at)
  }
  const root = roots.get(at) ?? at
  for (const one of way) roots.set(one, root)
  return root
}

/** A word-level tokenizer has four special tokens and at least one word; its text is not read yet. */
const vocabulary = 5

const pretrained = (model: Described): ModelShape => ({
  ...llamaStructure,
  ...model,
  vocab: vocabulary,
  headDim: Math.floor(model.dim / model.heads),
  tied: true
})

/** The shape of a model, with at least its vocabulary; undefined if unknown. */
export const shapeOf = (model: Artifact.Any, shapes: Shapes): ModelShape | undefined => {
  const root = shapedBy(model)
  const { model: described, path, shape } = fieldsOf(root)
  if (root.node.op === "Pretrain") return described && pretrained(described)
  if (root.node.op === "Checkpoint" && shape !== undefined) return describedShape(shape)
  const known = root.node.op === "Checkpoint" ? shapes.get(path!) : undefined
  return known === undefined ? undefined : Result.getOrUndefined(known)
}

/** The problem of a checkpoint's folder. */
export const unreadable = (artifact: Artifact.Any, shapes: Shapes): ReadonlyArray<string> => {
  if (artifact.node.op !== "Checkpoint") return []
  const { adapter, path } = fieldsOf(artifact)
  return [path, adapter].flatMap((folder) => {
    const known = folder === undefined ? undefined : shapes.get(folder)
    return known !== undefined && Result.isFailure(known) ? [known.failure] : []
  })
}
