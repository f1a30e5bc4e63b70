import * as Effect from "effect/Effect"
import type { Sft } from "../../dsl/stages/Sft.ts"
import { UnusableData } from "../../dsl/Errors.ts"
import { lengthOf } from "../data/cut.ts"
import { encodeWithin, texts } from "../data/encode.ts"
import { type Masked, masked } from "../data/encodeSft.ts"
import { placeOf } from "../data/places.ts"
import type { DemonstrationRow, PromptRow, TextRow } from "../data/rows.ts"
import type { Weights } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { joinedTokens } from "../losses/ragged.ts"
import type { Composed } from "../rewards/composed.ts"
import { batchAt, batchesWithin, inBatches, stepsOf } from "../training/batches.ts"
import { fitted } from "../training/fitted.ts"
import { proxyBest } from "../training/keeping.ts"
import { trainPolicy } from "../training/movePolicy.ts"
import type { Scope } from "../training/scope.ts"

/** Fine-tunes on demonstrations; see `dsl/stages/Sft.ts`. */
export const sft = (
  stage: Sft,
  wires: {
    readonly base: Weights
    readonly demonstrations: ReadonlyArray<DemonstrationRow>
    readonly pretraining?: ReadonlyArray<TextRow> | undefined
    /** For `keep` alone. */
    readonly validation?: ReadonlyArray<DemonstrationRow> | undefined
    readonly reward?: Composed<Weights> | undefined
    readonly held?: ReadonlyArray<PromptRow> | undefined
  },
  scope: Scope
) =>
  trainPolicy(stage, { init: wires.base }, scope, (at) =>
    Effect.gen(function*() {
      const { policy, use } = at
      const { encoded: rows, rows: demonstrations } = yield* fitted(
        use,
        wires.demonstrations,
        masked(use.codec, stage.loss, stage.mask),
        stage
      )
      const documents = wires.pretraining === undefined
        ? []
        : (yield* fitted(use, wires.pretraining, texts(use.codec), { truncation: stage.truncation })).encoded
      const { batchSize, batchTokens } = stage
      const lengths = batchTokens === undefined ? [] : rows.map(lengthOf)
      const tooLong = lengths.findIndex((length) => length > batchTokens!)
      if (tooLong >= 0) {
        return yield* new UnusableData({
          stage: scope.label,
          problem: `${placeOf(demonstrations[tooLong], tooLong)} has ${
            lengths[tooLong]
          } tokens, more than batchTokens ${batchTokens}`,
          remedy: "Raise batchTokens, or set maxLength and say how to truncate."
        })
      }
      const packed = batchTokens === undefined
        ? null
        : batchesWithin(scope.stream, lengths, { size: batchSize, tokens: batchTokens }, stage)
      const steps = packed?.length ?? stepsOf(rows.length, stage)
      /** Documents up to step `n`, so that their share is exact over the steps. */
      const share = stage.pretrainingShare ?? 0
      const documentsBefore = (n: number): number => Math.round(n * batchSize * share / (1 - share))
      const documentsAt = (n: number): ReadonlyArray<Masked> =>
        Array.from({ length: documentsBefore(n + 1) - documentsBefore(n) }, (_, i) => {
          const [k] = batchAt(`${scope.stream}/pretraining`, documents.length, 1, documentsBefore(n) + i)
          const row = documents[k!]!
          return { ...row, mask: new Float64Array(row.completion.length).fill(1) }
        })
      const inOrder = inBatches(scope.stream, demonstrations, batchSize, (i) => lengthOf(rows[i]!))
      const taking = packed === null
        ? inOrder
        : {
          ...inOrder,
          perStep: packed.reduce((sum, { length }) => sum + length, 0) / steps,
          of: (n: number) => packed[n]!
        }
      const validation = wires.validation === undefined
        ? []
        : (yield* encodeWithin(use, wires.validation, masked(use.codec, stage.loss, stage.mask))).encoded
      /** Cross-entropy of the held-out demonstrations, by token. */
      const lossOn = () =>
        Effect.sync(() => {
          let [sum, tokens] = [0, 0]
          for (let first = 0; first < validation.length; first += batchSize) {
            const batch = validation.slice(first, first + batchSize)
            const mask = joinedTokens(batch.map((row) => row.mask))
            sum += crossEntropy(policy.logprobs(batch).logps, { reduction: "sum", mask }).loss
            tokens += mask.reduce((sum, weight) => sum + weight, 0)
          }
          return sum / tokens
        })
      const validate = stage.keep?._tag === "Best" && stage.keep.by === "loss"
        ? lossOn
        : yield* proxyBest(scope, stage, at, wires)
      return {
        steps,
        taking,
        ...(validate === undefined ? {} : { validate }),
        step: (n: number) =>
          Effect.sync(() => {
            const batch = [...taking.of(n).map((i) => rows[i]!), ...documentsAt(n)]
            const mask = joinedTokens(batch.map((row) => row.mask))
            const denominator = mask.reduce((sum, weight) => sum + weight, 0)
            const reduction = stage.reduction === "sum" ? "sum" : "mean"
            const { entropies, logps } = policy.learn(
              batch,
              (logps, first) =>
                crossEntropy(logps, { reduction, denominator, mask: mask.subarray(first, first + logps.length) })
                  .gradient
            )
            const { loss } = crossEntropy(logps, { reduction, mask })
            const entropy = entropies.reduce((sum, x) => sum + x, 0) / entropies.length
            return {
              passed: { rows: batch, numbers: logps },
              learn: { loss, gradient: null, metrics: { entropy } },
              tokens: logps.length
            }
          })
      }
    }))
