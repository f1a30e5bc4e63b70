/**
 * Operations, rewards and losses declared outside Keel. An operation is a `Definition` (its `Schema`, wires and result)
 * and a `make` as in `dsl/stages`, whose `Artifact.Output` names it in its last parameter:
 *
 *     Artifact.Output<W, "Policy", F, Compute, A, TrainingError, Extension.Stage<"Raft">>
 *
 * It is then checked, hashed, printed and written to JSON like Keel's own. You give its implementation to the
 * interpreter (`stages: [raft]`); the pipeline's type names all that are needed; a missing one is a compile error.
 */
import * as Schema from "effect/Schema"
import type { Any, OutsideOf } from "./Artifact.ts"
import { or } from "./Training.ts"

/** One use of an operation from outside. Not a case of `Stage`, which is closed. */
export interface Extension {
  readonly _tag: "Extension"
  /** Its `Definition`. */
  readonly definition: { readonly op: string; readonly main: string; readonly spendsKl?: true }
  /** An instance of the definition's schema. */
  readonly params: { readonly _tag: string }
}

/** The need for an implementation of the stage `Op`. */
export type Stage<Op extends string> = `stage ${Op}`

/** The need for an implementation of the reward `Name`. */
export type Reward<Name extends string> = `reward ${Name}`

/** The need for an implementation of the verifier `Name`. */
export type Verifier<Name extends string> = `verifier ${Name}`

/** The need for an implementation of the environment `Name`. */
export type Environment<Name extends string> = `environment ${Name}`

/**
 * A reward from outside, where one of Keel's could stand (`Gold`): a name, and parameters as JSON that its implementation is
 * given. In `simulate` it is the world's, like every gold reward.
 */
export class OwnReward extends Schema.TaggedClass<OwnReward>()("OwnReward", {
  name: Schema.NonEmptyString,
  params: Schema.Record(Schema.String, Schema.Json)
}) {}

export interface NamedReward<Name extends string> extends OwnReward {
  readonly name: Name
}

/** The need for an implementation of the loss `Name`: on pairs of answers (`preference`) or of a policy gradient (`policy`). */
export type Loss<Of extends "preference" | "policy", Name extends string> = `${Of} loss ${Name}`

/** The name and the parameters of a loss from outside, as JSON that its implementation is given. */
export const ownLoss = {
  name: Schema.NonEmptyString,
  params: or(Schema.Record(Schema.String, Schema.Json), {})
}

/** The losses among `L` that come from outside, as needs. */
export type LossesOf<L> = L extends { readonly _tag: `Own${infer Of}Loss`; readonly name: infer N extends string }
  ? string extends N ? never : Loss<Uncapitalize<Of> & ("preference" | "policy"), N>
  : never

/** The rewards among `R` that come from outside, as needs; none when the compiler does not know its name. */
export type RewardsOf<R> = R extends { readonly _tag: "OwnReward"; readonly name: infer N extends string }
  ? string extends N ? never : Reward<N>
  : never

/** The verifiers among `V` that come from outside, as needs; none when the compiler does not know its name. */
export type VerifiersOf<V> = V extends { readonly _tag: "OwnVerifier"; readonly name: infer N extends string }
  ? string extends N ? never : Verifier<N>
  : never

/** The environments among `E` that come from outside, as needs; none when the compiler does not know its name. */
export type EnvironmentsOf<E> = E extends { readonly _tag: "OwnEnvironment"; readonly name: infer N extends string }
  ? string extends N ? never : Environment<N>
  : never

type Example<X extends string> = X extends `stage ${infer Op}` ? `stages: [${Uncapitalize<Op>}]`
  : X extends Reward<infer Name> | Verifier<infer Name> | Environment<infer Name> ? `rewards: [${Uncapitalize<Name>}]`
  : X extends Loss<any, infer Name> ? `losses: [${Uncapitalize<Name>}]`
  : never

/**
 * `unknown` if `Given` contains everything from outside in the pipeline `P`, else a line that names the missing part.
 * Pipelines of unknown type (`Artifact.Any`) are checked when they run.
 */
export type Implemented<P extends Any, Given extends string> = string extends OutsideOf<P> ? unknown
  : [Exclude<OutsideOf<P>, Given>] extends [never] ? unknown
  : `This pipeline has the ${Exclude<
    OutsideOf<P>,
    Given
  >} from outside Keel without its implementation: pass ${Example<
    Exclude<OutsideOf<P>, Given>
  >} in the options`
