import type * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { Kind } from "../../dsl/Artifact.ts"
import type { Definition } from "../../dsl/Definition.ts"
import type { Wire, Wires } from "../../dsl/Wires.ts"
import type { Dataset, Role } from "../data/dataset.ts"
import type { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import type { Composed } from "../rewards/composed.ts"
import type { Judge } from "../rewards/judge.ts"
import type { Made } from "../store/made.ts"
import type { RunLog } from "../store/runLog.ts"
import type { Store } from "../store/store.ts"
import type { Scope } from "../training/scope.ts"

/** The services of an implementation; it provides all others itself. */
export type StageServices = CurrentEngine | Judge | Store | RunLog | FileSystem.FileSystem

/** The error type of an implementation: an error with a tag, and a message with a remedy. */
export interface Failure {
  readonly _tag: string
  readonly message: string
}

type Weighted = "BaseModel" | "Policy" | "RewardModel" | "ValueModel"

type RowsOf<K extends Kind> = K extends Role ? Extract<Dataset, { readonly role: K }>["rows"] : never

/** The value of a wire: the weights of a model, a reward with its models, or the rows of data. */
type Arriving<S extends Wire> = "Reward" extends S["kinds"][number] ? Composed<Weights>
  : S["kinds"][number] extends Weighted ? Weights
  : RowsOf<S["kinds"][number]>

/** The values on the wires `S`. The template of the model on the main wire renders conversations among the rows. */
export type Inputs<S extends Wires> = {
  readonly [K in keyof S]: S[K]["optional"] extends true ? Arriving<S[K]> | undefined : Arriving<S[K]>
}

/** How to make the artefact of an operation from outside, on any engine; you pass it to `run` and `simulate`. */
export interface Implementation<out Op extends string = string, out E extends Failure = Failure> {
  readonly definition: Definition & { readonly op: Op }
  readonly make: (params: any, inputs: any, scope: Scope) => Effect.Effect<Made, E, StageServices>
  /** Of the code: with another version, its results are made again. */
  readonly version?: string | undefined
}

/**
 * The implementation of `definition`. `make` gets the parameters (an instance of the definition's schema), the values
 * on the wires, and the scope: `scope.stream` seeds all its randomness, `scope.key` keys its checkpoints, `scope.label` is its name
 * in logs and errors, `scope.limits` its caps. `make` is not called for an artefact in the store. That is so
 * until the `version` changes; without a `version`, until the text of `make` itself does, which leaves out the code that it calls.
 */
export const implement = <const Op extends string, S extends Wires, P, E extends Failure>(
  definition: Definition & { readonly op: Op; readonly wires: S; readonly schema: { readonly Type: P } },
  make: (params: P, inputs: Inputs<S>, scope: Scope) => Effect.Effect<Made, E, StageServices>,
  { version }: { readonly version?: string } = {}
): Implementation<Op, E> => ({ definition, make, version })
