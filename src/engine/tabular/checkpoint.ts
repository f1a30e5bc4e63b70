import { processKey } from "../processReward.ts"
import { stream } from "../../sampling/random.ts"
import type { Weights } from "../engine.ts"
import { treeOf } from "./tree.ts"
import type { World, WorldSpec } from "./world.ts"

/** `config.json` of a tabular model. */
export const configOf = ({ horizon, name, prompts, vocabulary }: WorldSpec): Weights["config"] => ({
  model_type: "tabular",
  name,
  prompts: [...prompts],
  vocabulary: [...vocabulary],
  horizon
})

/** Throws unless the weights belong to this world. */
export const checkWorld = (spec: WorldSpec, weights: Weights): void => {
  const { [processKey]: _, ...config } = weights.config
  const [found, expected] = [JSON.stringify(config), JSON.stringify(configOf(spec))]
  if (found !== expected) throw new Error(`weights of another model: ${found}, where ${expected} is expected`)
}

/** The numbers of one tensor, in double precision; throws when it is missing or of another size. */
export const tensorOf = (weights: Weights, name: string, length: number): Float64Array => {
  const data = weights.tensors.get(name)?.data
  if (data?.length !== length) throw new Error(`weights have no tensor ${name} of ${length} numbers`)
  return Float64Array.from(data)
}

/** `logits` is [prompts · contexts, completion tokens]. */
export const policyWeights = (spec: WorldSpec, logits: Float64Array): Weights => {
  const tree = treeOf(spec)
  const shape = [spec.prompts.length * tree.contexts, tree.actions]
  return { config: configOf(spec), tensors: new Map([["logits", { shape, data: logits }]]), tokenizer: new Map() }
}

/** `scores` is [prompts · nodes]: one number for every state, ended states included. */
export const scorerWeights = (spec: WorldSpec, scores: Float64Array): Weights => ({
  config: configOf(spec),
  tensors: new Map([["scores", { shape: [scores.length], data: scores }]]),
  tokenizer: new Map()
})

/** The untrained policy: every next token equally likely. */
export const uniform = (spec: WorldSpec): Weights => {
  const tree = treeOf(spec)
  return policyWeights(spec, new Float64Array(spec.prompts.length * tree.contexts * tree.actions))
}

/**
 * The world's language: the policy that texts for pretraining are drawn from, and the natural base model and KL reference.
 * Its logits are standard normal, drawn from the world's seed apart from the gold reward.
 */
export const language = (world: World): Weights => {
  const random = stream(`${world.seed}/language`)
  const tree = treeOf(world)
  const length = world.prompts.length * tree.contexts * tree.actions
  return policyWeights(world, Float64Array.from({ length }, () => random.normal()))
}
