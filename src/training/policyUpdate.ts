/** One update of a policy on completions of a rollout; null when the policy has already moved too far. */
import * as Effect from "effect/Effect"
import type { Loss as PolicyLoss } from "../../dsl/PolicyLoss.ts"
import type { Policy, Update } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import type { Loss } from "../losses/loss.ts"
import { joinedTokens } from "../losses/ragged.ts"
import { finite } from "./loop.ts"
import { policyLossOf } from "./ownLosses.ts"
import { type Episodes, pick } from "./rollout.ts"

export interface PolicyUpdate {
  readonly loss: PolicyLoss
  /** β of the KL penalty in the loss. */
  readonly beta: number
  readonly maxNewTokens: number
  /** Of the samples: the update is that of the policy that sampled them. */
  readonly temperature: number
  readonly update: Update
  /** Advantages of the tokens of the mini-batch, given their log-probabilities under the current policy. */
  readonly advantages: (logps: Float64Array, offsets: Int32Array) => Float64Array
  /** No update is made where the policy has moved from its sampler by more than this (`approx_kl`, nats per token). */
  readonly movedMost?: number
  /** μ of `dsl/Rollout.ts`. */
  readonly positiveNll?: number | undefined
  /** Adds other gradients before the step. */
  readonly also?: () => Readonly<Record<string, number>>
}

export const policyUpdate = Effect.fnUntraced(function*(
  policy: Policy,
  rollout: Episodes,
  rows: ReadonlyArray<number>,
  how: PolicyUpdate,
  named: (loss: Loss, logps: Float64Array, oldLogps: Float64Array) => Readonly<Record<string, number>>
) {
  const batch = rows.map((i) => rollout.rows[i]!)
  const offsets = offsetsOf(batch)
  const { entropies, logps } = policy.logprobs(batch, { retain: true, temperature: how.temperature })
  const of = (tokens: Float64Array) => pick(tokens, rollout.offsets, rows)
  const oldLogps = of(rollout.logps)
  const lossOf = yield* policyLossOf(how.loss, { maxLength: how.maxNewTokens })
  const loss = yield* lossOf({
    logps,
    oldLogps,
    advantages: how.advantages(logps, offsets),
    offsets,
    refLogps: rollout.refLogps === null ? null : of(rollout.refLogps),
    samplerLogps: of(rollout.samplerLogps),
    entropies,
    beta: how.beta
  })
  yield* finite({ "policy loss": loss.loss })
  if (loss.metrics["approx_kl"]! > (how.movedMost ?? Infinity)) return null
  const nll = how.positiveNll === undefined ? null : crossEntropy(logps, {
    mask: joinedTokens(
      rows.map((i, row) => new Float64Array(offsets[row + 1]! - offsets[row]!).fill(+rollout.passed[i]!))
    )
  })
  policy.backward(nll === null ? loss.gradient : loss.gradient.map((g, t) => g + how.positiveNll! * nll.gradient[t]!))
  const also = { ...(nll === null ? {} : { "loss/positive_nll": nll.loss }), ...how.also?.() }
  const norm = policy.step(how.update)
  yield* finite({ "policy gradient norm": norm, ...also })
  return { ...named(loss, logps, oldLogps), ...also, "policy/grad_norm": norm }
})
