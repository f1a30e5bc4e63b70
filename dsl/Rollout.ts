/**
 * The rollout of a step, the same in `Ppo` and in `Grpo`: which prompts are asked, how, how answers are scored beside the reward, and which
 * groups train. A *group* is the completions of one prompt.
 */
import * as Schema from "effect/Schema"
import type { Any } from "./Artifact.ts"
import { Environment } from "./Environment.ts"
import { rulesIn } from "./stages/Reward.ts"
import { Count, Fraction, NonNegative, or, Positive } from "./Training.ts"
import type { Verifier } from "./Verifier.ts"

const Share = Fraction.check(Schema.isGreaterThan(0, { message: "must be above 0" }))

export const rolling = {
  /**
   * Makes each completion an episode of several turns of at most `maxNewTokens` tokens; verifiers judge the last. A prompt that is no
   * conversation is the first message of the user. Only the policy's own tokens are learnt, and KL is that of its own tokens.
   */
  environment: Schema.optionalKey(Environment),
  /** T of sampling, and of the log-probabilities of the loss and its penalty, as in TRL: π_T is trained. KL is measured at 1. */
  temperature: or(Positive, 1),
  /** Subtracted from the score of a completion that does not end by itself. */
  missingEosPenalty: or(NonNegative, 0),
  /**
   * DAPO's dynamic sampling: a group of equal scores teaches no difference, so other prompts replace it, until there are
   * `batchSize` groups or `maxBatches` batches have been sampled. A step without groups makes no update.
   */
  dynamicSampling: Schema.optionalKey(Schema.Struct({ maxBatches: Count })),
  /**
   * The pool of solved prompts (MiMo-7B, arXiv 2505.07608, section 3.3.2: 0.1). A prompt comes into it when its whole group passes all
   * verifiers, and leaves it when one does not (the paper does not say when); a prompt of a batch is one of the pool with this
   * probability, and one of the others otherwise. 0 takes a solved prompt no more, until all are solved. Left out, there is no pool.
   */
  solvedAgain: Schema.optionalKey(Fraction),
  /** DAPO's soft overlong punishment over the last `share` of `maxNewTokens` (eq. 13), added to the score. */
  overlong: Schema.optionalKey(Schema.Struct({ share: Share })),
  /**
   * μ: adds −μ (1/Σ|y|) Σ log π of the completions of a mini-batch that pass all verifiers (VAPO, arXiv 2504.05118, section 4.3: 0.1). Left
   * out, they learn by their advantages alone.
   */
  positiveNll: Schema.optionalKey(Positive)
}

interface Rolls {
  readonly _tag: string
  readonly groupSize?: number
  readonly verifiers?: ReadonlyArray<Verifier>
  readonly environment?: Environment
  readonly dynamicSampling?: { readonly maxBatches: number }
  readonly solvedAgain?: number
  readonly positiveNll?: number
}

/** One sentence for each mistake in a rollout. */
export const rolloutMistakes = (stage: Rolls, reward: Any | undefined): ReadonlyArray<string | false> => {
  const { _tag: op, dynamicSampling, environment, groupSize = 1, verifiers = [] } = stage
  const verifies = verifiers.length > 0 ||
    (reward !== undefined && rulesIn(reward).some(({ _tag }) => _tag === "Verify"))
  const needs = (field: "solvedAgain" | "positiveNll", whose: string) =>
    stage[field] !== undefined && !verifies &&
    `${field} needs a verifier, which says ${whose}, e.g. verifiers: [Verifier.lastNumber()]`
  return [
    needs("solvedAgain", "when a prompt is solved"),
    needs("positiveNll", "which completions are right"),
    dynamicSampling !== undefined && groupSize === 1 &&
    "dynamicSampling compares the scores of a group, and groupSize is 1: raise it, or leave dynamicSampling out",
    reward === undefined && verifiers.length === 0 &&
    (environment === undefined || environment._tag === "Calculator") &&
    `it has no reward: connect ${op}.reward, or give verifiers, e.g. verifiers: [Verifier.lastNumber()]`
  ]
}
