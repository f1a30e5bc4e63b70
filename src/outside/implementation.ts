import type * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { Kind } from "../../dsl/Artifact.ts"
import type { Definition } from "../../dsl/Definition.ts"
import type { Wire, Wires } from "../../dsl/Wires.ts"
import type { Dataset, Role } from "../data/dataset.ts"
import type { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import type { Judge } from "../rewards/judge.ts"
import type { Made } from "../store/made.ts"
import type { RunLog } from "../store/runLog.ts"
import type { Store } from "../store/store.ts"
import type { Scope } from "../training/scope.ts"

/** What an implementation can use; anything else it provides itself. */
export type StageServices = CurrentEngine | Judge | Store | RunLog | FileSystem.FileSystem

/** What an implementation can fail with: an error with a tag, and a message that says the remedy. */
export interface Failure {
  readonly _tag: string
  readonly message: string
}

type Weighted = "BaseModel" | "Policy" | "RewardModel" | "ValueModel"

type RowsOf<K extends Kind> = K extends Role ? Extract<Dataset, { readonly role: K }>["rows"] : never

/** What arrives on a wire: the weights of a model, the rows of data. */
type Arriving<S extends Wire> = S["kinds"][number] extends Weighted ? Weights : RowsOf<S["kinds"][number]>

/** What arrives on the wires `S`. Conversations among the rows are rendered by the template of the model on the main wire. */
export type Inputs<S extends Wires> = {
  readonly [K in keyof S]: S[K]["optional"] extends true ? Arriving<S[K]> | undefined : Arriving<S[K]>
}

/** What an operation from outside means: how its artefact is made, on any engine. `run` and `simulate` both take it. */
export interface Implementation<out Op extends string = string, out E extends Failure = Failure> {
  readonly definition: Definition & { readonly op: Op }
  readonly make: (params: any, inputs: any, scope: Scope) => Effect.Effect<Made, E, StageServices>
}

/**
 * The implementation of `definition`. `make` gets the parameters (an instance of the definition's schema), what is on the wires,
 * and the scope: `scope.key` is the seed of all its randomness and the key of its checkpoints, `scope.label` its name in logs and
 * errors, `scope.limits` the caps on it. It is not called again for what the store has; the store's key holds the description and
 * not this code, so a change that matters belongs into the description too (a field `version`, say).
 */
export const implement = <const Op extends string, S extends Wires, P, E extends Failure>(
  definition: Definition & { readonly op: Op; readonly wires: S; readonly schema: { readonly Type: P } },
  make: (params: P, inputs: Inputs<S>, scope: Scope) => Effect.Effect<Made, E, StageServices>
): Implementation<Op, E> => ({ definition, make })
