import type { Tensors } from "../engine/engine.ts"
import { linear } from "./linear.ts"
import type { Models } from "./tensors.ts"

export interface Soup {
  readonly tensors: Tensors
  /** Of the soup, on the held-out set. */
  readonly score: number
  /** The models in it, in the order in which they came. */
  readonly ingredients: ReadonlyArray<string>
  /** Of each model by itself. */
  readonly scores: Readonly<Record<string, number>>
}

/**
 * Greedy soup (Wortsman et al. 2022, arXiv 2203.05482, recipe 1): the models from the best to the worst, each stays in the
 * average when the average is then no worse on the held-out set. So it never scores below its best ingredient. `score` must
 * be a function: the same weights, the same number. Models of the same score come in the order of their names.
 */
export const greedySoup = (models: Models, score: (tensors: Tensors) => number): Soup => {
  const scores = Object.fromEntries(Object.entries(models).map(([name, tensors]) => [name, score(tensors)]))
  const [best, ...others] = Object.keys(models).sort((a, b) => scores[b]! - scores[a]! || (a < b ? -1 : 1))
  let soup: Soup = { tensors: models[best!]!, score: scores[best!]!, ingredients: [best!], scores }
  for (const name of others) {
    const ingredients = [...soup.ingredients, name]
    const tensors = linear(Object.fromEntries(ingredients.map((one) => [one, models[one]!])), { normalize: false })
    const together = score(tensors)
    if (together >= soup.score) soup = { tensors, score: together, ingredients, scores }
  }
  return soup
}
