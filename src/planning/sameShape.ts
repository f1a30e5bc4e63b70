/**
 * Which stages of a pipeline need the same resources: they differ in the values of weights and rows, but not in number
 * or size. In rounds of a recipe most stages do.
 */
import type * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { canonical } from "../../dsl/Canonical.ts"
import { initialOf, parentsOf } from "../../dsl/Stage.ts"
import { type NodeCaps } from "../interpreters/capsOf.ts"

/** Operations whose models have weights of their own shape, not that of a parent. */
const origins = new Set(["Checkpoint", "Pretrain", "Input", "Ensemble", "Reward"])

/** A text that is equal for stages of equal needs; with the same `numbers`, also between pipelines. */
export const likenesses = (
  limits: (artifact: Artifact.Any) => NodeCaps,
  numbers = new Map<string, string>()
): (artifact: Artifact.Any) => string => {
  /** A short number for a text. */
  const number = (text: string): string => {
    const found = numbers.get(text)
    if (found !== undefined) return found
    const made = String(numbers.size)
    numbers.set(text, made)
    return made
  }
  const wiresOf = ({ node }: Artifact.Any, of: (artifact: Artifact.Any) => string) =>
    Object.entries(node.wires).map(([name, wire]) => [name, of(wire)] as const).sort(([a], [b]) => a < b ? -1 : 1)

  /** An artefact as an input: weights by their shape, rows by how they are made. */
  const input = Artifact.derived<string>((artifact, known) => {
    const initial = initialOf(artifact)
    if (initial !== artifact) return known(initial)
    const { kind, op } = artifact.node
    const params = artifact.node.params as Readonly<Record<string, Schema.Json>>
    const parent = parentsOf(artifact)[0]
    return number(
      op === "Source"
        ? artifact.id
        : !Artifact.modelKinds.includes(kind)
        ? stage(artifact, known)
        : origins.has(op) || parent === undefined
        ? canonical([op, artifact.id])
        // A reward model's loss decides how it is read.
        : canonical([kind, known(parent), kind === "RewardModel" ? params["loss"] ?? null : null])
    )
  }, (artifact) => [
    ...Object.values(artifact.node.wires),
    ...initialOf(artifact) === artifact ? limits(artifact).kl.map(({ from }) => from) : [initialOf(artifact)]
  ])
  const stage = (artifact: Artifact.Any, input: (artifact: Artifact.Any) => string): string => {
    const { op } = artifact.node
    const { seed: _, ...params } = artifact.node.params as Readonly<Record<string, Schema.Json>>
    const { kl, memory, seconds, tokens } = limits(artifact)
    // A cap per prompt asks for more samples.
    const distances = kl.map(({ from, max, p95 }) => [input(from), (max ?? p95) !== undefined])
    const caps = [distances, String(tokens), String(memory), String(seconds)]
    return canonical([op, params, wiresOf(artifact, input), caps] as never)
  }
  return (artifact) => stage(artifact, input)
}
