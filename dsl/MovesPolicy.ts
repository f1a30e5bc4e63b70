/**
 * Operations that move one policy by an allowance: their definition and constructor. The result is a policy of the same family, whose KL has
 * to be capped where it is used.
 */
import type { Add } from "./Arithmetic.ts"
import type * as Artifact from "./Artifact.ts"
import type { Compute } from "./Budget.ts"
import { build, type Definition, type Parameters } from "./Definition.ts"
import type { KlBudgetExceeded, TrainingError } from "./Errors.ts"
import type { Environment } from "./Environment.ts"
import type { EnvironmentsOf, LossesOf, RewardsOf, VerifiersOf } from "./Extension.ts"
import type { Gold } from "./Gold.ts"
import type { Allotting, BesideHeld } from "./KlSpending.ts"
import type { Loss } from "./PolicyLoss.ts"
import type { Referenced } from "./Reference.ts"
import type { Verifier } from "./Verifier.ts"
import type { Checked, Given, Wires } from "./Wires.ts"

/** The result, from the policy on the wire `Main`; `N` is allotted, `G` observed, `X` needed from outside. */
export type Moved<
  W,
  Main extends keyof W,
  N extends number,
  G extends Gold = never,
  X extends string = never
> = Artifact.Output<
  W,
  "Policy",
  Artifact.FamilyOf<W[Main]>,
  Compute | "kl",
  Add<Artifact.AllottedOf<W[Main]>, N>,
  TrainingError | KlBudgetExceeded,
  RewardsOf<G> | X
>

/** The part of a definition that all of them share; `main` is the wire of the policy that is moved. */
export const policyFrom = <const Main extends string>(main: Main) =>
  ({ main, parent: main, spendsKl: true, makes: "Policy" }) as const

/** The constructor of the operation `D`. An interface, so that declarations keep the docstring of each parameter. */
export interface Mover<D extends Definition, X extends string = never> {
  <W extends Given, const N extends number = 0, const G extends Gold = never>(
    connected: Checked<D["op"], D["wires"], D["main"] & keyof D["wires"], W>,
    params: Allotting<Parameters<D>, N, G> & BesideHeld<W>
  ): Moved<W, D["main"] & keyof W, N, G, X>
}

/** The constructor of such an operation. `X` is the need for its implementation, `Extension.Stage<"Rwr">` of one from outside. */
export const moves =
  <X extends string = never>() => <const D extends Definition>(definition: D): Mover<D, X> => (connected, params) =>
    build(definition, connected, params)

/** The wires `S`, where a `Needed` reward may be left out only beside `V`: verifiers, or an environment. */
type Rewarded<S extends Wires, Needed extends "reward", V> = {
  readonly [K in keyof S]: K extends "reward"
    ? ["reward", V] extends [Needed, never] ? Omit<S[K], "optional"> & { readonly optional: false } : S[K]
    : S[K]
}

/** The constructor of the operation `D` with a KL penalty: β = `B` decides about the wire `reference`; the loss `L`, the verifiers `V` and the environment `E` may be from outside. */
export interface Penalised<D extends Definition, Needed extends "reward" = never> {
  <
    W extends Given,
    const B extends number,
    const N extends number = 0,
    const G extends Gold = never,
    L extends Loss = never,
    V extends Verifier = never,
    E extends Environment = never
  >(
    connected: Checked<D["op"], Rewarded<Referenced<D["wires"], B>, Needed, V | E>, D["main"] & keyof D["wires"], W>,
    params: Omit<Allotting<Parameters<D>, N, G>, "beta" | "loss" | "verifiers" | "environment"> & {
      readonly beta: B
      readonly loss?: L
      /** Verifiable rewards, added to the reward on the wire `reward` where there is one. */
      readonly verifiers?: ReadonlyArray<V>
      /** Makes each completion an episode of several turns; its rewards are added. `maxNewTokens` is then of one turn. */
      readonly environment?: E
    }
  ): Moved<W, D["main"] & keyof W, N, G, LossesOf<L> | VerifiersOf<V> | EnvironmentsOf<E>>
}

/** A `Needed` reward may be left out only beside verifiers or an environment. */
export const penalises =
  <Needed extends "reward" = never>() =>
  <const D extends Definition>(definition: D): Penalised<D, Needed> =>
  (connected, params) => build(definition, connected, params)
