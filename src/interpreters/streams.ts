/**
 * The random streams of each node: a digest of its own `seed` and its place in the pipeline. The place is the operation with the places of
 * its inputs, without parameters, contents and caps. So variants of a pipeline (another learning rate, loss, file or cap) draw the same
 * prompts, batches and noise, and their results can be compared by pairs.
 *
 * Two stages of a pipeline at the same place draw the same numbers: give them different seeds where they should be independent.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { canonical } from "../../dsl/Canonical.ts"
import { sha256 } from "../../dsl/Digest.ts"
import { fieldsOf, initialOf, judgesOf } from "../../dsl/Stage.ts"

/** Wires that go with a coefficient: a variant where it is 0 has none of them. */
const weighted: ReadonlySet<string> = new Set(["reference", "pretraining"])

/**
 * The inputs that are part of a node's place. Rows that only judge are not. A report has none: any two evaluations ask their policies with
 * the same noise.
 */
const placing = (artifact: Artifact.Any): ReadonlyArray<readonly [wire: string, of: Artifact.Any]> => {
  const { kind, wires } = artifact.node
  const judging = judgesOf(artifact)
  return kind === "Evaluation"
    ? []
    : Object.entries(wires).filter(([wire]) => !weighted.has(wire) && !Object.hasOwn(judging, wire))
}

/** The stream of each artefact of the pipeline `root`. */
export const streamsIn = (root: Artifact.Any): (artifact: Artifact.Any) => string => {
  const places = new Map<string, string>()
  for (const artifact of Artifact.lineage(root)) {
    const from = placing(artifact).map(([wire, of]) => [wire, places.get(initialOf(of).id)!] as const)
    places.set(artifact.id, sha256(canonical({ op: artifact.node.op, from: Object.fromEntries(from) })))
  }
  return (artifact) => sha256(canonical({ seed: fieldsOf(artifact).seed ?? 0, place: places.get(artifact.id)! }))
}
