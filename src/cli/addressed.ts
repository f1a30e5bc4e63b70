/**
 * A recipe on the command line: by its name, or an export of a module, with the choices that its publication leaves open; and one of its
 * outputs, `instruct-gpt:policy`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as Recipe from "../../dsl/Recipe.ts"
import * as Source from "../../dsl/Source.ts"
import { meant } from "../../dsl/Spelling.ts"
import { fieldsOf, outputsOf } from "../../dsl/Stage.ts"
import { recipes } from "../../dsl/recipes/index.ts"
import { isHub, parsed } from "../model/hub.ts"

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

/** The inputs and choices of a recipe that were given, by repeated flags. */
export interface Asked {
  readonly take: ReadonlyArray<string>
  readonly choose: ReadonlyArray<string>
}

/** The values of `--flag NAME=VALUE` by their names, which are among `names`. */
const assignments = (
  flag: string,
  given: ReadonlyArray<string>,
  names: ReadonlyArray<string>,
  of: { readonly none: string; readonly are: string; readonly no: string }
) =>
  Effect.forEach(given, (one) => {
    const [name = "", ...rest] = one.split("=")
    const wrong = (problem: string, remedy: string) =>
      Effect.fail(new BadPipelineFile({ path: `--${flag} ${one.slice(0, 200)}`, problem, remedy }))
    const known = names.length === 0 ? of.none : `${of.are} ${names.join(", ")}${meant(name, names) || "."}`
    const value = rest.join("=")
    return value === ""
      ? wrong(rest.length === 0 ? "it has no =" : "nothing is after the =", known)
      : names.includes(name)
      ? Effect.succeed({ name, value, wrong })
      : wrong(`${of.no} ${name}`, known)
  })

/** The fields of a choice that is an object. */
const fieldsIn = (standIn: unknown): ReadonlyArray<string> =>
  typeof standIn === "object" && standIn !== null && !Array.isArray(standIn)
    ? Object.keys(standIn).filter((field) => field !== "_tag")
    : []

/**
 * The open choices of a recipe by `--choose NAME=VALUE`, whose values are JSON, or text where the choice is text. `NAME.FIELD=VALUE` changes
 * a field.
 */
const choices = Effect.fnUntraced(
  function*(recipe: Recipe.Any, choose: ReadonlyArray<string>, parse: (text: string) => Schema.Json) {
    const { name, open } = recipe
    const names = Object.keys(open).flatMap((name) => [
      name,
      ...fieldsIn(open[name].standIn).map((field) => `${name}.${field}`)
    ])
    const given = yield* assignments("choose", choose, names, {
      none: `${name} leaves nothing open.`,
      are: `What ${name} leaves open is`,
      no: `${name} has no open choice`
    })
    const chosen: Record<string, unknown> = {}
    for (const { name: path, value: text, wrong } of given) {
      const [name = "", field] = path.split(".")
      const before = chosen[name] ?? open[name].standIn
      const standIn = field === undefined ? before : before[field]
      const value = typeof standIn === "string" ? text : parse(text)
      const [is, was] = [typeof value, typeof standIn]
      if (is !== was) {
        return yield* wrong(`it is a ${is}`, `Give a ${was}, as a stand-in is: ${JSON.stringify(standIn)}`)
      }
      chosen[name] = field === undefined
        ? value
        // Of the same class.
        : Object.assign(Object.create(Object.getPrototypeOf(before) as object) as object, before, { [field]: value })
    }
    return chosen
  }
)

/** A model or rows of a place, for an input of this kind; or the reason why not. */
const taken = (kind: Artifact.Kind | readonly [Artifact.Model, string], path: string): Artifact.Any | string => {
  const rows = Artifact.rowKinds.find((one) => one === kind)
  // Of a name without a revision its main branch.
  const found = parsed(path.replace(/^(hf:\/\/[^@?]+)(?=\?|$)/u, "$1@main"))
  if (isHub(path) && found?.repo.type !== (rows === undefined ? "model" : "dataset")) {
    return `that is no name of ${rows === undefined ? "a model" : "rows"} on the hub`
  }
  const { name, type: _, ...at } = found?.repo ?? { name: undefined, type: undefined }
  if (rows !== undefined) return Source.of(rows)(name === undefined ? Source.file(path) : Source.hub(name, at))
  const [model, family] = kind as readonly [Artifact.Model, string]
  if (model !== "BaseModel") return `a ${model} is given by code`
  return name === undefined ? Checkpoint.huggingFace(family, path) : Checkpoint.hub(family, name, at)
}

/** The inputs of a recipe by `--take NAME=PATH`. */
const inputs = Effect.fnUntraced(function*({ name, takes }: Recipe.Any, take: ReadonlyArray<string>) {
  const given = yield* assignments("take", take, Object.keys(takes), {
    none: `${name} takes nothing.`,
    are: `${name} takes`,
    no: `${name} takes no input`
  })
  return Object.fromEntries(
    yield* Effect.forEach(given, ({ name, value, wrong }) => {
      const input = taken(takes[name], value)
      return typeof input === "string"
        ? wrong(input, "Give a model's folder or hf://OWNER/NAME, and of rows a file or hf://datasets/OWNER/NAME.")
        : Effect.succeed([name, input] as const)
    })
  )
})

/** Whether an artefact is known by its size alone, and cannot run. */
const isDescribed = (of: Artifact.Any): boolean => {
  const { origin, shape } = fieldsOf(of)
  return shape !== undefined || origin?._tag === "Described"
}

/** The outputs of a recipe as published, with stand-ins for choices and descriptions for inputs that were not given. */
export const recipeOf = Effect.fnUntraced(
  function*(recipe: Recipe.Any, { choose, take }: Asked, parse: (text: string) => Schema.Json) {
    const [chosen, given] = [yield* choices(recipe, choose, parse), yield* inputs(recipe, take)]
    const root = yield* Effect.try({
      try: () => Pipeline.outputs(Recipe.planned(recipe, chosen, given as object)) as Artifact.Any,
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

/** The inputs that `root` is made of and that are only described. */
export const described = ({ chosen, root }: { readonly chosen?: Chosen; readonly root: Artifact.Any }) => {
  if (chosen === undefined) return []
  const { recipe } = chosen
  const used = new Set(Artifact.lineage(root).map(({ id }) => id))
  const names = Object.entries(recipe.published() as Readonly<Record<string, Artifact.Any>>)
    .flatMap(([name, of]) => used.has(of.id) && isDescribed(of) ? [name] : [])
  return Recipe.inputsOf(recipe, names)
}

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
