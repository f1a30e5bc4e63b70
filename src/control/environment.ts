/**
 * The world that a policy is trained in: an environment of standard reinforcement learning, or the bandit that RLHF makes of a language
 * model. Their settings say in types where the two part (rlhfbook.com, "RLHF", Table 1):
 *
 * |  | `Environment` | `Bandit` |
 * |---|---|---|
 * | horizon | many steps | one action, a whole response |
 * | transition | s′ ~ p(· \| s, a) of the environment | none: prompts come from a data set |
 * | reward | of each step, r(s, a) | of the response, r(x, y) |
 * | discount | γ < 1 as a rule | 1 |
 *
 * Everything here is pure: randomness is in the argument.
 */
import type { Random } from "../sampling/random.ts"

export interface Transition<S> {
  readonly state: S
  readonly reward: number
  /** Whether the episode ends here by the rules of the environment; being cut off at the horizon is something else. */
  readonly terminated: boolean
}

/** An environment with states `S` and the actions 0 … `actions` − 1. */
export interface Environment<S> {
  readonly setting: {
    /** Maximum steps of an episode; an episode that is cut off there has not ended, so its last state has a value. */
    readonly horizon: number
    readonly transition: "environment"
    readonly reward: "step"
    readonly discount: number
  }
  /** The mean return at which it counts as solved, if there is one. */
  readonly solvedAt?: number
  readonly actions: number
  readonly start: (random: Random) => S
  readonly step: (state: S, action: number, random: Random) => Transition<S>
  /** A state as the numbers that a network sees, `features` of them. */
  readonly observe: (state: S) => ReadonlyArray<number>
  readonly features: number
}

/** A bandit with contexts (prompts) `X` and the responses 0 … `actions` − 1. */
export interface Bandit<X> {
  readonly setting: {
    readonly horizon: 1
    readonly transition: "none"
    readonly reward: "response"
    readonly discount: 1
  }
  readonly actions: number
  readonly start: (random: Random) => X
  readonly reward: (context: X, response: number) => number
  readonly observe: (context: X) => ReadonlyArray<number>
  readonly features: number
}

/** A bandit is an environment whose every episode ends with its first action. */
export const asEnvironment = <X>({ reward, ...bandit }: Bandit<X>): Environment<X> => ({
  ...bandit,
  setting: { horizon: 1, transition: "environment", reward: "step", discount: 1 },
  step: (state, action) => ({ state, reward: reward(state, action), terminated: true })
})
