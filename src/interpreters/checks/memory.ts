/**
 * A lower bound on a stage's memory, independent of its data: the weights of its open models, and a gradient and
 * AdamW's two moments for each model that it trains. The plan estimates the actual memory.
 */
import type * as Artifact from "../../../dsl/Artifact.ts"
import { trains } from "../../../dsl/Definition.ts"
import { size as shown } from "../../../dsl/Size.ts"
import { definitionOf, fieldsOf, parentsOf } from "../../../dsl/Stage.ts"
import { modelsIn } from "../../../dsl/stages/Reward.ts"
import { elements, parameters } from "../../model/parameters.ts"
import { type ModelShape, shapeOf, type Shapes } from "./shapes.ts"

/** Bytes of a real: weights, gradients and moments are f32 in every precision. */
const real = 4
/** Weights, gradients and two moments. */
const copies = 4

const elementsOf = (shape: ModelShape, head: "lm" | "score"): number =>
  parameters(shape, head).reduce((total, { shape }) => total + elements(shape), 0)

/** Elements of all parameters: where layers are alike, the elements of a layer times the number of layers. */
const size = (shape: ModelShape, head: "lm" | "score"): number => {
  if (new Set((shape.blocks ?? []).map(({ mlp }) => mlp.form)).size > 1) return elementsOf(shape, head)
  const without = elementsOf({ ...shape, layers: 0 }, head)
  return without + shape.layers * (elementsOf({ ...shape, layers: 1 }, head) - without)
}

/** The head of a model: a score for reward and value models, and for models that become them. */
const headOf = (...kinds: ReadonlyArray<Artifact.Kind>): "lm" | "score" =>
  kinds.some((kind) => kind === "RewardModel" || kind === "ValueModel") ? "score" : "lm"

/** Lower bound in bytes; 0 if the size of its models is unknown. */
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
    ...frozen.flatMap((wire) => {
      const model = node.wires[wire]
      return model?.node.kind === "Reward" ? modelsIn(model).map((one) => of(one, 1)) : [of(model, 1)]
    })
  ].reduce((a, b) => a + b, 0)
}

const opensOf = ({ node }: Artifact.Any) => definitionOf(node)?.opens ?? {}

/** Whether it trains a model that is on none of its wires. */
const fromNothing = (artifact: Artifact.Any): boolean => {
  const definition = definitionOf(artifact.node)
  return definition !== undefined && trains(definition) && parentsOf(artifact).length === 0
}

/** A sentence for a stage that cannot fit its memory cap. */
export const fitting = (artifact: Artifact.Any, cap: number, shapes: Shapes): ReadonlyArray<string> => {
  if (cap === Infinity) return []
  const least = bytesAtLeast(artifact, shapes)
  if (least <= cap) return []
  const whole = fieldsOf(artifact).lora === undefined
  const trained = (opensOf(artifact).trained ?? []).some((wire) => wire in artifact.node.wires)
  return [
    `memory is capped at ${shown(cap)}, and its models' weights${
      whole && (trained || fromNothing(artifact)) ? ", gradients and AdamW moments" : ""
    } alone take ${shown(least)}: raise the cap, take a smaller model${
      whole && trained ? ", or train adapters with lora" : ""
    }`
  ]
}
