/**
 * A recipe: a function from inputs, and from the choices that its publication leaves open, to named artefacts. A missing choice is a missing
 * property, with its name; no default is invented for it. What a publication does report stands in exported records beside the recipe.
 *
 * A recipe is planned, drawn and compared without files: `published` are its inputs as the publication describes them, by shapes and numbers
 * of rows, and every open choice has a stand-in, of which interpreters say that it is one.
 *
 * ```ts
 * import { Checkpoint, Recipe, Sft, Source } from "../dsl/index.ts"
 *
 * const twice = Recipe.make({
 *   name: "twice",
 *   title: "SFT for two epochs",
 *   paper: "arXiv 0000.00000",
 *   takes: { base: ["BaseModel", "llama"], demonstrations: "Demonstrations" },
 *   open: { learningRate: Recipe.notReported(1e-5, "usual at this size") },
 *   published: () => ({
 *     base: Checkpoint.described("llama", { layers: 2, dim: 64, heads: 2, ffn: 96, vocab: 1000, context: 512 }),
 *     demonstrations: Source.demonstrations(Source.file("d.jsonl"))
 *   }),
 *   make: (given, { learningRate }) => ({ sft: Sft.make(given, { epochs: 2, batchSize: 8, learningRate }) })
 * })
 * Recipe.planned(twice).sft.node.op // => "Sft"
 * ```
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "./Artifact.ts"
import type { Dimension } from "./Budget.ts"

/** A choice that the publication does not report. */
export interface Open<out T> {
  /** Takes the place of the choice where somebody has to choose: in plans, in comparisons, shrunk. */
  readonly standIn: T
  /** What is known: a sweep, a range, the usual value. */
  readonly hint: string
}

/** A choice that the publication does not report: `notReported(0.95, "only “no discount” is stated")`. */
export const notReported = <T>(standIn: T, hint: string): Open<T> => ({ standIn, hint })

/** An input: it has spent no KL. */
type Input<K extends Artifact.Kind, F extends string> = Artifact.Artifact<
  K,
  F,
  never,
  0,
  Exclude<Dimension, "kl">,
  unknown
>

/** The kind of each input; of a model with its family. */
export type Takes = Readonly<Record<string, Artifact.Kind | readonly [Artifact.Model, string]>>

/** The inputs of a recipe that takes these: the type of a function inside it. */
export type Given<T extends Takes> = {
  readonly [N in keyof T]: T[N] extends readonly [infer K extends Artifact.Kind, infer F extends string] ? Input<K, F>
    : T[N] extends Artifact.Model ? Input<T[N], string>
    : T[N] extends Artifact.Kind ? Input<T[N], "">
    : never
}

export type Opened = Readonly<Record<string, Open<unknown>>>
/** The choices of a recipe that leaves these open. */
export type Chosen<O extends Opened> = { readonly [N in keyof O]: O[N] extends Open<infer T> ? T : never }
type Named = Readonly<Record<string, Artifact.Any>>

interface Header<T extends Takes, O extends Opened> {
  /** How it is called on the command line, e.g. `instruct-gpt`. */
  readonly name: string
  readonly title: string
  /** Where the numbers are from. */
  readonly paper: string
  readonly takes: T
  readonly open: O
}

/**
 * @typeParam T - kinds of the inputs
 * @typeParam O - open choices
 * @typeParam R - named artefacts
 */
export interface Recipe<T extends Takes, O extends Opened, R extends Named> extends Header<T, O> {
  readonly "~keel/Recipe": true
  /** The inputs as the publication describes them. */
  readonly published: () => Given<T>
  /** The named artefacts. Throws `OpenChoices` where the compiler did not see that an input or a choice is missing. */
  readonly make: (given: Given<T>, open: Chosen<O>) => R
}

export type Any = Recipe<any, any, any>

/** Inputs or choices that a recipe needs and was not given. */
export class OpenChoices extends Schema.TaggedError<OpenChoices>()("OpenChoices", {
  recipe: Schema.String,
  /** Names of missing inputs, with their kinds and what the publication took. */
  inputs: Schema.Array(Schema.Struct({ name: Schema.String, kind: Schema.String, published: Schema.String })),
  choices: Schema.Array(Schema.Struct({ name: Schema.String, hint: Schema.String, standIn: Schema.String }))
}) {
  override get message() {
    const takes = this.inputs.map(({ kind, name, published }) => `  ${name}: ${kind}, in the publication ${published}`)
    const choices = this.choices.map(({ hint, name, standIn }) => `  ${name}: ${hint} (a stand-in is ${standIn})`)
    return [
      ...takes.length === 0 ? [] : [
        `${this.recipe} needs inputs of yours:`,
        ...takes,
        `Give each on the command line, e.g. --take ${
          this.inputs[0]!.name
        }=PATH, or by code. PATH is a model's folder or hf://OWNER/NAME, and of ` +
        `rows a file or hf://datasets/OWNER/NAME. A small copy needs none: keel run ${this.recipe} --shrink`
      ],
      ...choices.length === 0 ? [] : [
        `${this.recipe} leaves open what its publication does not report:`,
        ...choices,
        `Choose on the command line, e.g. --choose ${this.choices[0]!.name}=${this.choices[0]!.standIn}, or by code.`
      ]
    ].join("\n")
  }
}

/** An input as the publication describes it, in words. */
const inWords = ({ node: { params } }: Artifact.Any): string => {
  const { family, origin, path, shape } = params as {
    readonly family?: string
    readonly origin?: { readonly name?: string; readonly rows?: number }
    readonly path?: string
    readonly shape?: { readonly dim: number; readonly hub?: string; readonly layers: number; readonly name?: string }
  }
  if (origin !== undefined) {
    return `${origin.name ?? "given"}${
      origin.rows === undefined ? "" : `, ${origin.rows.toLocaleString("en-US")} rows`
    }`
  }
  if (shape === undefined) return path ?? "given"
  const of = `${shape.name ?? family}, a shape alone (${shape.layers} layers of ${shape.dim})`
  return shape.hub === undefined ? of : `${of}; its weights are hf://${shape.hub}`
}

const shown = (value: unknown): string =>
  typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3
    ? value.toExponential()
    : JSON.stringify(value) ?? String(value)

/** What a recipe leaves open, as text. */
export const openOf = ({ open }: { readonly open: Opened }): OpenChoices["choices"] =>
  Object.entries(open).map(([name, { hint, standIn }]) => ({ name, hint, standIn: shown(standIn) }))

/** The inputs of these names, as text. */
export const inputsOf = (
  { published, takes }: Pick<Any, "published" | "takes">,
  names: ReadonlyArray<string>
): OpenChoices["inputs"] => {
  const given = published() as Readonly<Record<string, Artifact.Any>>
  return names.map((name) => ({ name, kind: [takes[name]].flat()[0], published: inWords(given[name]!) }))
}

const missing = (
  recipe: Header<Takes, Opened> & Pick<Any, "published">,
  given: object,
  chosen: object
): OpenChoices | undefined => {
  const absent = (of: object, names: object) =>
    Object.keys(names).filter((name) => (of as Readonly<Record<string, unknown>>)[name] === undefined)
  const [inputs, choices] = [absent(given, recipe.takes), absent(chosen, recipe.open)]
  return inputs.length + choices.length === 0 ? undefined : new OpenChoices({
    recipe: recipe.name,
    inputs: inputsOf(recipe, inputs),
    choices: openOf(recipe).filter(({ name }) => choices.includes(name))
  })
}

/** A recipe; see the head of this file. */
export const make = <const T extends Takes, O extends Opened, R extends Named>(
  { make, ...recipe }: Header<T, O> & {
    readonly published: () => NoInfer<Given<T>>
    readonly make: (given: NoInfer<Given<T>>, open: NoInfer<Chosen<O>>) => R
  }
): Recipe<T, O, R> => ({
  ...recipe,
  "~keel/Recipe": true,
  make: (given, open) => {
    const lacking = missing(recipe, given ?? {}, open ?? {})
    if (lacking !== undefined) throw lacking
    return make(given, open)
  }
})

export const isRecipe = (value: unknown): value is Any =>
  typeof value === "object" && value !== null && "~keel/Recipe" in value

/** The stand-ins of all open choices. */
export const standIns = <O extends Opened>({ open }: { readonly open: O }): Chosen<O> =>
  Object.fromEntries(Object.entries(open).map(([name, { standIn }]) => [name, standIn])) as never

/** The artefacts as published, but for inputs in `given`, with stand-ins for open choices that are not among `chosen`. */
export const planned = <T extends Takes, O extends Opened, R extends Named>(
  recipe: Recipe<T, O, R>,
  chosen: Partial<Chosen<O>> = {},
  given: Partial<Given<T>> = {}
): R => recipe.make({ ...recipe.published(), ...given }, { ...standIns(recipe), ...chosen })
