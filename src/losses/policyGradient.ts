import { type Aggregation, rowWeights } from "./aggregation.ts"
import { type Clip, shape, type Shaped } from "./clip.ts"
import { entropyGradient } from "./entropy.ts"
import { k2, k3 } from "./kl.ts"
import { type Averaging, type Loss, poison, sameLength } from "./loss.ts"
import { sumRows } from "./ragged.ts"

/** A point of the space of `dsl/PolicyLoss.ts`, which explains each part. */
export interface PolicyLoss {
  readonly objective:
    | { readonly _tag: "Likelihood" | "Contrastive" }
    | { readonly _tag: "Ratio"; readonly level: "token" | "sequence" | "sequence-mean"; readonly clip: Clip }
    | {
      readonly _tag: "GammaWeighted"
      readonly kPositive: number
      readonly lambdaPositive: number
      readonly kNegative: number
      readonly lambdaNegative: number
    }
  readonly aggregation: Aggregation
  readonly kl: { readonly _tag: "KlInReward" } | {
    readonly _tag: "KlInLoss"
    readonly estimator: "k2" | "k3" | "k3-corrected"
  }
  readonly entropyCoef?: number
  readonly importanceCap?: number
}

/** One number per token each; row i owns `offsets[i] … offsets[i + 1]`. */
export interface PolicyBatch {
  /** log π of each token under the trained policy, nats. */
  readonly logps: Float64Array
  /** log π under the same policy before the first update on these completions. */
  readonly oldLogps: Float64Array
  readonly advantages: Float64Array
  readonly offsets: Int32Array
  /** log π under the reference: needed for KL in the loss. */
  readonly refLogps?: Float64Array | null
  /** log π under the sampler: needed for truncated importance sampling. */
  readonly samplerLogps?: Float64Array
  /** Entropies of the trained policy, nats: needed for an entropy bonus. */
  readonly entropies?: Float64Array
}

interface Options extends Averaging {
  /** β of KL in the loss. */
  readonly beta?: number
  /** Length of `FixedLength` without a length of its own. */
  readonly maxLength?: number
}

/** The log-ratio of each token at the level of the objective, and the weight of one token's log π in it. */
const ratios = (
  objective: PolicyLoss["objective"],
  differences: Float64Array,
  masked: Float64Array,
  offsets: Int32Array
) => {
  const level = objective._tag === "Ratio" ? objective.level : objective._tag === "GammaWeighted" ? "sequence" : "token"
  const logs = Float64Array.from(differences)
  const shares = new Float64Array(differences.length).fill(1)
  if (level === "token") return { logs, shares, byRow: false }
  for (let row = 0; row + 1 < offsets.length; row++) {
    let [sum, length] = [0, 0]
    for (let t = offsets[row]!; t < offsets[row + 1]!; t++) {
      if (masked[t] === 0) continue
      sum += masked[t]! * differences[t]!
      length += masked[t]!
    }
    const share = level === "sequence" || length === 0 ? 1 : 1 / length
    logs.fill(sum * share, offsets[row], offsets[row + 1])
    shares.fill(share, offsets[row], offsets[row + 1])
  }
  return { logs, shares, byRow: true }
}

/** VESPO's weight φ(ρ) = ρ^k e^{λ(1 − ρ)}: 1 at ρ = 1. */
const gamma = (logRatio: number, k: number, lambda: number): number =>
  Math.exp(k * logRatio - lambda * Math.expm1(logRatio))

const termOf = (objective: PolicyLoss["objective"], logRatio: number, advantage: number, logp: number): Shaped => {
  switch (objective._tag) {
    case "Ratio":
      return shape(objective.clip, Math.exp(logRatio), advantage, logp)
    case "GammaWeighted": {
      const weight = advantage >= 0
        ? gamma(logRatio, objective.kPositive, objective.lambdaPositive)
        : gamma(logRatio, objective.kNegative, objective.lambdaNegative)
      return { value: -weight * advantage * logp, throughRatio: 0, throughLogp: -weight * advantage, cut: null }
    }
    case "Likelihood":
    case "Contrastive":
      return { value: -advantage * logp, throughRatio: 0, throughLogp: -advantage, cut: null }
  }
}

/**
 * Any policy-gradient loss: L = Σ_i w_i Σ_t [c_t f(ρ_t, A_t) + β k(d_t)] − entropyCoef · H, with w of the aggregation, f the
 * objective, ρ the ratio at its level, c the truncated importance weight min(π_old/π_sampler, cap), k the KL estimator of
 * d = log(π/π_ref) when it stands in the loss, and H the mean entropy of a token.
 *
 * The gradient in `logps` is exact with stop-gradients held (detached weights, advantages, c); the gradient
 * of H alone is an unbiased estimate (`entropy.ts`). A masked token counts nowhere. A non-finite log-ratio makes the loss NaN even
 * where clipping would cut it off.
 *
 * Deviations from TRL's GRPOTrainer: (1) `DetachedWeight` and `GammaWeighted` clamp no log-ratio at ±20; (2) `TokenMean` is over
 * the tokens of this call, as TRL's `bnpo`, unless `denominator` is the total, as in its `dapo`.
 *
 * Metrics: `loss`, and means over tokens whatever the aggregation, as TRL's: `kl` (in the loss, before β), `approx_kl` (½ log²ρ of
 * tokens), `entropy`, `ratio`, and the shares of tokens whose gradient is cut, `clip_ratio/low_mean`, `clip_ratio/high_mean` (of CISPO
 * TRL's `cispo_clip_ratio`), `clip_ratio/region_mean` (both), and `clip_ratio/bound_mean` by the second bound of a dual clip. Where a
 * ratio belongs to a whole completion, `ratio` and the shares are means over completions. With a `denominator` in `TokenMean` means are over
 * so many tokens, and add.
 */
export const policyGradient = (batch: PolicyBatch, loss: PolicyLoss, options: Options = {}): Loss => {
  const { advantages, entropies, logps, offsets, oldLogps, refLogps, samplerLogps } = batch
  const { beta = 0, mask } = options
  const { aggregation, entropyCoef = 0, importanceCap, kl, objective } = loss
  sameLength({ logps, oldLogps, advantages, mask, refLogps: refLogps ?? undefined, samplerLogps, entropies })
  const estimator = beta > 0 && kl._tag === "KlInLoss" ? kl.estimator : undefined
  if (estimator !== undefined && refLogps == null) throw new Error("KL in the loss needs reference log-probabilities")
  if (entropyCoef > 0 && entropies === undefined) throw new Error("an entropy bonus needs entropies")
  if (importanceCap !== undefined && samplerLogps === undefined) {
    throw new Error("importance sampling needs the sampler's log-probabilities")
  }
  const masked = mask === undefined ? new Float64Array(logps.length).fill(1) : Float64Array.from(mask)
  // In loops: a closure would return a number on the heap for each token.
  const differences = new Float64Array(logps.length)
  for (let t = 0; t < logps.length; t++) differences[t] = logps[t]! - oldLogps[t]!
  const { byRow, logs, shares } = ratios(objective, differences, masked, offsets)
  // VESPO's weight is of completions, its correction of k3 by tokens, as TRL's.
  const correctsByRow = byRow && objective._tag === "Ratio"
  const lengths = sumRows(masked, offsets)
  const weights = rowWeights(aggregation, lengths, options)
  const total = lengths.reduce((sum, length) => sum + length, 0)
  /** Weight of a token in a mean over tokens. */
  const perToken = total === 0 ? 0 : 1 / (aggregation._tag === "TokenMean" ? options.denominator ?? total : total)

  const gradient = new Float64Array(logps.length)
  const sums = { loss: 0, kl: 0 }
  const means = { kl: 0, approxKl: 0, ratio: 0, low: 0, high: 0, bound: 0 }
  for (let row = 0; row + 1 < offsets.length; row++) {
    const scale = weights[row]!
    const inMean = byRow ? 1 / (lengths[row]! * lengths.length) : perToken
    let shared = 0
    for (let t = offsets[row]!; t < offsets[row + 1]!; t++) {
      if (masked[t] === 0) continue
      const w = masked[t]! * scale
      const logRatio = logs[t]!
      const term = termOf(objective, logRatio, advantages[t]!, logps[t]!)
      const bad = poison(differences[t]!)
      const trusted = importanceCap === undefined
        ? w
        : w * Math.min(Math.exp(oldLogps[t]! - samplerLogps![t]!), importanceCap)
      sums.loss += trusted * (term.value + bad)
      let own = trusted * term.throughLogp
      let through = trusted * term.throughRatio
      if (estimator !== undefined) {
        const d = logps[t]! - refLogps![t]!
        const [value, slope] = estimator === "k2" ? k2 : k3
        const rho = estimator !== "k3-corrected" ? 1 : Math.exp(correctsByRow ? logRatio : differences[t]!)
        sums.kl += w * rho * value(d)
        means.kl += masked[t]! * perToken * rho * value(d)
        own += beta * w * rho * slope(d)
        const throughRho = estimator === "k3-corrected" ? beta * w * rho * value(d) : 0
        if (correctsByRow) through += throughRho
        else own += throughRho
      }
      gradient[t] = own + (byRow ? 0 : through) + bad
      shared += byRow ? through * shares[t]! : 0
      if (term.cut !== null) means[term.cut] += masked[t]! * inMean
      means.ratio += masked[t]! * inMean * Math.exp(logRatio)
      means.approxKl += masked[t]! * perToken * 0.5 * differences[t]! ** 2
    }
    if (byRow) {
      for (let t = offsets[row]!; t < offsets[row + 1]!; t++) gradient[t]! += masked[t]! * shared
    }
  }
  let entropy = 0
  if (entropies !== undefined) {
    for (let t = 0; t < entropies.length; t++) if (masked[t] !== 0) entropy += masked[t]! * perToken * entropies[t]!
    if (entropyCoef > 0) {
      const slopes = entropyGradient(logps, oldLogps, entropies)
      for (let t = 0; t < slopes.length; t++) {
        if (masked[t] !== 0) gradient[t]! -= entropyCoef * masked[t]! * perToken * slopes[t]!
      }
    }
  }
  const value = sums.loss + (estimator === undefined ? 0 : beta * sums.kl) -
    (entropyCoef > 0 ? entropyCoef * entropy : 0)
  const metrics: Record<string, number> = {
    "loss": value,
    "clip_ratio/low_mean": means.low,
    "clip_ratio/high_mean": means.high,
    "clip_ratio/region_mean": means.low + means.high,
    "approx_kl": means.approxKl,
    "ratio": means.ratio
  }
  if (objective._tag === "Ratio" && objective.clip._tag === "DualClipped") {
    metrics["clip_ratio/bound_mean"] = means.bound
  }
  if (estimator !== undefined) metrics["kl"] = means.kl
  if (entropies !== undefined) metrics["entropy"] = entropy
  return { loss: value, gradient, metrics }
}
