/**
 * The descent of each model of a pipeline: the models that its weights come from, its reference and whether that moves, its reward, value
 * and teacher, and of its data the models and sources that wrote or judged them.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { label, naming } from "../../dsl/Render.ts"
import { namedBy, type Origin } from "../../dsl/Source.ts"
import { fieldsOf, initialOf, judgesOf, parentsOf } from "../../dsl/Stage.ts"

export interface Descent {
  readonly name: string
  readonly op: string
  readonly parents: ReadonlyArray<string>
  /** Models on its other wires, by the wire; of a reference that moves, how. */
  readonly models: Readonly<Record<string, string>>
  /** By the wire: the names of models and of sources. Rows that only judge are left out. */
  readonly data: ReadonlyArray<{ readonly wire: string; readonly authors: ReadonlyArray<string> }>
}

const isModel = ({ node }: Artifact.Any): boolean => Artifact.modelKinds.includes(node.kind)

const last = (path: string): string => path.split(/[/@?]/u).findLast((part) => part !== "") ?? path

/** Its name among the outputs, the name of the file or model that is read, or its label. */
export const called = (root: Artifact.Any) => {
  const named = naming(root)
  return (artifact: Artifact.Any): string => {
    const of = initialOf(artifact)
    const name = named(label(of))
    if (name !== label(of)) return name
    const { origin, path, shape } = fieldsOf(of)
    if (of.node.op === "Checkpoint") return shape?.name ?? last(path ?? label(of))
    if (of.node.op !== "Source" || origin === undefined) return label(of)
    const { name: own } = origin as { readonly name?: string }
    return own ?? [namedBy(origin as Origin) ?? origin._tag.toLowerCase()].flat().join(", ")
  }
}

const moving = (artifact: Artifact.Any): string => {
  const { referencePolicy } = fieldsOf(artifact)
  switch (referencePolicy?._tag) {
    case "ResetEvery":
      return ` (replaced by the policy every ${referencePolicy.steps} steps)`
    case "MovingAverage":
      return " (moves with the policy)"
    default:
      return ""
  }
}

/** Of every model that is trained or merged, inputs first. */
export const descents = (root: Artifact.Any): ReadonlyArray<Descent> => {
  const name = called(root)
  /** Models and sources that the rows of an artefact are from; a reward made of models stands for these. */
  const authors = Artifact.derived<ReadonlyArray<string>>((artifact, of) => {
    const itself = isModel(artifact) && artifact.node.kind !== "Reward" || artifact.node.op === "Source"
    return itself ? [name(artifact)] : [...new Set(Object.values(artifact.node.wires).flatMap(of))]
  }, (artifact) => isModel(artifact) && artifact.node.kind !== "Reward" ? [] : Object.values(artifact.node.wires))
  return Artifact.lineage(root).flatMap((artifact) => {
    const { kind, op, wires } = artifact.node
    if (!isModel(artifact) || ["Cap", "Checkpoint", "Input", "Reward"].includes(op)) return []
    const parents = new Set(parentsOf(artifact).map((parent) => initialOf(parent).id))
    const judges = judgesOf(artifact)
    const on = Object.entries(wires).filter(([wire]) => !(wire in judges))
    const isParent = (wire: string, of: Artifact.Any) =>
      parents.has(initialOf(of).id) && wire !== "reference" && wire !== "value" && wire !== "teacher"
    return [{
      name: name(artifact),
      op: kind === "Policy" || op === "Pretrain" ? op : `${op} (${kind})`,
      parents: [...new Set(parentsOf(artifact).map(name))],
      models: Object.fromEntries(
        on.filter(([wire, of]) => isModel(of) && !isParent(wire, of)).map(([wire, of]) => [
          wire,
          (of.node.kind === "Reward" ? authors(of).join(" + ") || "verifiers" : name(of)) +
          (wire === "reference" ? moving(artifact) : "")
        ])
      ),
      data: on.filter(([, of]) => !isModel(of)).map(([wire, of]) => ({ wire, authors: authors(of) }))
    }]
  })
}
