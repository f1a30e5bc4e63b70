/**
 * A loss on pairs of answers, as data: the score of an answer (with a reference or without, summed or averaged over its
 * tokens), the forms of these scores with their weights, and the weight of cross-entropy on the chosen answer.
 * The names below are values in this space: two names with the same data are equal.
 *
 * With s the score, Δ = s(chosen) − s(rejected), u = βΔ, ε the label smoothing:
 *
 *     L = Σ_k weight_k E[form_k] − nll · E log π(chosen), per token of the chosen answers
 *
 * Formulas of the forms with their sources and slopes: `src/losses/preferenceForms.ts`; the whole: `src/losses/dpo.ts`.
 */
import * as Schema from "effect/Schema"
import { ownLoss } from "./Extension.ts"
import { NonNegative, or, Positive } from "./Training.ts"

const HalfOpen = Schema.Finite.check(
  Schema.makeFilter((e: number) => e >= 0 && e < 0.5 || "must be 0 or more and below 1/2")
)
/** From ½ on the loss would teach nothing, or the opposite. */
const labelSmoothing = or(HalfOpen, 0)
const Inside = Schema.Finite.check(
  Schema.makeFilter((e: number) => e > 0 && e < 1 || "must be between 0 and 1, neither of them")
)

export const Form = Schema.Union([
  /** −(1 − ε) log σ(u − γ) − ε log σ(−(u − γ)). */
  Schema.TaggedStruct("Logistic", { labelSmoothing, margin: or(Schema.Finite, 0) }),
  /** The logistic loss, unbiased when a share ε of the labels is flipped. */
  Schema.TaggedStruct("Robust", { labelSmoothing: HalfOpen }),
  /** max(0, 1 − u). */
  Schema.TaggedStruct("Hinge", {}),
  /** (Δ − 1/(2β))². */
  Schema.TaggedStruct("Square", {}),
  /** (m − u)² / (2β), m the margin of the pair: how much higher the chosen answer scores. */
  Schema.TaggedStruct("Contrastive", {}),
  /** KL of (σ(u), σ(−u)) from (1 − ε, ε). */
  Schema.TaggedStruct("Exo", { labelSmoothing: Inside }),
  /** −log σ(u)(1 − m) + e⁻ᵘ m, m = σ(u / τ). */
  Schema.TaggedStruct("DiscoPop", { tau: Positive }),
  /** −β log σ(log odds(chosen) − log odds(rejected)); of mean log-probabilities without a reference only. */
  Schema.TaggedStruct("OddsRatio", {}),
  Schema.TaggedStruct("Nca", {}),
  Schema.TaggedStruct("Bco", {}),
  Schema.TaggedStruct("Sppo", {}),
  Schema.TaggedStruct("ApoZero", {}),
  Schema.TaggedStruct("ApoDown", {}),
  /** The logistic loss of the batch's quantiles instead of its pairs. */
  Schema.TaggedStruct("Aot", { labelSmoothing, paired: Schema.Boolean })
])
export type Form = typeof Form.Type

/** As it stands in a description. */
export class PreferenceLoss extends Schema.Class<PreferenceLoss>("PreferenceLoss")({
  /** Inverse temperature of the scores; of ORPO the weight λ of its term (TRL `beta`). Not comparable between `per`s. */
  beta: Positive,
  /** Whether a score is log π/π_ref, or log π alone: then the stage has no reference. */
  reference: Schema.Boolean,
  per: Schema.Literals(["sequence", "token"]),
  terms: Schema.Array(Schema.Struct({ weight: NonNegative, form: Form })),
  /** Weight of −log π(chosen), nats per token (TRL's `sft` term; Llama 3.1: 0.2). */
  nll: NonNegative
}) {}

/** A loss of which the compiler knows whether it has a reference. */
export interface Loss<out R extends boolean> extends PreferenceLoss {
  readonly reference: R
}

/** A loss on pairs from outside Keel: `own`. */
export class OwnPreferenceLoss extends Schema.TaggedClass<OwnPreferenceLoss>()("OwnPreferenceLoss", {
  ...ownLoss,
  /** Whether it is given log-probabilities under a reference: then the stage has one. */
  reference: or(Schema.Boolean, true)
}) {}

/** A loss from outside of which the compiler knows its name, and whether it has a reference. */
export interface NamedLoss<out Name extends string, out R extends boolean> extends OwnPreferenceLoss {
  readonly name: Name
  readonly reference: R
}

/**
 * A loss of your own, without a stage of your own: a name, and parameters as JSON. You give its implementation, a
 * function, to `run`, `simulate` and `plan` (`losses: [squared]`); the type of the pipeline says that they need it.
 * (log π(chosen) − log π(rejected) − target)², held to the laws of losses:
 *
 * ```ts
 * import { PreferenceLoss } from "keel"
 * import { preferenceLoss, sumRows } from "keel/stage"
 * import { laws } from "keel/testing"
 *
 * const squared = preferenceLoss("Squared", ({ logps, offsets }, { target = 1 }) => {
 *   const sums = sumRows(logps, offsets)
 *   const pairs = sums.length / 2
 *   const gradient = new Float64Array(logps.length)
 *   let loss = 0
 *   for (let i = 0; i < pairs; i++) {
 *     const off = sums[i]! - sums[i + pairs]! - Number(target)
 *     loss += off ** 2 / pairs
 *     gradient.fill(2 * off / pairs, offsets[i], offsets[i + 1])
 *     gradient.fill(-2 * off / pairs, offsets[i + pairs], offsets[i + pairs + 1])
 *   }
 *   return { loss, gradient, metrics: {} }
 * })
 * laws.ownLoss(PreferenceLoss.own("Squared", { target: 2 }, { reference: false }), squared) // => undefined
 * ```
 *
 * The store knows the name and the parameters and not the function: when the function changes, change one of them.
 */
export const own = <const Name extends string, const R extends boolean = true>(
  name: Name,
  params: Readonly<Record<string, Schema.Json>> = {},
  options: { readonly reference?: R } = {}
): NamedLoss<Name, R> =>
  new OwnPreferenceLoss({ name, params, ...options }, { disableChecks: true }) as NamedLoss<Name, R>

/** Whether a pair needs its margin. */
export const readsMargins = (loss: PreferenceLoss | OwnPreferenceLoss): boolean =>
  !("_tag" in loss) && loss.terms.some(({ form }) => form._tag === "Contrastive")

/** Mistakes in the combination of valid parts. */
export const mistakes = ({ nll, per, reference, terms }: PreferenceLoss): ReadonlyArray<string> => {
  const weightless = terms.every(({ weight }) => weight === 0)
  return [
    ...(terms.length > 0 || nll > 0 ? [] : ["loss has neither terms nor nll: nothing would be learnt"]),
    ...(terms.some(({ form }) => form._tag === "OddsRatio") && (reference || per === "sequence")
      ? ['loss.OddsRatio is of mean log-probabilities: it needs reference false and per "token"']
      : []),
    ...(weightless && terms.length > 0 && nll === 0
      ? ["loss has only terms of weight 0: nothing would be learnt"]
      : []),
    ...(weightless && reference && nll > 0
      ? ["loss.reference is true, and cross-entropy alone has no use for one: set it false and leave the wire out"]
      : [])
  ]
}

type FormOf<Tag extends Form["_tag"]> = Omit<Extract<Form, { readonly _tag: Tag }>, "_tag">

interface Options {
  readonly beta?: number
  readonly nll?: number
}

const loss = <R extends boolean>(
  reference: R,
  per: "sequence" | "token",
  beta: number,
  nll: number,
  terms: PreferenceLoss["terms"]
): Loss<R> => new PreferenceLoss({ beta, reference, per, terms, nll }, { disableChecks: true }) as Loss<R>

const one = <Tag extends Form["_tag"]>(_tag: Tag, fields: FormOf<Tag>): PreferenceLoss["terms"] => [
  { weight: 1, form: { _tag, ...fields } as unknown as Form }
]

/** A loss of one form of log π/π_ref of whole answers. β 0.1 is TRL's default; none of these papers agrees on one. */
const referenced =
  <Tag extends Form["_tag"]>(tag: Tag, fields: FormOf<Tag>) => ({ beta = 0.1, nll = 0 }: Options = {}): Loss<true> =>
    loss(true, "sequence", beta, nll, one(tag, fields))

/** Rafailov et al. 2023 (arXiv 2305.18290) eq. 7. TRL `sigmoid`. */
export const dpo = referenced("Logistic", { labelSmoothing: 0, margin: 0 })

/** DPO of per-token means: Tülu 3 (arXiv 2411.15124) §5.2.1, β 5. TRL `sigmoid_norm`. */
export const dpoNorm = ({ beta = 5, nll = 0 }: Options = {}): Loss<true> =>
  loss(true, "token", beta, nll, one("Logistic", { labelSmoothing: 0, margin: 0 }))

/** DPO with a share ε of wrong labels, conservatively: Mitchell 2023. TRL has it no longer. */
export const cDpo = ({ labelSmoothing, ...options }: Options & { readonly labelSmoothing: number }): Loss<true> =>
  referenced("Logistic", { labelSmoothing, margin: 0 })(options)

/** DPO with a share ε of wrong labels, without bias: Chowdhury et al. 2024 (arXiv 2403.00409). TRL `robust`. */
export const robustDpo = ({ labelSmoothing, ...options }: Options & { readonly labelSmoothing: number }): Loss<true> =>
  referenced("Robust", { labelSmoothing })(options)

/** DPO and cross-entropy on the chosen answer: Pang et al. 2024 (arXiv 2404.19733); nll 0.2 in Llama 3.1. TRL `sigmoid` + `sft`. */
export const dpoNll = ({ nll = 1, ...options }: Options = {}): Loss<true> => dpo({ ...options, nll })

/**
 * Azar et al. 2023 (arXiv 2310.12036) eq. 17. Averaged over tokens as in TRL `ipo` (with the authors' consent, it says there);
 * `per: "sequence"` is the formula as printed.
 */
export const ipo = (
  { beta = 0.1, nll = 0, per = "token" }: Options & { readonly per?: "sequence" | "token" } = {}
): Loss<true> => loss(true, per, beta, nll, one("Square", {}))

/**
 * Contrastive policy gradient from scored answers, offline: Flet-Berliac et al. 2024 (arXiv 2406.19185) eq. 7–9, here with the sign of a loss,
 * and plus m² / (2β), so that it is 0 where it is least. With R the score, R_β = R − β log π/π_ref, m = R(chosen) − R(rejected):
 *
 *     L = E (R_β(chosen) − R_β(rejected))² / (2β) = E (m − βΔ)² / (2β)        dL/dΔ = −(m − βΔ), eq. 18 and 19
 *
 * Least at π_ref exp(R/β) / Z alone, wherever the answers come from (their Theorem 1). Command A (arXiv 2504.00698, p. 7) has the square
 * without 1/(2β). Each pair needs its margin, in the units of β: `Pair.make({ completions }, { margins: true })`, which leaves out
 * pairs that score the same. On line it is `PolicyGradient.copg`. TRL has none.
 */
export const copg = referenced("Contrastive", {})

/** SLiC's hinge on log-ratios: Liu et al. 2023 (arXiv 2309.06657). TRL `hinge`. */
export const hinge = referenced("Hinge", {})

/** Ji et al. 2024 (arXiv 2402.00856) eq. 16, ε 1e-3. TRL `exo_pair`. */
export const exo = ({ labelSmoothing = 1e-3, ...options }: Options & { readonly labelSmoothing?: number } = {}) =>
  referenced("Exo", { labelSmoothing })(options)

/** Chen et al. 2024 (arXiv 2402.05369). TRL `nca_pair`. */
export const nca = referenced("Nca", {})

/** Jung et al. 2024 (arXiv 2404.04656). TRL `bco_pair`. */
export const bco = referenced("Bco", {})

/** Wu et al. 2024 (arXiv 2405.00675) eq. 4.7 with certain labels. TRL `sppo_hard`. */
export const sppo = referenced("Sppo", {})

/** D'Oosterlinck et al. 2024 (arXiv 2408.06266) eq. 7: the chosen answers are better than the model's own. TRL `apo_zero`. */
export const apoZero = referenced("ApoZero", {})

/** Eq. 8 there: they are worse. TRL `apo_down`. */
export const apoDown = referenced("ApoDown", {})

/** Lu et al. 2024 (arXiv 2406.08414) eq. 5, τ 0.05. TRL `discopop`. */
export const discoPop = ({ tau = 0.05, ...options }: Options & { readonly tau?: number } = {}): Loss<true> =>
  referenced("DiscoPop", { tau })(options)

/** Melnyk et al. 2024 (arXiv 2406.05882). TRL `aot` (paired) and `aot_unpaired`. */
export const aot = (
  { labelSmoothing = 0, paired = true, ...options }: Options & {
    readonly labelSmoothing?: number
    readonly paired?: boolean
  } = {}
): Loss<true> => referenced("Aot", { labelSmoothing, paired })(options)

/** Wang et al. 2024 (arXiv 2411.10442): 0.8 DPO + 0.2 BCO + 1 cross-entropy. TRL's list of losses with weights. */
export const mpo = ({ beta = 0.1, nll = 1 }: Options = {}): Loss<true> =>
  loss(true, "sequence", beta, nll, [
    { weight: 0.8, form: { _tag: "Logistic", labelSmoothing: 0, margin: 0 } },
    { weight: 0.2, form: { _tag: "Bco" } }
  ])

/** Meng et al. 2024 (arXiv 2405.14734) eq. 6: mean log-probabilities, no reference, a margin γ. TRL's CPOTrainer `simpo`. */
export const simPo = (
  { beta = 2, gamma = 0.5, nll = 0 }: Options & { readonly gamma?: number } = {}
): Loss<false> => loss(false, "token", beta, nll, one("Logistic", { labelSmoothing: 0, margin: gamma }))

/** Xu et al. 2024 (arXiv 2401.08417) eq. 5: DPO with a uniform reference, and cross-entropy. TRL's CPOTrainer `sigmoid`. */
export const cpo = ({ beta = 0.1, nll = 1 }: Options = {}): Loss<false> =>
  loss(false, "sequence", beta, nll, one("Logistic", { labelSmoothing: 0, margin: 0 }))

/** Hong et al. 2024 (arXiv 2403.07691) eq. 6 and 7: cross-entropy and λ times the log odds ratio. TRL's ORPOTrainer `beta`. */
export const orpo = (
  { lambda = 0.1, nll = 1 }: { readonly lambda?: number; readonly nll?: number } = {}
): Loss<false> => loss(false, "token", lambda, nll, one("OddsRatio", {}))
