/** The artefacts that the steps of a drawn pipeline have made so far, and the choice of a step's inputs. */
import fc from "fast-check"
import type * as Artifact from "../../../dsl/Artifact.ts"
import type { Dimension } from "../../../dsl/Budget.ts"

/** An artefact of a known kind; the compiler knows no other property of it. */
export type Of<K extends Artifact.Kind> = Artifact.Artifact<K, string, never, number, Dimension, unknown, string>
export type ShelfPolicy = Of<"BaseModel" | "Policy">

export interface Shelf {
  readonly text: Array<Of<"Text">>
  readonly prompts: Array<Of<"Prompts">>
  readonly held: Array<Of<"Prompts">>
  readonly demonstrations: Array<Of<"Demonstrations">>
  readonly preferences: Array<Of<"Preferences">>
  readonly policies: Map<string, Array<ShelfPolicy>>
  readonly rewards: Map<string, Array<Of<"RewardModel">>>
  readonly scored: Array<Of<"ScoredCompletions">>
}

/** Makes one artefact, and its inputs when the shelf has none. */
export type ShelfStep = (shelf: Shelf) => void

/** The n-th newest. */
export const pick = <A>(shelf: ReadonlyArray<A>, n: number): A => shelf[shelf.length - 1 - (n % shelf.length)]!

/** The families of models that are drawn. */
export const family = fc.constantFrom("tales", "other")

/** The artefacts of a family; a missing list is added to the shelf. */
export const onShelf = <A>(shelf: Map<string, Array<A>>, of: string): Array<A> => {
  if (!shelf.has(of)) shelf.set(of, [])
  return shelf.get(of)!
}

/** The drawn family, or the family that has models when it has none. */
export const stocked = (shelf: Shelf, family: string): string =>
  shelf.policies.has(family) ? family : [...shelf.policies.keys()][0]!
