/**
 * How β follows the KL during training, so that the penalty instead of the learning rate keeps a policy near a target;
 * and when the passes over a batch end. Neither is a budget: caps limit the KL of a stage (`Budget.ts`).
 *
 * This KL is estimated on a step's own samples from the reference (`objective/kl`, nats per sequence).
 */
import * as Schema from "effect/Schema"
import { KlAmount } from "./Kl.ts"
import { Count, or } from "./Training.ts"

const Target = KlAmount.check(
  Schema.makeFilter((kl) =>
    kl.per === "sequence" || "it is per sequence: convert it with Kl.overTokens(target, length)"
  ),
  Schema.makeFilter((kl) => kl.mnats > 0 || "a target must be above 0 mnats")
)

/** β is constant. */
export class FixedBeta extends Schema.TaggedClass<FixedBeta>()("FixedBeta", {}) {}

/**
 * Ziegler et al. 2019 (arXiv 1909.08593, §2.2): β ← β (1 + clip(KL/target − 1, −0.2, 0.2) · episodes / horizon) after every step. Their
 * target was 6 nats per sequence and their horizon 10,000 episodes.
 */
export class Ziegler extends Schema.TaggedClass<Ziegler>()("Ziegler", {
  target: Target,
  /** Episodes over which β may change by 20 %. */
  horizon: or(Count, 10_000)
}) {}

/**
 * The penalty rule of PPO (Schulman et al. 2017, arXiv 1707.06347, §4): β is halved below target / 1.5, doubled above 1.5 target. There the KL is
 * of one update, which answers at once; from a reference that stays it answers slowly, and doubling at every step would run away. So it is
 * applied after every `every` steps, to their mean KL. It still swings around its target; `Ziegler` settles.
 */
export class PpoPenalty extends Schema.TaggedClass<PpoPenalty>()("PpoPenalty", {
  target: Target,
  every: or(Count, 20)
}) {}

export const KlControl = Schema.Union([FixedBeta, Ziegler, PpoPenalty]).pipe(Schema.toTaggedUnion("_tag"))
export type KlControl = typeof KlControl.Type

/** The fields of a stage that makes several updates on its own samples with a KL penalty. */
export const klControl = {
  klControl: or(KlControl, FixedBeta.make({})),
  /**
   * The passes over a step's samples end before the update at which the policy has moved from its sampler by more than 1.5 of this
   * (Spinning Up, Stable-Baselines3 `target_kl`), milli-nats per token, by the mean of k2 over the update's tokens (`approx_kl`).
   */
  targetKl: Schema.optionalKey(
    KlAmount.check(
      Schema.makeFilter((kl) => kl.per === "token" || "it is per token, e.g. Kl.mnatsPerToken(15)"),
      Schema.makeFilter((kl) => kl.mnats > 0 || "it must be above 0 mnats")
    )
  )
}

/** Mistakes beside the stage's other parameters. */
export const controlMistakes = (
  { beta, klControl, temperature }: {
    readonly beta: number
    readonly klControl: KlControl
    readonly temperature: number
  }
): ReadonlyArray<string> => {
  if (klControl._tag === "FixedBeta") return []
  return [
    ...(beta > 0 ? [] : [`klControl ${klControl._tag} multiplies beta, which is 0: start from a beta above 0`]),
    ...(temperature === 1 ? [] : [
      `klControl ${klControl._tag} follows the KL of the samples, and samples at temperature ${temperature} are not the policy's: `
      + "take temperature 1, or leave klControl out"
    ])
  ]
}
