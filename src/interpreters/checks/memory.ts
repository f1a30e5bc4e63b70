/**
 * What a stage takes of memory whatever its data are: the weights of the models that it has open, and for those that it trains a
 * gradient and AdamW's two moments of each. A description alone says no more; what a stage really takes is what the plan counts.
 */
import type * as Artifact from "../../../dsl/Artifact.ts"
import type { Shape } from "../../../dsl/stages/Pretrain.ts"
import { elements, parameters } from "../../model/parameters.ts"
import { shapedBy } from "./context.ts"

/** Bytes of a real: weights, gradients and moments are f32 in every precision. */
const real = 4
/** Weights, gradients and two moments. */
const copies = 4
/** A word-level tokenizer has four special tokens and at least one word. */
const vocabulary = 5

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

/** Parameters at least: the vocabulary is that of a text which nobody has read yet. */
const size = ({ dim, ffn, heads, kvHeads, layers }: Shape, score: boolean): number =>
  parameters({
    vocab: vocabulary,
    dim,
    layers,
    heads,
    kvHeads,
    headDim: Math.floor(dim / heads),
    ffn,
    tied: true,
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    qkNorm: false
  }, score ? "score" : "lm").reduce((total, { shape }) => total + elements(shape), 0)

const shapeOf = (artifact: Artifact.Any): Shape | undefined => {
  const { op, params } = shapedBy(artifact).node
  return op === "Pretrain" ? (params as unknown as { readonly model: Shape }).model : undefined
}

/** Bytes that a stage takes at least; 0 where the description does not say. */
export const bytesAtLeast = (artifact: Artifact.Any): number => {
  const { op, params, wires } = artifact.node
  const trains = (params as { readonly lora?: unknown }).lora === undefined ? copies : 1
  const of = (wire: string, times: number): number => {
    const model = wires[wire]
    const shape = model === undefined ? undefined : shapeOf(model)
    return shape === undefined ? 0 : real * times * size(shape, model!.node.kind === "RewardModel")
  }
  if (op === "Pretrain") return real * copies * size(shapeOf(artifact)!, false)
  const { frozen, trained } = open[op] ?? { frozen: [], trained: [] }
  return [...trained.map((wire) => of(wire, trains)), ...frozen.map((wire) => of(wire, 1))].reduce((a, b) => a + b, 0)
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toPrecision(3)} MiB`

/** One sentence when a stage cannot fit its memory cap. */
export const fitting = (artifact: Artifact.Any, cap: number): ReadonlyArray<string> => {
  if (cap === Infinity) return []
  const least = bytesAtLeast(artifact)
  if (least <= cap) return []
  const { lora } = artifact.node.params as { readonly lora?: unknown }
  const trains = artifact.node.op === "Pretrain" || (open[artifact.node.op]?.trained.length ?? 0) > 0
  return [
    `memory is capped at ${mebibytes(cap)}, and its models' weights${
      trains && lora === undefined ? ", gradients and AdamW moments" : ""
    } alone take ${mebibytes(least)}: raise the cap, make the model smaller${
      trains && lora === undefined && artifact.node.op !== "Pretrain" ? ", or train adapters with lora" : ""
    }`
  ]
}
