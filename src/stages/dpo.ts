/** Direct alignment on pairs; see `dsl/stages/Dpo.ts`. A batch is its chosen rows, then its rejected rows. */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import { readsMargins } from "../../dsl/PreferenceLoss.ts"
import type { Dpo } from "../../dsl/stages/Dpo.ts"
import { lengthOf } from "../data/cut.ts"
import { pairs as pairsBy } from "../data/encode.ts"
import type { PreferenceRow, PromptRow } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import type { Weights } from "../engine/engine.ts"
import type { Composed } from "../rewards/composed.ts"
import { inBatches, stepsOf } from "../training/batches.ts"
import { fitted } from "../training/fitted.ts"
import { movePolicy } from "../training/movePolicy.ts"
import { preferenceLossOf } from "../training/ownLosses.ts"
import { type KnownReference, referenceLogps } from "../training/referenceLogps.ts"
import { openReward } from "../training/openReward.ts"
import type { Scope } from "../training/scope.ts"

interface Wires {
  readonly init: Weights
  /** Present if and only if the loss has a reference. */
  readonly reference: KnownReference | null
  readonly preferences: ReadonlyArray<PreferenceRow>
  readonly held: ReadonlyArray<PromptRow> | undefined
  /** Judges the weights of `keep`. */
  readonly reward?: Composed<Weights> | undefined
}

/** A margin that is missing is no margin of 0: that would teach that both answers are as good. */
const withMargins = (stage: string, rows: ReadonlyArray<PreferenceRow>) => {
  const without = rows.filter(({ margin }) => margin === undefined).length
  return without === 0 ? Effect.void : Effect.fail(
    new UnusableData({
      stage,
      problem: `${without} of ${rows.length} pairs have no margin, and the loss is of margins`,
      remedy: "Pair scored completions with Pair.make({ completions }, { margins: true }), or give each row a `margin`."
    })
  )
}

export const dpo = (stage: Dpo, wires: Wires, scope: Scope) =>
  movePolicy(stage, wires, scope, ({ open, policy, use }) =>
    Effect.gen(function*() {
      const lossOf = yield* preferenceLossOf(stage.loss)
      if (readsMargins(stage.loss)) yield* withMargins(use.stage, wires.preferences)
      const { encoded: pairs, rows } = yield* fitted(use, wires.preferences, pairsBy(use.codec, stage.mask), stage)
      const taking = inBatches(scope.stream, rows, stage.batchSize, (i) =>
        lengthOf(pairs[i]!.chosen) + lengthOf(pairs[i]!.rejected))
      const reference = wires.reference === null ? null : yield* referenceLogps({
        scope,
        reference: wires.reference,
        open: open.policy,
        precision: stage.precision,
        groups: lazyArray(pairs.length, (i) => [pairs[i]!.chosen, pairs[i]!.rejected]),
        batchSize: 2 * stage.batchSize
      })
      const proxy = wires.reward === undefined ? null : yield* openReward(scope, wires.reward, open.scorer)
      return {
        proxy,
        steps: stepsOf(pairs.length, stage),
        taking,
        reference: wires.reference?.weights,
        step: (n: number) =>
          Effect.gen(function*() {
            const batch = taking.of(n).map((i) =>
              pairs[i]!
            )
            const rows = [
              ...batch.map(({ chosen }) =>
                chosen
              ),
              ...batch.map(({ rejected }) => rejected)
            ]
            const { logps, offsets } = policy.logprobs(rows, { retain: true })
            const refLogps = reference === null ? null : Float64Array.from(rows, reference)
            return {
              passed: { rows, numbers: logps },
              learn: yield* lossOf({
                logps,
                refLogps,
                offsets,
                margins: Float64Array.from(batch, ({ margin }) => margin)
              }),
              tokens: logps.length
            }
          })
      }
    }))
