/**
 * Operations that move one policy by an allowance: their definition and constructor. The result is a policy of the same family, whose KL has
 * to be capped where it is used.
 */
import type { Add } from "./Arithmetic.ts"
import type * as Artifact from "./Artifact.ts"
import type { Compute } from "./Budget.ts"
import { build, type Definition, type Parameters } from "./Definition.ts"
import type { KlBudgetExceeded, TrainingError } from "./Errors.ts"
import type { LossesOf, RewardsOf } from "./Extension.ts"
import type { Gold } from "./Gold.ts"
import type { Allotting } from "./KlSpending.ts"
import type { Loss } from "./PolicyLoss.ts"
import type { Referenced } from "./Reference.ts"
import type { Checked, Given } from "./Wires.ts"

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
  <W extends Given, const N extends number, const G extends Gold = never>(
    connected: Checked<D["op"], D["wires"], D["main"] & keyof D["wires"], W>,
    params: Allotting<Parameters<D>, N, G>
  ): Moved<W, D["main"] & keyof W, N, G, X>
}

/** The constructor of such an operation. `X` is the need for its implementation, `Extension.Stage<"Rwr">` of one from outside. */
export const moves =
  <X extends string = never>() => <const D extends Definition>(definition: D): Mover<D, X> => (connected, params) =>
    build(definition, connected, params)

/** The constructor of the operation `D` with a KL penalty: β = `B` decides about the wire `reference`, and the loss `L` may be from outside. */
export interface Penalised<D extends Definition> {
  <
    W extends Given,
    const N extends number,
    const B extends number,
    const G extends Gold = never,
    L extends Loss = never
  >(
    connected: Checked<D["op"], Referenced<D["wires"], B>, D["main"] & keyof Referenced<D["wires"], B>, W>,
    params: Omit<Allotting<Parameters<D>, N, G>, "beta" | "loss"> & { readonly beta: B; readonly loss?: L }
  ): Moved<W, D["main"] & keyof W, N, G, LossesOf<L>>
}

export const penalises = <const D extends Definition>(definition: D): Penalised<D> => (connected, params) =>
  build(definition, connected, params)
