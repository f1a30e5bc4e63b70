/** The constructor of an operation whose result follows from its definition: rows, a report, or a model that is trained from another. */
import type * as Artifact from "./Artifact.ts"
import type { Compute } from "./Budget.ts"
import type { Computed, SameAs } from "./Data.ts"
import { build, type Definition, type Parameters } from "./Definition.ts"
import type { TrainingError } from "./Errors.ts"
import type { RewardsOf } from "./Extension.ts"
import type { Gold } from "./Gold.ts"
import type { Checked, Given } from "./Wires.ts"

/** A model of the kind `K`, trained without an allowance from the one on the wire `Main`, whose allotted KL a policy inherits. */
export type Trained<W, K extends Artifact.Model, Main extends keyof W> = Artifact.Output<
  W,
  K,
  Artifact.FamilyOf<W[Main]>,
  Compute,
  K extends "Policy" ? Artifact.AllottedOf<W[Main]> : 0,
  TrainingError
>

/** The result of the operation `D` with the wires `W`, judged by a reward with the needs `X`. */
type Result<D extends Definition, W extends Given, X extends string> = D["makes"] extends Artifact.Model ?
  Trained<W, D["makes"], D["main"] & keyof W>
  : D["makes"] extends Artifact.Kind ? Computed<W, D["makes"], X>
  : SameAs<W>

/** The parameters `P`, with the gold reward `G` where they have one. */
type Judging<P, G> = P extends { readonly gold: Gold } ? Omit<P, "gold"> & { readonly gold: G }
  : "gold" extends keyof P ? Omit<P, "gold"> & { readonly gold?: G }
  : P

/** An interface, so that declarations keep the docstring of each parameter of `D`. */
export interface Constructor<D extends Definition> {
  <W extends Given, const G extends Gold = never>(
    connected: Checked<D["op"], D["wires"], D["main"] & keyof D["wires"], W>,
    params: Judging<Parameters<D>, G>
  ): Result<D, W, RewardsOf<G>>
}

export const constructs = <const D extends Definition>(definition: D): Constructor<D> => (connected, params) =>
  build(definition, connected, params ?? {})
