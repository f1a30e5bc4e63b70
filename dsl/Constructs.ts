/** The constructor of an operation whose result follows from its definition: rows, a report, or a model that is trained from another. */
import type * as Artifact from "./Artifact.ts"
import type { Compute } from "./Budget.ts"
import type { Computed, SameAs } from "./Data.ts"
import { build, type Definition, type Parameters } from "./Definition.ts"
import type { TrainingError } from "./Errors.ts"
import type { RewardsOf } from "./Extension.ts"
import type { Gold } from "./Gold.ts"
import type { Checked, Given, Wires } from "./Wires.ts"

/** A model of the kind `K`, trained without an allowance from the one on the wire `Main`, whose allotted KL a policy inherits. */
export type Trained<W, K extends Artifact.Model, Main extends keyof W> = Artifact.Output<
  W,
  K,
  Artifact.FamilyOf<W[Main]>,
  Compute,
  K extends "Policy" ? Artifact.AllottedOf<W[Main]> : 0,
  TrainingError
>

/** What an operation makes of the wires `W`, judged by a reward with the needs `X`. */
type Result<Makes, Main, W extends Given, X extends string> = Makes extends Artifact.Model ?
  Trained<W, Makes, Main & keyof W>
  : Makes extends Artifact.Kind ? Computed<W, Makes, X>
  : SameAs<W>

/** The parameters `P`, with the gold reward `G` where they have one. */
type Judging<P, G> = P extends { readonly gold: Gold } ? Omit<P, "gold"> & { readonly gold: G } : P

export const constructs =
  <const Op extends string, const S extends Wires, const Main extends string, const Makes, D extends Definition>(
    definition: D & { readonly op: Op; readonly wires: S; readonly main: Main; readonly makes: Makes }
  ) =>
  <W extends Given, const G extends Gold = never>(
    connected: Checked<Op, S, Main & keyof S, W>,
    params: Judging<Parameters<D>, G>
  ): Result<Makes, Main, W, RewardsOf<G>> => build(definition, connected, params ?? {})
