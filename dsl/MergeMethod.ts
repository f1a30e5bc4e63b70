/**
 * How a merge combines models of one architecture. θ_m are the models by name, τ_m = θ_m − θ_base their task vectors. One
 * formula a file in `src/merging`; two names with the same data are the same method.
 */
import * as Schema from "effect/Schema"
import { Count, Fraction, or } from "./Training.ts"

const Weights = Schema.Record(Schema.String, Schema.Finite)

const Share = Schema.Finite.check(
  Schema.makeFilter((x: number) => x > 0 && x <= 1 || "must be above 0 and at most 1")
)

/** θ = Σ w_m θ_m. The weights add to 1, or `normalize` divides them by their sum; all the same when left out. */
export class Linear extends Schema.TaggedClass<Linear>()("Linear", {
  weights: Schema.optionalKey(Weights),
  normalize: or(Schema.Boolean, false)
}) {}

/**
 * Greedy soup: the models from the best to the worst, each stays in the average when the average is then no worse by `metric`
 * (Wortsman et al. 2022, recipe 1). Of policies `reward`, the mean proxy reward of their completions to the held-out prompts;
 * of reward models `accuracy` on held-out preferences.
 */
export class GreedySoup extends Schema.TaggedClass<GreedySoup>()("GreedySoup", {
  metric: Schema.Literals(["reward", "accuracy"])
}) {}

/**
 * θ = θ_m of the model with the highest `metric`, as in `GreedySoup`; of equals the first by name: the best of several seeds or checkpoints
 * (Tülu 3, Lambert et al. 2024, §4.3). The maximum of noisy numbers is above their mean: measure the chosen model anew.
 */
export class Best extends Schema.TaggedClass<Best>()("Best", { metric: Schema.Literals(["reward", "accuracy"]) }) {}

/** θ = θ_base + λ Σ τ_m (Ilharco et al. 2023). */
export class TaskArithmetic extends Schema.TaggedClass<TaskArithmetic>()("TaskArithmetic", {
  lambda: Schema.Finite
}) {}

/** The vectors between which the angle is: each tensor (left out), or all tensors of a layer together, as WARP has it. */
const Per = Schema.optionalKey(Schema.Literals(["tensor", "layer"]))

/** Spherical interpolation of two models (Shoemake 1985). */
export class Slerp extends Schema.TaggedClass<Slerp>()("Slerp", { weights: Weights, per: Per }) {}

/** θ = θ_base + SLERP(τ_a, τ_b) (WARP, Ramé et al. 2024, §3.2: `per: "layer"`). */
export class TaskSlerp extends Schema.TaggedClass<TaskSlerp>()("TaskSlerp", { weights: Weights, per: Per }) {}

/**
 * θ = Σ w_m θ_m with the posterior of the domains on the documents of the wire `text` as weights: w_m is the mean over documents x of
 * p(m | x) ∝ p_m(x), under the uniform prior; of them the `top` largest, divided by their sum (Branch-Train-Merge, Li et al. 2022, arXiv
 * 2208.03306, §3; the paper smooths the posterior over the blocks of a stream instead of taking the mean).
 */
export class Posterior extends Schema.TaggedClass<Posterior>()("Posterior", { top: Schema.optionalKey(Count) }) {}

/** Trim to the share `density`, elect signs, average agreeing values; θ = θ_base + λ τ (TIES, Yadav et al. 2023). */
export class Ties extends Schema.TaggedClass<Ties>()("Ties", { density: Share, lambda: or(Schema.Finite, 1) }) {}

/** Drop elements of τ_m with probability `dropRate`, rescale the rest; θ = θ_base + λ Σ τ̃_m (DARE, Yu et al. 2024). */
export class Dare extends Schema.TaggedClass<Dare>()("Dare", {
  dropRate: Fraction.check(Schema.isLessThan(1, { message: "must be below 1: nothing would be left to rescale" })),
  lambda: or(Schema.Finite, 1)
}) {}

export const MergeMethod = Schema.Union([
  Linear,
  GreedySoup,
  Best,
  Posterior,
  TaskArithmetic,
  Slerp,
  TaskSlerp,
  Ties,
  Dare
]).pipe(Schema.toTaggedUnion("_tag"))
export type MergeMethod = typeof MergeMethod.Type
export type Tag = MergeMethod["_tag"]

/** Methods that judge models on held-out rows. */
export const judging = ["GreedySoup", "Best"] as const satisfies ReadonlyArray<Tag>

/** Which methods work on task vectors, and so need the base that these start from. */
export const needsBase = {
  Linear: false,
  GreedySoup: false,
  Best: false,
  Posterior: false,
  TaskArithmetic: true,
  Slerp: false,
  TaskSlerp: true,
  Ties: true,
  Dare: true
} as const satisfies Record<Tag, boolean>

/** A method whose weights are for models of the names `N`, as the compiler knows. */
export type Weighted<M, N extends string> = M & { readonly "~names"?: N }

type WeightsOf<N extends string> = Readonly<Record<N, number>>

/** Weighted average; the weights of all models add to 1, or are normalised when it says so. */
export const linear = <const N extends string>(
  weights: WeightsOf<N>,
  options: { readonly normalize?: boolean } = {}
): Weighted<Linear, N> => new Linear({ weights, ...options }, { disableChecks: true })

/** Uniform soup: the plain average (Wortsman et al. 2022). */
export const uniformSoup: Linear = new Linear({})

/** Weight-averaged reward models (WARM, Ramé et al. 2024, arXiv 2401.12187): the plain average of reward models. */
export const warm: Linear = uniformSoup

export const greedySoup = <const M extends "reward" | "accuracy">(
  metric: M
): GreedySoup & { readonly metric: M } => new GreedySoup({ metric }) as never

export const best = <const M extends "reward" | "accuracy">(metric: M): Best & { readonly metric: M } =>
  new Best({ metric }) as never

export const taskArithmetic = (lambda: number): TaskArithmetic =>
  new TaskArithmetic({ lambda }, { disableChecks: true })

/** Linear interpolation towards the initialisation, (1 − η) θ_base + η θ, of one model (WARP's LITI). */
export const liti = (eta: number): TaskArithmetic => taskArithmetic(eta)

type Angles = { readonly per?: "tensor" | "layer" }

/** The weights of two models add to 1. */
export const slerp = <const N extends string>(weights: WeightsOf<N>, options: Angles = {}): Weighted<Slerp, N> =>
  new Slerp({ weights, ...options }, { disableChecks: true })

export const taskSlerp = <const N extends string>(
  weights: WeightsOf<N>,
  options: Angles = {}
): Weighted<TaskSlerp, N> => new TaskSlerp({ weights, ...options }, { disableChecks: true })

/** Weights by Bayes' rule on the wire `text`. */
export const posterior = (options: { readonly top?: number } = {}): Posterior =>
  new Posterior(options, { disableChecks: true })

export const ties = (options: typeof Ties["~type.make.in"]): Ties => new Ties(options, { disableChecks: true })

export const dare = (options: typeof Dare["~type.make.in"]): Dare => new Dare(options, { disableChecks: true })

/** Mistakes of a method for models of these names. */
export const mistakes = (method: MergeMethod, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const found: Array<string> = []
  const pair = method._tag === "Slerp" || method._tag === "TaskSlerp"
  if (pair && names.length !== 2) {
    found.push(`${method._tag} takes two models, not ${names.length}: merge what it makes with the next`)
  }
  if (method._tag === "Posterior" && method.top !== undefined && method.top > names.length) {
    found.push(`method.top is ${method.top}, but there are ${names.length} models`)
  }
  const weights = "weights" in method ? method.weights : undefined
  if (weights === undefined) return found
  for (const name of names.filter((name) => !Object.hasOwn(weights, name))) {
    found.push(`method.weights has no weight for the model ${name}`)
  }
  for (const name of Object.keys(weights).filter((name) => !names.includes(name))) {
    found.push(`method.weights has a weight for ${name}, which is none of the models (${names.join(", ")})`)
  }
  const sum = Object.values(weights).reduce((sum, w) => sum + w, 0)
  if (method._tag === "Linear" && method.normalize) {
    if (Math.abs(sum) < 1e-9) found.push("the weights add to 0: they cannot be normalised")
  } else if (Math.abs(sum - 1) > 1e-9) {
    found.push(
      `the weights add to ${sum}, not to 1${pair ? "" : ": write weights that do, or normalize: true"}`
    )
  }
  return found
}
