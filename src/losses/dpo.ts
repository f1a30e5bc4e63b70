import { type Loss, poison, sameLength } from "./loss.ts"
import { type PreferenceForm, preferenceForm } from "./preferenceForms.ts"
import { sumRows } from "./ragged.ts"

/** A loss on pairs as data; `dsl/PreferenceLoss.ts` has the names. */
export interface PairLoss {
  readonly beta: number
  /** Scores are log π/π_ref, or log π alone. */
  readonly reference: boolean
  /** Scores are sums over the tokens of an answer, or means. */
  readonly per: "sequence" | "token"
  readonly terms: ReadonlyArray<{ readonly weight: number; readonly form: PreferenceForm }>
  /** Weight of the cross-entropy on the chosen answers, nats per token of them. */
  readonly nll: number
}

/**
 * Direct preference optimisation and its relatives: a loss of the scores s of a pair's two answers.
 *
 *     L = Σ_k w_k (1/N) Σ_pairs ℓ_k(s_c, s_r) − a (1/T) Σ_t log π(chosen_t)        DPO: ℓ = −log σ(β (s_c − s_r))
 *     s = Σ_t log π_t − log π_ref (of a token: divided by the answer's length)     dL/dlogp_t = dL/ds · ds/dlogp_t
 *
 * Rafailov et al. 2023 (arXiv 2305.18290) eq. 7; the other ℓ in `preferenceForms.ts`. Length-normalised DPO: Tülu 3 (arXiv
 * 2411.15124) §5.2.1. Cross-entropy: Pang et al. 2024 (arXiv 2404.19733), Llama 3.1 (arXiv 2407.21783) §4.1.4 with a = 0.2.
 *
 * Deviations from TRL: (1) no pairs give loss 0, not NaN; (2) a non-finite log-probability makes the loss NaN even where a
 * form has become flat; (3) the cross-entropy of CPO and ORPO is over the answer, TRL's includes the prompt.
 *
 * `logps` has one number per token and so has the gradient; rows are the N chosen, then the N rejected answers.
 * `refLogps` has the *sum* of each row under the reference; none when the loss has no reference. `margins`, how much higher each chosen
 * answer scores than the rejected one, are for CoPG alone. Metrics, means over pairs:
 * `rewards/chosen` and `rewards/rejected` (β log π/π_ref of the sequence; without a reference β s), `rewards/margins`,
 * `rewards/accuracies` (a tie is a miss), `logps/chosen`, `logps/rejected` (of the sequence; without a reference s), `nll_loss`.
 */
export const dpo = (
  logps: Float64Array,
  refLogps: Float64Array | null,
  offsets: Int32Array,
  { beta, nll, per, reference, terms }: PairLoss,
  margins: Float64Array | null = null
): Loss => {
  const sums = sumRows(logps, offsets)
  if (reference !== (refLogps !== null)) throw new Error("a reference is given if and only if the loss has one")
  const refs = refLogps ?? new Float64Array(sums.length)
  sameLength({ rows: sums, refLogps: refs })
  const pairs = sums.length / 2
  if (!Number.isInteger(pairs)) throw new Error(`${sums.length} rows are not pairs`)
  if (margins !== null) sameLength({ pairs: sums.subarray(0, pairs), margins })
  const units = sums.map((_, row) => per === "token" ? 1 / Math.max(1, offsets[row + 1]! - offsets[row]!) : 1)
  const scores = sums.map((sum, row) => (sum - refs[row]!) * units[row]!)
  const batch = {
    beta,
    margins,
    chosen: scores.slice(0, pairs),
    rejected: scores.slice(pairs),
    referenceMargins: Float64Array.from(
      { length: pairs },
      (_, i) => refs[i]! * units[i]! - refs[i + pairs]! * units[i + pairs]!
    )
  }

  const slopes = new Float64Array(sums.length)
  let loss = scores.reduce((sum, score) => sum + poison(score), 0)
  for (const { form, weight } of terms) {
    const of = preferenceForm(form, batch)
    const scale = pairs === 0 ? 0 : weight / pairs
    loss += scale * of.loss
    for (let i = 0; i < pairs; i++) {
      slopes[i]! += scale * of.gradients.chosen[i]!
      slopes[i + pairs]! += scale * of.gradients.rejected[i]!
    }
  }
  const gradient = new Float64Array(logps.length)
  slopes.forEach((slope, row) => gradient.fill(slope * units[row]!, offsets[row]!, offsets[row + 1]!))

  const tokens = offsets[pairs]!
  const chosenNll = tokens === 0 ? 0 : -sums.subarray(0, pairs).reduce((sum, x) => sum + x, 0) / tokens
  if (nll > 0 && tokens > 0) {
    loss += nll * chosenNll
    for (let t = 0; t < tokens; t++) gradient[t]! -= nll / tokens
  }

  const shown = reference ? sums : scores
  const mean = (of: Float64Array, from: number) =>
    of.subarray(from, from + pairs).reduce((sum, x) => sum + x, 0) / pairs
  const rewards = shown.map((logp, row) => beta * (reference ? logp - refs[row]! : logp))
  const better = rewards.subarray(0, pairs).filter((c, i) => c > rewards[i + pairs]!).length
  const metrics: Record<string, number> = pairs === 0 ? {} : {
    "rewards/chosen": mean(rewards, 0),
    "rewards/rejected": mean(rewards, pairs),
    "rewards/margins": mean(rewards, 0) - mean(rewards, pairs),
    "rewards/accuracies": better / pairs,
    "logps/chosen": mean(shown, 0),
    "logps/rejected": mean(shown, pairs),
    ...(nll > 0 ? { nll_loss: chosenNll } : {})
  }
  return { loss, gradient, metrics }
}
