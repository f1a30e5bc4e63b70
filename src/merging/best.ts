import type { Tensors } from "../engine/engine.ts"
import type { Models } from "./tensors.ts"

/** What judged models made; a model of one ingredient is that ingredient. */
export interface Soup {
  readonly tensors: Tensors
  /** On the held-out set. */
  readonly score: number
  /** The models in it, in the order in which they came. */
  readonly ingredients: ReadonlyArray<string>
  /** Of each model by itself. */
  readonly scores: Readonly<Record<string, number>>
}

/** Asks for the score of weights, which is a function of them: the same weights, the same number. */
export type Judged = Generator<Tensors, Soup, number>

/** The model of the highest score; of equals the first by name. */
export function* best(models: Models): Judged {
  const scores: Record<string, number> = {}
  for (const [name, tensors] of Object.entries(models)) scores[name] = yield tensors
  const [first] = bestFirst(scores)
  return { tensors: models[first!]!, score: scores[first!]!, ingredients: [first!], scores }
}

/** Names from the best to the worst, of equals by name. */
export const bestFirst = (scores: Readonly<Record<string, number>>): ReadonlyArray<string> =>
  Object.keys(scores).sort((a, b) => scores[b]! - scores[a]! || (a < b ? -1 : 1))
