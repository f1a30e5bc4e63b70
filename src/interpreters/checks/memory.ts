/**
 * What a stage takes of memory whatever its data are: the weights of the models that it has open, and for those that it trains a
 * gradient and AdamW's two moments of each. More than that needs its data; what a stage really takes is what the plan counts.
 */
import type * as Artifact from "../../../dsl/Artifact.ts"
import { size as shown } from "../../../dsl/Size.ts"
import { elements, parameters } from "../../model/parameters.ts"
import { type ModelShape, shapeOf, type Shapes } from "./shapes.ts"

/** Bytes of a real: weights, gradients and moments are f32 in every precision. */
const real = 4
/** Weights, gradients and two moments. */
const copies = 4

/** Which models are open in the step of a stage, and which of them are trained. */
const open: Readonly<
  Record<string, { readonly trained: ReadonlyArray<string>; readonly frozen: ReadonlyArray<string> }>
> = {
  Sft: { trained: ["base"], frozen: [] },
  RewardModeling: { trained: ["init"], frozen: [] },
  Ppo: { trained: ["init", "value"], frozen: ["reference", "reward"] },
  Grpo: { trained: ["init"], frozen: ["reference", "reward"] },
  Dpo: { trained: ["init"], frozen: [] },
  Kto: { trained: ["init"], frozen: [] },
  Distill: { trained: ["student"], frozen: [] },
  OnPolicyDistill: { trained: ["student"], frozen: ["teacher"] },
  Compare: { trained: [], frozen: ["policy"] },
  Sample: { trained: [], frozen: ["policy"] },
  Evaluate: { trained: [], frozen: ["initial"] }
}

const elementsOf = (shape: ModelShape, head: "lm" | "score"): number =>
  parameters(shape, head).reduce((total, { shape }) => total + elements(shape), 0)

/** Elements of all parameters: of one layer, as often as there are layers. */
const size = (shape: ModelShape, head: "lm" | "score"): number => {
  const without = elementsOf({ ...shape, layers: 0 }, head)
  return without + shape.layers * (elementsOf({ ...shape, layers: 1 }, head) - without)
}

/** What is read from the model on a wire. */
const headOf = (op: string, wire: string): "lm" | "score" =>
  op === "RewardModeling" || wire === "reward" || wire === "value" ? "score" : "lm"

/** Bytes that a stage takes at least; 0 where nobody says how large its models are. */
export const bytesAtLeast = (artifact: Artifact.Any, shapes: Shapes): number => {
  const { op, params, wires } = artifact.node
  if (op === "Pretrain") return real * copies * size(shapeOf(artifact, shapes)!, "lm")
  const trains = (params as { readonly lora?: unknown }).lora === undefined ? copies : 1
  const of = (wire: string, times: number): number => {
    const shape = wires[wire] === undefined ? undefined : shapeOf(wires[wire], shapes)
    return shape === undefined ? 0 : real * times * size(shape, headOf(op, wire))
  }
  const { frozen, trained } = open[op] ?? { frozen: [], trained: [] }
  return [...trained.map((wire) => of(wire, trains)), ...frozen.map((wire) => of(wire, 1))].reduce((a, b) => a + b, 0)
}

/** One sentence when a stage cannot fit its memory cap. */
export const fitting = (artifact: Artifact.Any, cap: number, shapes: Shapes): ReadonlyArray<string> => {
  if (cap === Infinity) return []
  const least = bytesAtLeast(artifact, shapes)
  if (least <= cap) return []
  const { lora } = artifact.node.params as { readonly lora?: unknown }
  const trains = artifact.node.op === "Pretrain" || (open[artifact.node.op]?.trained.length ?? 0) > 0
  return [
    `memory is capped at ${shown(cap)}, and its models' weights${
      trains && lora === undefined ? ", gradients and AdamW moments" : ""
    } alone take ${shown(least)}: raise the cap, take a smaller model${
      trains && lora === undefined && artifact.node.op !== "Pretrain" ? ", or train adapters with lora" : ""
    }`
  ]
}
