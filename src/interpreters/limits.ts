/**
 * Which caps govern which nodes: a cap governs what its artefact was made from, down to and without its initial model. A cap on KL
 * governs of these the policies whose weights come from that initial model.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { definitionOf } from "../../dsl/Stage.ts"

/** The caps on one node: the tightest of each resource, every KL cap with its initial model. */
export interface Limits {
  readonly kl: ReadonlyArray<{ readonly mnats: number; readonly from: Artifact.Any }>
  readonly tokens: number
  readonly memory: number
  readonly seconds: number
}

interface CapParams {
  readonly kl?: { readonly mnats: number }
  readonly tokens?: number
  readonly memory?: number
  readonly seconds?: number
}

/** Caps change nothing about the artefact that they are on: the artefact below them. */
export const initialOf = (artifact: Artifact.Any): Artifact.Any => {
  let of = artifact
  while (of.node.op === "Cap" && of.node.wires["of"] !== undefined) of = of.node.wires["of"]
  return of
}

/** Whether it moves a policy by an allowance. */
export const spendsKl = ({ node: { op } }: Artifact.Any): boolean => definitionOf(op)?.spendsKl === true

const governed = (cap: Artifact.Any): ReadonlySet<string> => {
  const { from, of } = cap.node.wires
  const before = new Set(from === undefined ? [] : Artifact.lineage(from).map(({ id }) => id))
  return new Set(of === undefined ? [] : Artifact.lineage(of).map(({ id }) => id).filter((id) => !before.has(id)))
}

/**
 * Whether the weights of `artifact` come from `from`. A model that only gave data has a distance from its own initial model, and
 * capping its distance from this one could ask for `from` before it can be made.
 */
const descendsFrom = (artifact: Artifact.Any, from: Artifact.Any): boolean => {
  const stop = initialOf(from).id
  let at: Artifact.Any | undefined = artifact
  while (at !== undefined && initialOf(at).id !== stop) at = at.node.wires[definitionOf(at.node.op)?.parent ?? ""]
  return at !== undefined
}

/** The limits on each artefact of the pipeline `root`. */
export const limitsIn = (root: Artifact.Any): (artifact: Artifact.Any) => Limits => {
  const caps = Artifact.lineage(root).filter(({ node }) => node.op === "Cap")
    .map((cap) => ({ params: cap.node.params as CapParams, from: cap.node.wires["from"], ids: governed(cap) }))
  return (artifact) => {
    const mine = caps.filter(({ ids }) => ids.has(artifact.id))
    const least = (dimension: "tokens" | "memory" | "seconds") =>
      Math.min(Infinity, ...mine.map(({ params }) => params[dimension] ?? Infinity))
    return {
      kl: !spendsKl(artifact) ?
        [] :
        mine.flatMap(({ from, params }) =>
          params.kl === undefined || from === undefined || !descendsFrom(artifact, from)
            ? []
            : [{ mnats: params.kl.mnats, from: initialOf(from) }]
        ),
      tokens: least("tokens"),
      memory: least("memory"),
      seconds: least("seconds")
    }
  }
}

/** The allowances along the weight lineage of `of`, back to and without `from`. */
export const klSpenders = (of: Artifact.Any, from: Artifact.Any) => {
  const spenders: Array<{ readonly artifact: Artifact.Any; readonly mnats: number }> = []
  const stop = initialOf(from).id
  let at: Artifact.Any | undefined = of
  while (at !== undefined && initialOf(at).id !== stop) {
    const { op, params, wires }: Artifact.Node = at.node
    if (spendsKl(at)) {
      const { allowance } = params as { readonly allowance?: { readonly mnats?: number } }
      spenders.push({ artifact: at, mnats: allowance?.mnats ?? 0 })
    }
    at = wires[definitionOf(op)?.parent ?? ""]
  }
  return spenders
}
