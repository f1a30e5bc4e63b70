/**
 * The format of `facts/NAME.ts`: the numbers that a publication states about a system, section by section of RECIPES.md, each beside the
 * number that the recipe holds, or beside the reason why it holds none. Numbers are read from the planned graph, where they take effect.
 */
import { Artifact, Recipe } from "../../dsl/index.ts"
import { initialOf } from "../../dsl/Stage.ts"
import { type Schedule, scheduled } from "../../src/optim/schedule.ts"

type Value = number | string
/** A fact in words, the published value or values, and how the recipe's are read, or why there are none. */
export type Fact<R> = readonly [
  fact: string,
  published: Value | ReadonlyArray<Value>,
  read: ((recipe: R) => Value | ReadonlyArray<Value>) | string
]
export interface Facts {
  readonly system: string
  readonly sections: Readonly<Record<string, ReadonlyArray<Fact<any>>>>
  readonly recipe: unknown
}

export const facts = <R>(
  system: string,
  recipe: R,
  sections: Readonly<Record<string, ReadonlyArray<Fact<R>>>>
): Facts => ({
  system,
  recipe,
  sections
})

export const result = "a result that was measured, not a setting"
export const hardware = "hardware and time: `keel plan` prints its own beside it"

export type Params = Readonly<Record<string, any>>

/** The parameters of an artefact, defaults included. */
export const of = (artifact: Artifact.Any): Params => initialOf(artifact).node.params as Params

/** The artefact on a wire of another. */
export const on = (artifact: Artifact.Any, wire: string): Artifact.Any => initialOf(artifact).node.wires[wire]!

/** Of all nodes of an operation that an artefact depends on, inputs first. */
export const all = (artifact: Artifact.Any, op: string): ReadonlyArray<Params> =>
  Artifact.lineage(artifact).filter(({ node }) => node.op === op).map(of)

/** Rows of the data set of this name. */
export const rows = (artifact: Artifact.Any, name: string): number =>
  all(artifact, "Source").find(({ origin }) => origin.name === name)!["origin"].rows

/** Share of the peak rate at the end of the schedule. */
export const ends = (stage: Params): number =>
  Math.round(1e6 * scheduled(stage as unknown as Schedule, 1000, 1000)) / 1e6

/** Lower and upper ε of a clipped loss. */
export const clip = ({ loss }: Params): readonly [number, number] => [loss.objective.clip.low, loss.objective.clip.high]

/** `open` where the recipe asks for the choice of this name, or of this field of a choice. */
export const choice = (recipe: Recipe.Any, name: string): string => {
  const [first, field] = name.split(".") as [string, string?]
  const { standIn } = recipe.open[first] ?? {}
  return standIn === undefined || field !== undefined && !(field in standIn) ? "held" : "open"
}
