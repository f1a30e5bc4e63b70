/**
 * A recipe on the command line: by its name, or an export of a module, with the choices that its publication leaves open; and one of its
 * outputs, `instruct-gpt:policy`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as Recipe from "../../dsl/Recipe.ts"
import { meant } from "../../dsl/Spelling.ts"
import { outputsOf } from "../../dsl/Stage.ts"
import { recipes } from "../../dsl/recipes/index.ts"

/** A file, a recipe or an option that yields no pipeline. */
export class BadPipelineFile extends Schema.TaggedError<BadPipelineFile>()("BadPipelineFile", {
  path: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.problem}. ${this.remedy}`
  }
}

/** A recipe with the choices that were made for it. */
export interface Chosen {
  readonly recipe: Recipe.Any
  /** The open choices that have their stand-ins. */
  readonly open: Recipe.OpenChoices["choices"]
}

/** The outputs by their names, or the one called `part` with the outputs that it is made of. */
export const part = (root: Artifact.Any, part: string | undefined, path: string) =>
  Effect.suspend(() => {
    if (part === undefined) return Effect.succeed(root)
    const outputs = outputsOf(root)
    const of = Object.hasOwn(outputs, part) ? outputs[part] : undefined
    const names = Object.keys(outputs)
    if (of === undefined) {
      return Effect.fail(
        new BadPipelineFile({
          path: `${path}:${part}`,
          problem: names.length === 0 ? "it has no named outputs" : `it has no output ${part}`,
          remedy: names.length === 0
            ? `Leave :${part} out.`
            : `Its outputs are ${names.join(", ")}${meant(part, names) || "."}`
        })
      )
    }
    const made = new Set(Artifact.lineage(of).map(({ id }) => id))
    return Effect.succeed(
      Pipeline.outputs(Object.fromEntries(Object.entries(outputs).filter(([, { id }]) => made.has(id))))
    )
  })

/** The open choices of a recipe by `--choose NAME=VALUE`, whose values are JSON. */
const choices = (recipe: Recipe.Any, choose: ReadonlyArray<string>, parse: (text: string) => Schema.Json) =>
  Effect.gen(function*() {
    const chosen: Record<string, Schema.Json> = {}
    const names = Object.keys(recipe.open)
    for (const one of choose) {
      const [name = "", ...rest] = one.split("=")
      const open = Object.hasOwn(recipe.open, name) ? recipe.open[name] : undefined
      const wrong = (problem: string) =>
        new BadPipelineFile({
          path: `--choose ${one.slice(0, 200)}`,
          problem,
          remedy: names.length === 0
            ? `${recipe.name} leaves nothing open.`
            : `What ${recipe.name} leaves open is ${names.join(", ")}.`
        })
      if (rest.length === 0) return yield* wrong("it has no =")
      if (open === undefined) return yield* wrong(`${recipe.name} has no open choice ${name}`)
      const value = parse(rest.join("="))
      const [is, was] = [typeof value, typeof open.standIn]
      if (is !== was) return yield* wrong(`it is a ${is}, and a stand-in is the ${was} ${JSON.stringify(open.standIn)}`)
      chosen[name] = value
    }
    return chosen
  })

/** The outputs of a recipe as published, with stand-ins for choices that were not made. */
export const recipeOf = Effect.fnUntraced(
  function*(recipe: Recipe.Any, choose: ReadonlyArray<string>, parse: (text: string) => Schema.Json) {
    const chosen = yield* choices(recipe, choose, parse)
    const root = yield* Effect.try({
      try: () => Pipeline.outputs(Recipe.planned(recipe, chosen)) as Artifact.Any,
      catch: (error) =>
        new BadPipelineFile({
          path: recipe.name,
          problem: `it cannot be made: ${error instanceof Error ? error.message : String(error)}`,
          remedy: "Look at what was chosen for it."
        })
    })
    const open = Recipe.openOf(recipe).filter(({ name }) => !Object.hasOwn(chosen, name))
    return { root, chosen: { recipe, open } satisfies Chosen as Chosen }
  }
)

/** The line about the stand-ins of a recipe, if it has some. */
export const standInLines = ({ chosen }: { readonly chosen?: Chosen }): ReadonlyArray<string> =>
  chosen === undefined || chosen.open.length === 0 ? [] : [
    `Not reported, with a stand-in here (--choose NAME=VALUE): ${
      chosen.open.map(({ hint, name, standIn }) => `${name} ${standIn} (${hint})`).join("; ")
    }.`
  ]

/** Keel's recipe of a name. */
export const known = (name: string): Recipe.Any | undefined => recipes.find((recipe) => recipe.name === name)

/** A sentence with the names of Keel's recipes for a name that none has. */
export const otherwise = (name: string): string => {
  const names = recipes.map(({ name }) => name)
  return `The recipes are ${names.join(", ")}${meant(name, names) || "."}`
}
