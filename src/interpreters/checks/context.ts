/** Prompts and completions must fit into the contexts of a stage's models. */
import * as Artifact from "../../../dsl/Artifact.ts"
import { label } from "../../../dsl/Render.ts"
import { fieldsOf, judgesOf } from "../../../dsl/Stage.ts"
import { shapedBy, shapeOf, type Shapes } from "./shapes.ts"

/** Words in the shortest instruction of the task `tales`. */
export const shortestTale = 11
/** Words in the shortest puzzle. */
export const shortestPuzzle = 9

/** The least tokens of each prompt: each word is at least one token of the word-level tokenizer of `Pretrain`. */
const wordsAtLeast = Artifact.derived<number>((prompts, words) => {
  const { origin } = fieldsOf(prompts)
  if (prompts.node.op === "Source" && origin !== undefined) {
    return origin._tag === "Tales"
      ? shortestTale
      : origin._tag === "Puzzles"
      ? shortestPuzzle
      : origin._tag === "Openings"
      ? origin.words
      : 0
  }
  const judged = judgesOf(prompts)
  const from = Object.entries(prompts.node.wires).flatMap(([wire, of]) => wire in judged ? [] : [words(of)])
  return from.length === 0 ? 0 : from.reduce((least, one) => Math.min(least, one))
})

/** A sentence for each model whose context is too short for the samples of a stage. */
export const contextLengths = (artifact: Artifact.Any, shapes: Shapes): ReadonlyArray<string> => {
  const { wires } = artifact.node
  const { maxLength, maxNewTokens } = fieldsOf(artifact)
  const models = Object.entries(wires).flatMap(([wire, of]) => {
    if (!Artifact.modelKinds.includes(of.node.kind)) return []
    const from = shapedBy(of)
    const shape = shapeOf(from, shapes)
    return shape === undefined ? [] : [{ wire, context: shape.context, from, words: from.node.op === "Pretrain" }]
  })
  const asked = Object.entries(wires).filter(([, of]) => of.node.kind === "Prompts")
    .map(([wire, of]) => ({ wire, words: wordsAtLeast(of) }))
    .reduce((most, one) => one.words > most.words ? one : most, { wire: "", words: 0 })
  return [
    ...models.flatMap(({ context, from, wire, words }) => {
      if (maxNewTokens === undefined) return []
      // The beginning of the sequence is a token, too.
      const prompt = 1 + (words ? asked.words : 0)
      if (prompt + maxNewTokens <= context) return []
      const why = prompt > 1 ? `after ${asked.wire} of ${prompt} tokens or more` : "after a prompt"
      return [
        `maxNewTokens ${maxNewTokens} ${why} is longer than the context ${context} of ${wire}, of ${label(from)}: ${
          context > prompt ? `take ${context - prompt} or fewer, or ` : ""
        }a model with a longer context`
      ]
    }),
    ...models.flatMap(({ context, from }) =>
      maxLength === undefined || maxLength <= context ? [] : [
        `maxLength ${maxLength} is more than the context ${context} of ${label(from)}: take ${context}, or leave it out`
      ]
    )
  ]
}
