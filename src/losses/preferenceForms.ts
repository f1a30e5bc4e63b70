import { sigmoid, softplus } from "./logistic.ts"

/**
 * The forms of a loss on pairs. c and r are the scores of the chosen and the rejected answer (log π/π_ref; log π where
 * there is no reference; nats of the sequence, or per token), Δ = c − r, ε the label smoothing, u = βΔ. A form has its
 * formula, and its slopes dℓ/dc and dℓ/dr for one pair.
 *
 * Deviations from TRL's DPOTrainer 1.13: none in a formula. IPO averages scores over tokens there, here when the loss says
 * `per: "token"`, as `ipo` does.
 */
export type PreferenceForm =
  | { readonly _tag: "Logistic"; readonly labelSmoothing: number; readonly margin: number }
  | { readonly _tag: "Robust" | "Exo"; readonly labelSmoothing: number }
  | { readonly _tag: "Aot"; readonly labelSmoothing: number; readonly paired: boolean }
  | { readonly _tag: "DiscoPop"; readonly tau: number }
  | { readonly _tag: "Hinge" | "Square" | "Contrastive" | "OddsRatio" | "Nca" | "Bco" | "Sppo" | "ApoZero" | "ApoDown" }

/** Loss of one pair, dℓ/dc, dℓ/dr. */
type OfPair = readonly [loss: number, dChosen: number, dRejected: number]

/**
 * −(1 − ε) log σ(u) − ε log σ(−u), and its slope in u. DPO: Rafailov et al. 2023 (arXiv 2305.18290) eq. 7; ε > 0: cDPO
 * (Mitchell 2023); u less a margin γ: SimPO (Meng et al. 2024, arXiv 2405.14734) eq. 6.
 */
const logistic = (u: number, smoothing: number): readonly [loss: number, slope: number] => [
  (1 - smoothing) * softplus(-u) + smoothing * softplus(u),
  -(1 - smoothing) * sigmoid(-u) + smoothing * sigmoid(u)
]

/** σ(x) and σ′(x). */
const gate = (x: number): readonly [value: number, slope: number] => [sigmoid(x), sigmoid(x) * sigmoid(-x)]

/** log(p / (1 − p)) of p = eˣ, and its slope in x. */
const logOdds = (x: number): readonly [value: number, slope: number] => [
  x - Math.log(-Math.expm1(x)),
  -1 / Math.expm1(x)
]

const ofPair = (
  form: Exclude<PreferenceForm, { readonly _tag: "Aot" }>,
  c: number,
  r: number,
  beta: number,
  margin: number
): OfPair => {
  const u = beta * (c - r)
  /** A loss of u alone. */
  const inMargin = ([loss, slope]: readonly [number, number]): OfPair => [loss, beta * slope, -beta * slope]
  switch (form._tag) {
    case "Logistic":
      return inMargin(logistic(u - form.margin, form.labelSmoothing))
    // (ℓ(u)(1 − ε) − ε ℓ(−u)) / (1 − 2ε), unbiased when a share ε of labels is flipped: Chowdhury et al. 2024 (arXiv 2403.00409).
    case "Robust": {
      const [e, n] = [form.labelSmoothing, 1 - 2 * form.labelSmoothing]
      return inMargin([
        ((1 - e) * softplus(-u) - e * softplus(u)) / n,
        (-(1 - e) * sigmoid(-u) - e * sigmoid(u)) / n
      ])
    }
    // max(0, 1 − u): SLiC (Zhao et al. 2023, arXiv 2305.10425) on log-ratios, RSO (Liu et al. 2023, arXiv 2309.06657).
    case "Hinge":
      return inMargin([Math.max(0, 1 - u), u < 1 ? -1 : 0])
    // (Δ − 1/(2β))²: IPO (Azar et al. 2023, arXiv 2310.12036) eq. 17.
    case "Square": {
      const off = c - r - 1 / (2 * beta)
      return [off ** 2, 2 * off, -2 * off]
    }
    // (m − u)² / (2β): CoPG (Flet-Berliac et al. 2024, arXiv 2406.19185) eq. 7–9, negated, plus m² / (2β); slopes eq. 18 and 19.
    case "Contrastive": {
      const off = margin - u
      return [off ** 2 / (2 * beta), -off, off]
    }
    // KL of (σ(u), σ(−u)) from (1 − ε, ε): EXO (Ji et al. 2024, arXiv 2402.00856) eq. 16.
    case "Exo": {
      const [q, e] = [sigmoid(u), form.labelSmoothing]
      const [logQ, logP] = [-softplus(-u), -softplus(u)]
      return inMargin([
        q * (logQ - Math.log1p(-e)) + (1 - q) * (logP - Math.log(e)),
        q * (1 - q) * (u - Math.log1p(-e) + Math.log(e))
      ])
    }
    // ℓ(u)(1 − m) + e⁻ᵘ m, m = σ(u / τ): DiscoPOP (Lu et al. 2024, arXiv 2406.08414) eq. 5.
    case "DiscoPop": {
      const m = sigmoid(u / form.tau)
      const [logistic, exponential] = [softplus(-u), Math.exp(-u)]
      return inMargin([
        logistic * (1 - m) + exponential * m,
        -sigmoid(-u) * (1 - m) - exponential * m + (exponential - logistic) * m * (1 - m) / form.tau
      ])
    }
    // −β log σ(log odds(c) − log odds(r)), odds = p / (1 − p) of p = exp(mean log π): ORPO (Hong et al. 2024, arXiv 2403.07691) eq. 7.
    case "OddsRatio": {
      const [[better, dBetter], [worse, dWorse]] = [logOdds(c), logOdds(r)]
      const slope = -beta * sigmoid(worse - better)
      return [beta * softplus(worse - better), slope * dBetter, -slope * dWorse]
    }
    // −log σ(βc) − ½ log σ(−βc) − ½ log σ(−βr): NCA (Chen et al. 2024, arXiv 2402.05369), two answers.
    case "Nca":
      return [
        softplus(-beta * c) + 0.5 * softplus(beta * c) + 0.5 * softplus(beta * r),
        beta * (-sigmoid(-beta * c) + 0.5 * sigmoid(beta * c)),
        0.5 * beta * sigmoid(beta * r)
      ]
    // −log σ(βc) − log σ(−βr): BCO (Jung et al. 2024, arXiv 2404.04656), without its reward shift.
    case "Bco":
      return [softplus(-beta * c) + softplus(beta * r), -beta * sigmoid(-beta * c), beta * sigmoid(beta * r)]
    // (c − 1/(2β))² + (r + 1/(2β))²: SPPO (Wu et al. 2024, arXiv 2405.00675) eq. 4.7 with P = 1 and 0.
    case "Sppo": {
      const half = 1 / (2 * beta)
      return [(c - half) ** 2 + (r + half) ** 2, 2 * (c - half), 2 * (r + half)]
    }
    // 1 − σ(βc) + σ(βr): APO-zero (D'Oosterlinck et al. 2024, arXiv 2408.06266) eq. 7.
    case "ApoZero": {
      const [[better, dBetter], [worse, dWorse]] = [gate(beta * c), gate(beta * r)]
      return [1 - better + worse, -beta * dBetter, beta * dWorse]
    }
    // σ(βc) + 1 − σ(βΔ): APO-down, eq. 8 there.
    case "ApoDown": {
      const [[better, dBetter], [above, dAbove]] = [gate(beta * c), gate(u)]
      return [better + 1 - above, beta * (dBetter - dAbove), beta * dAbove]
    }
  }
}

/** Positions from the least to the greatest. */
const ascending = (xs: Float64Array): ReadonlyArray<number> => [...xs.keys()].sort((a, b) => xs[a]! - xs[b]!)

/**
 * AOT (Melnyk et al. 2024, arXiv 2406.05882): the logistic loss, not of each pair but of quantile against quantile of
 * the batch. Paired: sorted log π(c)/π(r) less sorted log π_ref(c)/π_ref(r); unpaired: sorted c less sorted r.
 */
const aot = (
  { labelSmoothing, paired }: Extract<PreferenceForm, { readonly _tag: "Aot" }>,
  { beta, chosen, referenceMargins, rejected }: Scores
): OfBatch => {
  const [upper, lower] = paired
    ? [chosen.map((c, i) => c - rejected[i]! + referenceMargins[i]!), referenceMargins]
    : [chosen, rejected]
  const [up, down] = [ascending(upper), ascending(lower)]
  const gradients = { chosen: new Float64Array(chosen.length), rejected: new Float64Array(chosen.length) }
  let loss = 0
  for (const [k, i] of up.entries()) {
    const [term, slope] = logistic(beta * (upper[i]! - lower[down[k]!]!), labelSmoothing)
    loss += term
    gradients.chosen[i] = beta * slope
    gradients.rejected[paired ? i : down[k]!] = -beta * slope
  }
  return { loss, gradients }
}

export interface Scores {
  readonly chosen: Float64Array
  readonly rejected: Float64Array
  /** log π_ref(chosen) − log π_ref(rejected) of each pair; 0 without a reference. */
  readonly referenceMargins: Float64Array
  /** How much higher each chosen answer scores than the rejected one; null where that is not known. */
  readonly margins: Float64Array | null
  readonly beta: number
}

/** The sum over the pairs, and its slopes. */
export interface OfBatch {
  readonly loss: number
  readonly gradients: { readonly chosen: Float64Array; readonly rejected: Float64Array }
}

export const preferenceForm = (form: PreferenceForm, scores: Scores): OfBatch => {
  if (form._tag === "Aot") return aot(form, scores)
  const { beta, chosen, margins, rejected } = scores
  if (form._tag === "Contrastive" && margins === null) {
    throw new Error("the contrastive loss needs the margins of its pairs")
  }
  const gradients = { chosen: new Float64Array(chosen.length), rejected: new Float64Array(chosen.length) }
  let loss = 0
  for (let i = 0; i < chosen.length; i++) {
    const [term, dChosen, dRejected] = ofPair(form, chosen[i]!, rejected[i]!, beta, margins?.[i] ?? 0)
    loss += term
    gradients.chosen[i] = dChosen
    gradients.rejected[i] = dRejected
  }
  return { loss, gradients }
}
