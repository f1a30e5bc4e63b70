/**
 * Environments: a policy writes several messages, its *turns*, and something answers each: a tool, a game, a user. Multi-turn is the bandit
 * of RLHF with a longer horizon (rlhfbook.com, "RLHF", Table 1). With r_k the reward of turn k and K turns,
 *
 *     J = E Σ_k γ^k r_k + E[score of the last message]
 *
 * Only the policy's own tokens are learnt: the tokens of the answers have no loss, no log-probability and no KL. An environment is a
 * function of the prompt's row and the turns so far, so an episode begins anew from its row, and the same turns get the same answer.
 *
 * Code: `src/rewards/environment.ts`, `src/training/episodes.ts`. In `simulate` the world answers a turn with a token of its own.
 */
import * as Schema from "effect/Schema"
import { Count, Fraction, or } from "./Training.ts"

const episode = {
  /** Most messages of the policy in an episode; nothing answers the last. */
  maxTurns: or(Count, 4),
  /** γ, between turns. */
  discount: or(Fraction, 1)
}

/**
 * A tool `calculator` for expressions of numbers, + − × ÷ and brackets. A message without a call ends the episode, and the verifiers
 * or the reward model judge it; the tool itself gives no reward.
 */
export class Calculator extends Schema.TaggedClass<Calculator>()("Calculator", episode) {}

/**
 * A game: the row's `answer` is a number that the policy does not see. Each turn is a guess, its last whole number; the game says
 * `higher` or `lower`. The right guess ends it with reward 1, a turn without a number with 0. The best policy halves what is left: with
 * n numbers, equally likely, the best J is (1/n) Σ_m γ^⌊log₂ m⌋ over m = 1 … n, without the m from 2^maxTurns on.
 */
export class GuessNumber extends Schema.TaggedClass<GuessNumber>()("GuessNumber", episode) {}

/**
 * An environment from outside Keel: a name, and parameters as JSON. Its implementation is one function (`environment` of `keel/stage`, given
 * to `run` in `rewards`): the row and the turns so far in; a reward, and an answer or the end, out.
 */
export class OwnEnvironment extends Schema.TaggedClass<OwnEnvironment>()("OwnEnvironment", {
  name: Schema.NonEmptyString,
  params: or(Schema.Record(Schema.String, Schema.Json), {}),
  ...episode
}) {}

export interface NamedEnvironment<Name extends string> extends OwnEnvironment {
  readonly name: Name
}

export const Environment = Schema.Union([Calculator, GuessNumber, OwnEnvironment]).pipe(Schema.toTaggedUnion("_tag"))
export type Environment = typeof Environment.Type

interface Options {
  readonly maxTurns?: number
  readonly discount?: number
}

const unchecked = { disableChecks: true } as const

export const calculator = (options: Options = {}): Calculator => new Calculator(options, unchecked)

export const guessNumber = (options: Options = {}): GuessNumber => new GuessNumber(options, unchecked)

/** An environment of your own: you give its implementation to `run` (`rewards: […]`), with these parameters. */
export const own = <const Name extends string>(
  name: Name,
  params: Readonly<Record<string, Schema.Json>> = {},
  options: Options = {}
): NamedEnvironment<Name> => new OwnEnvironment({ name, params, ...options }, unchecked) as NamedEnvironment<Name>
