import type { Codec } from "../engine.ts"
import type { WorldSpec } from "./world.ts"

/** Token ids: the vocabulary (its last is `</s>`), then a token for each prompt, then bos. */
export interface Ids {
  readonly end: number
  readonly firstPrompt: number
  readonly bos: number
  readonly vocab: number
}

export const idsOf = (spec: WorldSpec): Ids => {
  const actions = spec.vocabulary.length
  const bos = actions + spec.prompts.length
  return { end: actions - 1, firstPrompt: actions, bos, vocab: bos + 1 }
}

/**
 * Text of a world: token names separated by spaces. `encodePrompt("p0")` is bos and the prompt's token; a completion may hold
 * prompts too, because a text for pretraining is `"p0 a b"` after the empty prompt.
 */
export const codecOf = (spec: WorldSpec): Codec => {
  const ids = idsOf(spec)
  const names = [...spec.vocabulary, ...spec.prompts]
  const encode = (text: string): Array<number> =>
    text.split(" ").filter((name) => name !== "").map((name) => {
      const id = names.indexOf(name)
      if (id >= 0) return id
      throw new Error(`${JSON.stringify(name)} is not a token of ${spec.name}; it has: ${names.join(" ")}`)
    })
  return {
    encodePrompt: (text) => Int32Array.from([ids.bos, ...encode(text)]),
    encodeCompletion: (text, { end }) => Int32Array.from(end ? [...encode(text), ids.end] : encode(text)),
    decode: (tokens) =>
      Array.from(tokens).filter((id) => id !== ids.end && id !== ids.bos).map((id) => names[id] ?? `<${id}>`).join(" "),
    chat: () => {
      throw new Error(`${spec.name} has no chat template: use plain prompts (${spec.prompts.join(" ")})`)
    },
    answers: ({ ended }, text) => ended ? null : Int32Array.from(encode(text)),
    stop: [ids.end],
    vocab: ids.vocab
  }
}
