import * as Effect from "effect/Effect"
import type { Pretrain } from "../../dsl/stages/Pretrain.ts"
import type { Dataset } from "../data/dataset.ts"
import { lengthOf } from "../data/cut.ts"
import { texts } from "../data/encode.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Policy } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { inBatches } from "../training/batches.ts"
import { descend } from "../training/descent.ts"
import { fitted } from "../training/fitted.ts"
import { openModels } from "../training/loop.ts"
import { openers } from "../training/precision.ts"
import type { Scope } from "../training/scope.ts"

/** The words of a tokenizer made for this text. */
export const wordsIn = ({ rows, vocabulary }: Extract<Dataset, { readonly role: "Text" }>): ReadonlyArray<string> => {
  const words = new Set(vocabulary)
  for (const { text } of rows) for (const word of text.split(/\s+/u)) words.add(word)
  words.delete("")
  return [...words].sort()
}

/** Trains a base model from untrained weights; see `dsl/stages/Pretrain.ts`. */
export const pretrain = Effect.fn("pretrain")(function*(
  stage: Pretrain,
  wires: { readonly text: Extract<Dataset, { readonly role: "Text" }> },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const { rows } = wires.text
  const { chatTemplate, model } = stage
  const initial = engine.initial({
    ...model,
    words: wordsIn(wires.text),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    seed: scope.stream
  })
  const { models: { policy }, ...session } = yield* openModels<{ policy: Policy }>(scope, {
    policy: { open: openers(engine, stage).policy, initial }
  })
  const codec = engine.codec(initial)
  const use = { stage: scope.label, codec, context: policy.context }
  const { encoded: documents, rows: kept } = yield* fitted(use, rows, texts(codec), stage)
  const taking = inBatches(scope.stream, kept, stage.batchSize, (i) => lengthOf(documents[i]!))

  yield* descend(scope, { ...session, models: { policy } }, stage, policy, {
    steps: stage.steps,
    taking,
    step: (n) =>
      Effect.sync(() => {
        const rows = taking.of(n).map((i) => documents[i]!)
        const denominator = offsetsOf(rows)[rows.length]!
        const { logps } = policy.learn(rows, (logps) => crossEntropy(logps, { denominator }).gradient)
        const { loss } = crossEntropy(logps)
        return { passed: { rows, numbers: logps }, learn: { loss, gradient: null, metrics: {} }, tokens: logps.length }
      })
  })
  return policy.weights()
}, Effect.scoped)
