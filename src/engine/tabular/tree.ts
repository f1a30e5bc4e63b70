import type { WorldSpec } from "./world.ts"

/**
 * The tree of completions of one prompt, the same for every prompt. Letter nodes 0 … `prefixes − 1` are the strings of
 * letters (tokens other than `</s>`) in order of length, node n's children are n·L + 1 + letter. Nodes shorter than the
 * horizon, 0 … `contexts − 1`, are *contexts*: there the policy has logits. Nodes `prefixes + n` are context n followed by
 * `</s>`.
 *
 * Completion number n is letter node n, with `</s>` if it is a context and cut off if it is at the horizon: there are
 * `prefixes` completions, each the only path to its end.
 */
export interface Tree {
  readonly letters: number
  readonly horizon: number
  /** Completion tokens: the letters, then `</s>`. */
  readonly actions: number
  readonly contexts: number
  readonly prefixes: number
  /** Letter nodes and ended nodes. */
  readonly nodes: number
}

export const treeOf = (spec: WorldSpec): Tree => {
  const letters = spec.vocabulary.length - 1
  let contexts = 0
  for (let depth = 0; depth < spec.horizon; depth++) contexts += letters ** depth
  const prefixes = contexts + letters ** spec.horizon
  return { letters, horizon: spec.horizon, actions: letters + 1, contexts, prefixes, nodes: prefixes + contexts }
}

/** The node after `action` in context `context`. */
export const child = (tree: Tree, context: number, action: number): number =>
  action === tree.letters ? tree.prefixes + context : context * tree.letters + 1 + action

/** The node where completion `n` ends. */
export const endOf = (tree: Tree, n: number): number => n < tree.contexts ? tree.prefixes + n : n

/** Tokens of completion `n`, `</s>` included where it ended. */
export const completionTokens = (tree: Tree, n: number): Int32Array => {
  const tokens: Array<number> = n < tree.contexts ? [tree.letters] : []
  for (let node = n; node > 0; node = Math.floor((node - 1) / tree.letters)) {
    tokens.unshift((node - 1) % tree.letters)
  }
  return Int32Array.from(tokens)
}
