/**
 * A quantity of KL divergence. A KL has a direction, an estimator, a unit (per sequence or per token) and a model to
 * compare with: each is a field here, and the unit is in the type. An amount per token does not fit where an amount per
 * sequence is expected; a length converts it.
 *
 * Amounts are integers in milli-nats (1 nat = 1000 mnats): floating-point addition is not associative, and budgets are added.
 *
 * KL(P‖Q) = E_P log(P/Q). The estimators for x ~ P, with r = Q(x)/P(x), are Schulman's (http://joschu.net/blog/kl-approx.html):
 * k1 = −log r (unbiased), k2 = ½ (log r)² (biased), k3 = r − 1 − log r (unbiased, never negative); `exact` enumerates.
 */
import * as Schema from "effect/Schema"
import { or } from "./Training.ts"

export const Direction = Schema.Literals(["reverse", "forward"])
export const Estimator = Schema.Literals(["k1", "k2", "k3", "exact"])
export const Per = Schema.Literals(["sequence", "token"])
/** `initial`: the retained model that the budget is measured from; `start`: where the stage began; `reference`: the one of its penalty. */
export const Against = Schema.Literals(["initial", "start", "reference"])

export type Per = typeof Per.Type

const fields = {
  /** `reverse` is KL(policy‖other), the penalty of RLHF; `forward` is KL(other‖policy). */
  direction: or(Direction, "reverse"),
  estimator: or(Estimator, "k1"),
  per: Per,
  against: Against,
  mnats: Schema.Natural
}

/** The schema of a KL amount, as it stands in a description. */
export class KlAmount extends Schema.Class<KlAmount>("Kl")(fields) {}

/** A KL amount whose unit and size the compiler knows. */
export interface Kl<out P extends Per, out N extends number> extends KlAmount {
  readonly per: P
  readonly mnats: N
}

interface Options {
  readonly direction?: typeof Direction.Type
  readonly estimator?: typeof Estimator.Type
  readonly against?: typeof Against.Type
}

const amount = <P extends Per, N extends number>(per: P, mnats: N, options: Options = {}): Kl<P, N> =>
  KlAmount.make({ per, mnats, against: "initial", ...options }) as unknown as Kl<P, N>

/** Milli-nats per sequence: KL of the distribution over whole completions, the unit of the RLHF objective and of budgets. */
export const mnatsPerSequence = <const N extends number>(mnats: N, options?: Options): Kl<"sequence", N> =>
  amount("sequence", mnats, options)

/** Milli-nats per token: the per-sequence amount divided by the mean completion length. */
export const mnatsPerToken = <const N extends number>(mnats: N, options?: Options): Kl<"token", N> =>
  amount("token", mnats, options)

/**
 * The amount per sequence that `perToken` comes to over completions of `tokens` tokens.
 *
 * ```ts
 * import * as Kl from "../dsl/Kl.ts"
 * Kl.overTokens(Kl.mnatsPerToken(50), 40).mnats // => 2000
 * ```
 */
export const overTokens = (perToken: Kl<"token", number>, tokens: number): Kl<"sequence", number> =>
  amount("sequence", Math.round(perToken.mnats * tokens), {
    direction: perToken.direction,
    estimator: perToken.estimator,
    against: perToken.against
  })

/** In place of a cap: KL is measured, and nothing ends a stage (`Pipeline.observe`). */
export const measured = "measured"
export type Measured = typeof measured

/** Nats as a number, for arithmetic and printing. */
export const nats = (kl: { readonly mnats: number }): number => kl.mnats / 1000
