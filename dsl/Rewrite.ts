/** Descriptions out of descriptions, node by node. */
import type * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import { made } from "./Definition.ts"
import { definitionOf } from "./Stage.ts"

/** Rewrites every node of `root` once, inputs first. */
export const rewrite = (
  root: Artifact.Any,
  f: (artifact: Artifact.Any, wires: Readonly<Record<string, Artifact.Any>>) => Artifact.Any
) => {
  const done = new Map<string, Artifact.Any>()
  for (const artifact of Artifact.lineage(root)) {
    const wires = Object.fromEntries(Object.entries(artifact.node.wires).map(([name, of]) => [name, done.get(of.id)!]))
    done.set(artifact.id, f(artifact, wires))
  }
  return done.get(root.id)!
}

/** The same operation with other parameters, of which `also` were written now, or other wires; kind and family follow from them. */
export const remake = (
  { node }: Artifact.Any,
  params: Schema.Json,
  wires: Readonly<Record<string, Artifact.Any>>,
  ...also: ReadonlyArray<string>
) => {
  const definition = definitionOf(node)
  const { family, kind } = definition === undefined ? node : made(definition, params as object, wires)
  const written = node.written && { written: [...new Set([...node.written, ...also])] }
  return Artifact.make({ ...node, ...written, kind, family, params, wires })
}

/** Every node with the parameters of `given` that its operation has and its description does not write. */
export const filledIn = (root: Artifact.Any, given: Readonly<Record<string, Schema.Json | undefined>>): Artifact.Any =>
  rewrite(root, (artifact, wires) => {
    const { definition, params, written = [] } = { ...artifact.node, definition: definitionOf(artifact.node) }
    const filled = Object.entries(given).filter(([name, value]) =>
      value !== undefined && !written.includes(name) && Object.hasOwn(definition?.schema.fields ?? {}, name)
    )
    const all = { ...params as object, ...Object.fromEntries(filled) as Readonly<Record<string, Schema.Json>> }
    return remake(artifact, all, wires, ...filled.map(([name]) => name))
  })
