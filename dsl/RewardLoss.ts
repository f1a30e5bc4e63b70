/**
 * How a reward model learns, as data: from pairs, rankings, final answers or steps. Each goes with one kind of data. The formulas are in
 * `src/losses/{bradleyTerry,ranking,outcome,process}.ts`.
 */
import * as Schema from "effect/Schema"
import type { Kind } from "./Artifact.ts"
import { NonNegative, or } from "./Training.ts"

/** Weight of (r_better + r_worse)², which keeps rewards around 0 (Eisenstein et al. 2023; TRL `center_rewards_coefficient`). */
const centerRewardsCoefficient = or(NonNegative, 0)

/**
 * −log σ(r_c − r_r − m) of pairs (Bradley and Terry 1952; Christiano et al. 2017); the margin m is the row's own, 0 when it has none
 * (Llama 2, Touvron et al. 2023, eq. 2).
 */
export class BradleyTerry extends Schema.TaggedClass<BradleyTerry>()("BradleyTerry", { centerRewardsCoefficient }) {}

/**
 * −(1 / C(K, 2)) Σ log σ(r_better − r_worse) over all pairs of the K completions of a prompt, mean over prompts (InstructGPT, Ouyang et
 * al. 2022, eq. 1). Completions that tie make no pair.
 */
export class KWise extends Schema.TaggedClass<KWise>()("KWise", { centerRewardsCoefficient }) {}

/** −Σ_k (r_(k) − log Σ_{j ≥ k} exp r_(j)): the likelihood of a whole ranking (Plackett 1975, Luce 1959). Without ties. */
export class PlackettLuce extends Schema.TaggedClass<PlackettLuce>()("PlackettLuce", {}) {}

/**
 * An outcome reward model: whether the whole answer is right, asked after every token of it (binary cross-entropy, Cobbe et al. 2021,
 * arXiv 2110.14168). Its reward is the log-odds after the last token.
 */
export class Outcome extends Schema.TaggedClass<Outcome>()("Outcome", {}) {}

/**
 * A process reward model: whether each step is right, asked where the step ends (Lightman et al. 2023, arXiv 2305.20050; TRL PRMTrainer).
 * Its reward is the least of the steps' probabilities or their product.
 */
export class Process extends Schema.TaggedClass<Process>()("Process", {
  /**
   * `binary`: right or wrong, cross-entropy. `ternary`: 1, 0 (neutral) or −1, as ordered logits on the one scalar,
   * P(≥ 0) = σ(z + 1) and P(1) = σ(z − 1) (McCullagh 1980); a step counts as right when it is not −1 (Lightman et al., App. F).
   */
  labels: or(Schema.Literals(["binary", "ternary"]), "binary"),
  /** Text that ends a step; with `""`, every token is a step when a reward is computed. */
  separator: or(Schema.String, "\n"),
  aggregation: Schema.Literals(["min", "product"])
}) {}

export const RewardLoss = Schema.Union([BradleyTerry, KWise, PlackettLuce, Outcome, Process]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type RewardLoss = typeof RewardLoss.Type

/** The kind of data that each loss learns from. */
export const learnsFrom = {
  BradleyTerry: "Preferences",
  KWise: "Rankings",
  PlackettLuce: "Rankings",
  Outcome: "UnpairedPreferences",
  Process: "Stepwise"
} as const satisfies { readonly [Loss in RewardLoss["_tag"]]: Kind }

/** The losses that learn from data of kind K. */
export type LossFor<K> = {
  [Loss in RewardLoss["_tag"]]: K extends typeof learnsFrom[Loss] ? Extract<RewardLoss, { readonly _tag: Loss }> : never
}[RewardLoss["_tag"]]

export const bradleyTerry = (options: { readonly centerRewardsCoefficient?: number } = {}): BradleyTerry =>
  new BradleyTerry(options, { disableChecks: true })
export const kWise = (options: { readonly centerRewardsCoefficient?: number } = {}): KWise =>
  new KWise(options, { disableChecks: true })
export const plackettLuce = new PlackettLuce()
export const outcome = new Outcome()
export const process = (options: typeof Process["~type.make.in"]): Process =>
  new Process(options, { disableChecks: true })
