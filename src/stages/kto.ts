/** Direct alignment on answers labelled one by one; see `dsl/stages/Kto.ts`. */
import * as Effect from "effect/Effect"
import type { Kto } from "../../dsl/stages/Kto.ts"
import { lengthOf } from "../data/cut.ts"
import { unpaired } from "../data/encode.ts"
import type { PromptRow, UnpairedPreferenceRow } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import type { Row, Weights } from "../engine/engine.ts"
import { kto as ktoLoss, ktoKl } from "../losses/kto.ts"
import { sumRows } from "../losses/ragged.ts"
import type { Composed } from "../rewards/composed.ts"
import { inBatches, stepsOf } from "../training/batches.ts"
import { fitted } from "../training/fitted.ts"
import { movePolicy } from "../training/movePolicy.ts"
import { openReward } from "../training/openReward.ts"
import { type KnownReference, referenceLogps } from "../training/referenceLogps.ts"
import type { Scope } from "../training/scope.ts"

/** Each prompt with the answer before its own: (x₁, yₙ), (x₂, y₁), …; together at most `most` tokens, as in TRL. */
export const mismatched = (rows: ReadonlyArray<Row>, most: number): ReadonlyArray<Row> =>
  rows.length < 2 ? [] : rows.map(({ prompt }, i): Row => {
    const { completion, given } = rows.at(i - 1)!
    const end = most - prompt.length
    return {
      prompt,
      completion: completion.subarray(0, end),
      ...(given === undefined ? {} : { given: given.subarray(0, end) })
    }
  })

interface Wires {
  readonly init: Weights
  readonly reference: KnownReference
  readonly preferences: ReadonlyArray<UnpairedPreferenceRow>
  readonly held: ReadonlyArray<PromptRow> | undefined
  /** Judges the weights of `keep`. */
  readonly reward?: Composed<Weights> | undefined
}

export const kto = (stage: Kto, wires: Wires, scope: Scope) =>
  movePolicy(stage, wires, scope, ({ open, policy, use }) =>
    Effect.gen(function*() {
      const { encoded: answers, rows } = yield* fitted(use, wires.preferences, unpaired(use.codec, stage.mask), stage)
      const most = Math.min(policy.context, stage.maxLength ?? Infinity)
      const steps = stepsOf(answers.length, stage)
      const taking = inBatches(scope.stream, rows, stage.batchSize, (i) => lengthOf(answers[i]!.row))
      const batches = lazyArray(steps, (n) => {
        const batch = taking.of(n).map((i) => answers[i]!)
        const rows = batch.map(({ row }) => row)
        return {
          rows,
          desirable: batch.map(({ label }) => label),
          others: stage.loss === "kto" ? mismatched(rows, most) : []
        }
      })
      const reference = yield* referenceLogps({
        scope,
        reference: wires.reference,
        open: open.policy,
        precision: stage.precision,
        groups: lazyArray(steps, (n) => [...batches[n]!.rows, ...batches[n]!.others]),
        batchSize: stage.batchSize
      })
      const proxy = wires.reward === undefined ? null : yield* openReward(scope, wires.reward, open.scorer)
      return {
        proxy,
        steps,
        taking,
        reference: wires.reference.weights,
        step: (n: number) =>
          Effect.sync(() => {
            const { desirable, others, rows } = batches[n]!
            const elsewhere = others.length === 0 ? null : policy.logprobs(others)
            const kl = elsewhere === null ? 0 : ktoKl(
              sumRows(elsewhere.logps, elsewhere.offsets),
              Float64Array.from(others, reference)
            )
            const { logps, offsets } = policy.logprobs(rows, { retain: true })
            const refLogps = Float64Array.from(rows, reference)
            return {
              passed: { rows, numbers: logps },
              learn: ktoLoss(logps, refLogps, offsets, desirable, { ...stage, kl }),
              tokens: logps.length
            }
          })
      }
    }))
