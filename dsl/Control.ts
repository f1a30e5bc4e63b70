/**
 * Standard reinforcement learning as data: a policy that acts in an environment step by step. It is separate from
 * artefacts of language models and has no tokenizer, family or prompt. Algorithms and losses are shared; the
 * differences (horizon, transition, reward, discount) are in the types of `src/control/environment.ts`.
 *
 * The objective is J = E Σ_t γ^t r(s_t, a_t). Interpreted by `src/interpreters/control.ts`.
 */
import * as Schema from "effect/Schema"
import { Count, Fraction, optimiser, or, Positive, Seed } from "./Training.ts"

/** Keeps a room at `target` °F: reward 1 for each step within `within` °F of it (rlhfbook.com, "Training Overview"); `src/control/thermostat.ts`. */
export class Thermostat extends Schema.TaggedClass<Thermostat>()("Thermostat", {
  target: or(Schema.Finite, 70),
  within: or(Positive, 2)
}) {}

/** An environment of your own; you give its implementation to `control` (`environments: […]`) or export it beside the description. */
export class OwnEnvironment extends Schema.TaggedClass<OwnEnvironment>()("OwnEnvironment", {
  name: Schema.NonEmptyString
}) {}

export class Control extends Schema.TaggedClass<Control>()("Control", {
  /** `cartpole`: Gymnasium's CartPole-v1, `src/control/cartPole.ts`. */
  environment: Schema.Union([Schema.Literals(["cartpole"]), Thermostat, OwnEnvironment]),
  /** γ. */
  discount: or(Fraction, 0.99),
  /** λ of generalised advantage estimation; 1 is Monte Carlo. */
  lam: Fraction,
  /** The baseline of the return: a value function, or none. */
  baseline: Schema.Literals(["value", "none"]),
  cliprange: or(Positive, 0.2),
  numPpoEpochs: Count,
  /** Environment steps per update; all of them when left out. */
  miniBatchSize: Schema.optionalKey(Count),
  whitenAdvantages: or(Schema.Boolean, true),
  /** Most iterations: act, learn. */
  steps: Count,
  episodesPerStep: Count,
  /** Widths of the hidden layers of policy and value function. */
  hidden: or(Schema.Array(Count), [32]),
  /**
   * Solved, and so finished, at this mean return over `evaluationEpisodes` episodes of their own. Left out: of CartPole 475 (Gymnasium),
   * of the thermostat 90; an environment of your own then uses all its steps.
   */
  solvedAt: Schema.optionalKey(Schema.Finite),
  evaluationEpisodes: or(Count, 100),
  /** Iterations between evaluations. */
  evaluateEvery: or(Count, 5),
  ...optimiser,
  seed: Seed
}) {}

/** Keeps all fields unchecked: the interpreter reports every mistake, unknown keys included. */
const described = (fields: typeof Control["~type.make.in"]): Control =>
  Object.assign(new Control(fields, { disableChecks: true }), fields)

export const thermostat = (options: Partial<Pick<Thermostat, "target" | "within">> = {}): Thermostat =>
  Object.assign(new Thermostat(options, { disableChecks: true }), options)

export const own = (name: string): OwnEnvironment => new OwnEnvironment({ name }, { disableChecks: true })

type Options = Partial<Omit<typeof Control["~type.make.in"], "environment">>

/** REINFORCE (Williams 1992) with returns from each step on, whitened over the batch; one update an iteration, so ratios are 1. */
export const reinforce = (environment: Control["environment"], options: Options = {}): Control =>
  described({
    environment,
    lam: 1,
    baseline: "none",
    numPpoEpochs: 1,
    steps: 200,
    episodesPerStep: 16,
    learningRate: 1e-2,
    ...options
  })

/** PPO (Schulman et al. 2017) with a value function and GAE. */
export const ppo = (environment: Control["environment"], options: Options = {}): Control =>
  described({
    environment,
    lam: 0.95,
    baseline: "value",
    numPpoEpochs: 4,
    miniBatchSize: 256,
    steps: 100,
    episodesPerStep: 16,
    learningRate: 3e-3,
    ...options
  })
