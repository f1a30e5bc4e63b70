import { best, bestFirst, type Judged } from "./best.ts"
import { linear } from "./linear.ts"
import type { Models } from "./tensors.ts"

/**
 * Greedy soup (Wortsman et al. 2022, arXiv 2203.05482, recipe 1): the models from the best to the worst, each stays in the
 * average when the average is then no worse on the held-out set. So it never scores below its best ingredient. Models of the same score
 * come in the order of their names.
 */
export function* greedySoup(models: Models): Judged {
  let soup = yield* best(models)
  for (const name of bestFirst(soup.scores).slice(1)) {
    const ingredients = [...soup.ingredients, name]
    const tensors = linear(Object.fromEntries(ingredients.map((one) => [one, models[one]!])), { normalize: false })
    const score = yield tensors
    if (score >= soup.score) soup = { ...soup, tensors, score, ingredients }
  }
  return soup
}
