/**
 * A world whose reward model has learnt some completions wrong: Goodhart's law with every number known. Optimised, the proxy rises without end;
 * gold rises while what the two have in common is learnt, and falls when the policy finds the mistakes.
 */
import { stream } from "../../src/sampling/random.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { language, scorerWeights } from "../../src/engine/tabular/checkpoint.ts"
import { completions, logDistribution, rewardTable, type Table } from "../../src/engine/tabular/exact.ts"
import { endOf, treeOf } from "../../src/engine/tabular/tree.ts"
import { type World, world as makeWorld } from "../../src/engine/tabular/world.ts"

/** A reward model with these scores of whole completions. */
export const scorerOf = (world: World, table: Table): Weights => {
  const tree = treeOf(world)
  const scores = new Float64Array(world.prompts.length * tree.nodes)
  table.forEach((of, p) =>
    of.forEach((score, n) => {
      scores[p * tree.nodes + endOf(tree, n)] = score
    })
  )
  return scorerWeights(world, scores)
}

export interface OverOptimised {
  readonly world: World
  readonly proxy: Weights
}

/**
 * Proxy = gold, but `mistaken` completions of each prompt, drawn from the less likely half of the world's language, have the best gold plus
 * `bonus` while gold is the worst: rare at first, and then what an optimiser of the proxy wants. `mistaken` 0: a proxy that is gold.
 */
export const overOptimised = (
  { bonus, mistaken, ...options }: Parameters<typeof makeWorld>[0] & {
    readonly mistaken: number
    readonly bonus: number
  }
): OverOptimised => {
  const inner = makeWorld(options)
  const random = stream(`${options.seed}/mistakes`)
  const gold = rewardTable(inner)
  const wrong = logDistribution(inner, language(inner)).map((logps) => {
    const rare = Array.from(logps.keys()).sort((a, b) => logps[a]! - logps[b]!).slice(0, Math.ceil(logps.length / 2))
    return new Set(random.shuffle(rare).slice(0, mistaken))
  })
  const texts = new Map(completions(inner).map(({ text }, n) => [text, n]))
  const [worst, best] = [gold.map((of) => Math.min(...of)), gold.map((of) => Math.max(...of))]
  const world: World = {
    ...inner,
    gold: (prompt, completion) => {
      const p = inner.prompts.indexOf(prompt)
      const n = texts.get(completion)
      return n !== undefined && p >= 0 && wrong[p]!.has(n) ? worst[p]! : inner.gold(prompt, completion)
    }
  }
  const proxy = gold.map((of, p) => of.map((score, n) => wrong[p]!.has(n) ? best[p]! + bonus : score))
  return { world, proxy: scorerOf(world, proxy) }
}
