/**
 * What a stage takes of memory whatever its data are: the weights of the models that it has open, and for those that it trains a
 * gradient and AdamW's two moments of each. More than that needs its data; what a stage really takes is what the plan counts.
 */
import type * as Artifact from "../../../dsl/Artifact.ts"
import { trains } from "../../../dsl/Definition.ts"
import { size as shown } from "../../../dsl/Size.ts"
import { definitionOf, fieldsOf } from "../../../dsl/Stage.ts"
import { elements, parameters } from "../../model/parameters.ts"
import { type ModelShape, shapeOf, type Shapes } from "./shapes.ts"

/** Bytes of a real: weights, gradients and moments are f32 in every precision. */
const real = 4
/** Weights, gradients and two moments. */
const copies = 4

const elementsOf = (shape: ModelShape, head: "lm" | "score"): number =>
  parameters(shape, head).reduce((total, { shape }) => total + elements(shape), 0)

/** Elements of all parameters: of one layer, as often as there are layers. */
const size = (shape: ModelShape, head: "lm" | "score"): number => {
  const without = elementsOf({ ...shape, layers: 0 }, head)
  return without + shape.layers * (elementsOf({ ...shape, layers: 1 }, head) - without)
}

/** What is read from a model: a score of a reward or value model, and of what becomes one. */
const headOf = (...kinds: ReadonlyArray<Artifact.Kind>): "lm" | "score" =>
  kinds.some((kind) => kind === "RewardModel" || kind === "ValueModel") ? "score" : "lm"

/** Bytes that a stage takes at least; 0 where nobody says how large its models are. */
export const bytesAtLeast = (artifact: Artifact.Any, shapes: Shapes): number => {
  const { node } = artifact
  const { frozen = [], trained = [] } = opensOf(artifact)
  const of = (model: Artifact.Any | undefined, times: number, ...becomes: ReadonlyArray<Artifact.Kind>): number => {
    const shape = model === undefined ? undefined : shapeOf(model, shapes)
    return shape === undefined ? 0 : real * times * size(shape, headOf(model!.node.kind, ...becomes))
  }
  const times = fieldsOf(artifact).lora === undefined ? copies : 1
  return [
    ...(fromNothing(artifact) ? [of(artifact, copies)] : []),
    ...trained.map((wire) => of(node.wires[wire], times, node.kind)),
    ...frozen.map((wire) => of(node.wires[wire], 1))
  ].reduce((a, b) => a + b, 0)
}

const opensOf = ({ node }: Artifact.Any) => definitionOf(node)?.opens ?? {}

/** Whether it trains a model that is on none of its wires. */
const fromNothing = ({ node }: Artifact.Any): boolean => {
  const definition = definitionOf(node)
  return definition !== undefined && trains(definition) && definition.parent === undefined
}

/** One sentence when a stage cannot fit its memory cap. */
export const fitting = (artifact: Artifact.Any, cap: number, shapes: Shapes): ReadonlyArray<string> => {
  if (cap === Infinity) return []
  const least = bytesAtLeast(artifact, shapes)
  if (least <= cap) return []
  const whole = fieldsOf(artifact).lora === undefined
  const trained = (opensOf(artifact).trained ?? []).length > 0
  return [
    `memory is capped at ${shown(cap)}, and its models' weights${
      whole && (trained || fromNothing(artifact)) ? ", gradients and AdamW moments" : ""
    } alone take ${shown(least)}: raise the cap, take a smaller model${
      whole && trained ? ", or train adapters with lora" : ""
    }`
  ]
}
