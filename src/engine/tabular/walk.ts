import type { Row } from "../engine.ts"
import { type Ids, idsOf } from "./codec.ts"
import { child, type Tree, treeOf } from "./tree.ts"
import type { WorldSpec } from "./world.ts"

/** A position in a token sequence: a prompt and a node of its tree; prompt −1 is before any prompt. */
export interface State {
  readonly prompt: number
  readonly node: number
}

const start: State = { prompt: -1, node: 0 }

/** The next state. Before a prompt and after `</s>` only a prompt (or bos) can come. */
const onward = (spec: WorldSpec, tree: Tree, ids: Ids, state: State, token: number): State => {
  const name = spec.vocabulary[token] ?? spec.prompts[token - ids.firstPrompt] ??
    (token === ids.bos ? "bos" : `id ${token}`)
  const ended = state.prompt < 0 || state.node >= tree.prefixes
  if (token >= ids.firstPrompt && token <= ids.bos) {
    if (ended) return token === ids.bos ? start : { prompt: token - ids.firstPrompt, node: 0 }
    throw new Error(`${name} in the middle of a completion: end the completion with </s> first`)
  }
  if (!(token >= 0 && token < ids.firstPrompt)) throw new Error(`${name} is not a token of ${spec.name}`)
  if (ended) {
    throw new Error(`${name} without a prompt before it: in ${spec.name} a text is a prompt, then a completion`)
  }
  if (state.node >= tree.contexts) {
    throw new Error(`completion longer than ${spec.name}'s horizon, ${spec.horizon} tokens with </s>: shorten it`)
  }
  return { prompt: state.prompt, node: child(tree, state.node, token) }
}

/** States of token sequences in one world. */
export const walker = (spec: WorldSpec) => {
  const tree = treeOf(spec)
  const ids = idsOf(spec)
  const after = (tokens: Int32Array, from: State = start): State =>
    tokens.reduce<State>((state, token) => onward(spec, tree, ids, state, token), from)
  /** The state before each own token, and the state after the last token of the row. */
  const states = ({ completion, given, prompt }: Row): Array<State> => {
    let state = after(prompt)
    const path: Array<State> = []
    completion.forEach((token, t) => {
      if (given?.[t] !== 1) path.push(state)
      state = onward(spec, tree, ids, state, token)
    })
    return [...path, state]
  }
  return { tree, ids, after, states }
}
