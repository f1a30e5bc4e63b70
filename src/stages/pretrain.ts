import * as Effect from "effect/Effect"
import type { Pretrain } from "../../dsl/stages/Pretrain.ts"
import type { Dataset } from "../data/dataset.ts"
import { lengthOf } from "../data/cut.ts"
import { texts } from "../data/encode.ts"
import { CurrentEngine } from "../engine/current.ts"
import { offsetsOf, type Weights } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { inBatches } from "../training/batches.ts"
import { fitted } from "../training/fitted.ts"
import { trainPolicy } from "../training/movePolicy.ts"
import type { Scope } from "../training/scope.ts"

/** The words of a tokenizer made for this text. */
export const wordsIn = ({ rows, vocabulary }: Extract<Dataset, { readonly role: "Text" }>): ReadonlyArray<string> => {
  const words = new Set(vocabulary)
  for (const { text } of rows) for (const word of text.split(/\s+/u)) words.add(word)
  words.delete("")
  return [...words].sort()
}

/** Trains a base model from untrained weights, or from those on `init`; see `dsl/stages/Pretrain.ts`. */
export const pretrain = Effect.fn("pretrain")(function*(
  stage: Pretrain,
  wires: {
    readonly text: Extract<Dataset, { readonly role: "Text" }>
    readonly init?: Weights | undefined
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const { chatTemplate } = stage
  const init = wires.init ?? engine.initial({
    ...stage.model!,
    words: wordsIn(wires.text),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    seed: scope.stream
  })
  return yield* trainPolicy(stage, { init }, scope, ({ codec, policy, use }) =>
    Effect.gen(function*() {
      const { encoded: documents, rows: kept } = yield* fitted(use, wires.text.rows, texts(codec), stage)
      const taking = inBatches(scope.stream, kept, stage.batchSize, (i) => lengthOf(documents[i]!))
      return {
        steps: stage.steps,
        taking,
        step: (n: number) =>
          Effect.sync(() => {
            const rows = taking.of(n).map((i) => documents[i]!)
            const denominator = offsetsOf(rows)[rows.length]!
            const { logps } = policy.learn(rows, (logps) => crossEntropy(logps, { denominator }).gradient)
            const { loss } = crossEntropy(logps)
            return {
              passed: { rows, numbers: logps },
              learn: { loss, gradient: null, metrics: {} },
              tokens: logps.length
            }
          })
      }
    }))
})
