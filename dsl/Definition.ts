/**
 * Everything that Keel knows of an operation, once: its schema, its wires, its rules, the models that it opens, the rows that it reads and
 * makes. Constructors build nodes by it, `Pipeline.fromJson` reads them back, `check` judges them. The compiler asks for each part.
 *
 * A constructor never throws: parameters keep whatever was written, defaults filled in, and `check` reports every mistake of
 * the whole pipeline at once.
 */
import * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import { mistakes as spendingMistakes } from "./KlSpending.ts"
import { mistakes as trainingMistakes, training } from "./Training.ts"
import type { Connected, Given, Wires } from "./Wires.ts"

/** A `Schema` class with a `_tag`, as each operation's parameters are. */
export interface Params {
  new(input: any, options?: { readonly disableChecks?: boolean }): { readonly _tag: string }
  readonly fields: Readonly<Record<string, unknown>>
}

/** Parameters as they were written: `check` has not looked at them yet. */
type Written = Readonly<Record<string, any>>

/** How many at most: as on one of the wires, or by the parameters and how many are `on` each of the wires. */
type AtMost<P, S extends Wires> = Name<S> | ((params: P, on: Readonly<Record<Name<S>, number>>) => number)

type Name<S extends Wires> = keyof S & string

/** Names of the wires that a model of the operation's family is on. */
type Models<S extends Wires> = { [K in Name<S>]: S[K]["model"] extends true ? K : never }[Name<S>]

/** The models that are open together in a step, by their wires: trained models, and models that are only read. */
interface Opens<W extends string> {
  readonly trained?: ReadonlyArray<W>
  readonly frozen?: ReadonlyArray<W>
}

/** The parts of a definition; `Parts` adds which of them an operation must have. */
interface Facts<P, S extends Wires> {
  /** The wires of one use, where they depend on it. */
  readonly wiresOf?: (connected: Connected, params: Written) => Wires
  /** The wire whose family the operation works in; `""` when it has none. */
  readonly main?: Name<S> | ""
  /** The wire that the weights of the result come from: the way of a model back to its initial model. */
  readonly parent?: Name<S>
  /** All such wires, where the weights come from several models; some may be open. */
  readonly parents?: (connected: Connected) => ReadonlyArray<string>
  /** Moves a policy by its `allowance`, so KL has to be capped where it is used. */
  readonly spendsKl?: true
  /** Mistakes in parameters that are valid one by one, beside the artefacts on the wires: one sentence each, false where there is none. */
  readonly mistakes?: (params: P, wires: Connected) => ReadonlyArray<string | false>
  readonly opens?: Opens<string>
  /** The wire whose rows a batch is made of in each epoch, and how many rows are made of each of them, where that is not 1. */
  readonly passesOver?: Name<S> | ((params: P, wires: Connected) => readonly [wire: Name<S>, times: number])
  /** Wires with rows that only judge models, each with the wires of these models. Default: the wire `held`. */
  readonly judges?: { readonly [K in Name<S>]?: ReadonlyArray<Name<S> | "models"> }
  /** Of data: rows at most. */
  readonly rows?: AtMost<P, S>
  /** Of completions: the most per prompt. */
  readonly candidates?: AtMost<P, S>
  /** How many `completions` of one prompt it needs, and for which purpose. */
  readonly compares?: (params: P) => readonly [what: string, completions: number]
}

/**
 * The parts that an operation with the parameters `P` and the wires `S` must have. `makes` is the kind of its result, whose family is
 * that of the model on `main` or the parameter `family`; a function where the kind depends on the use.
 */
type Parts<P, S extends Wires> =
  & Facts<P, S>
  & ([Models<S>] extends [never] ? unknown : { readonly opens: Opens<Models<S>> })
  & (P extends { readonly epochs: number } ? { readonly passesOver: unknown } : unknown)
  & (
    | {
      readonly makes:
        | Exclude<Artifact.Kind, Artifact.Rows>
        | ((params: Written, wires: Connected) => { readonly kind: Artifact.Kind; readonly family: string })
    }
    | { readonly makes: Artifact.Rows; readonly rows: unknown }
  )

/** An operation with the parameters `P` and the wires `S`. */
export type Definition<P = any, S extends Wires = Wires> = Parts<P, S> & {
  readonly op: string
  readonly schema: Params & Schema.Codec<any, any>
  readonly wires: S
  readonly main: Name<S> | ""
}

/**
 * The definition of the operation with these parameters and wires; its name is the tag of the parameters. The compiler asks for every
 * part that such an operation must have, and refuses one that there is not.
 */
export const define = <
  C extends Params & Schema.Codec<any, any> & { readonly identifier: string },
  const S extends Wires,
  const D extends Parts<InstanceType<C>, S>
>(schema: C, wires: S, parts: D & { readonly [K in Exclude<keyof D, keyof Facts<any, S> | "makes">]: never }) =>
  ({ op: schema.identifier, main: "", schema, wires, ...parts }) as unknown as Omit<D, "main"> & {
    readonly op: InstanceType<C> extends { readonly _tag: infer Op } ? Op : never
    readonly schema: C
    readonly wires: S
    readonly main: D extends { readonly main: infer Main extends string } ? Main : ""
  }

/** The parameters of an operation, as its constructor takes them. */
export type Parameters<D> = D extends { readonly schema: { readonly "~type.make.in": infer P } } ? P : never

/** As text: parameters may be of any type before `check` has looked at them. */
const named = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value) ?? ""

/** Kind and family of an operation's result. */
export const made = (
  { main, makes }: Definition,
  params: Written,
  wires: Connected
): { readonly kind: Artifact.Kind; readonly family: string } => {
  const { family, kind } = typeof makes === "function"
    ? makes(params, wires)
    : {
      kind: makes,
      family: Artifact.modelKinds.includes(makes) ? wires[main]?.node.family ?? params["family"] ?? "" : ""
    }
  return { kind: named(kind) as Artifact.Kind, family: named(family) }
}

/** Groups of fields that operations share, with their rules: these hold for every operation that has all fields of a group. */
const groups = [
  { fields: ["allowance"], mistakes: spendingMistakes },
  { fields: Object.keys(training), mistakes: trainingMistakes }
]

const has = ({ schema }: Definition, fields: ReadonlyArray<string>): boolean =>
  fields.every((name) => Object.hasOwn(schema.fields, name))

/** Whether an operation trains by the fields of `training`, by their names. */
export const trains = (definition: Definition): boolean => has(definition, Object.keys(training))

/** The mistakes in one use of an operation whose parameters are valid one by one, by the rules of its groups of fields and its own. */
export const mistakes = (definition: Definition, params: any, wires: Connected): ReadonlyArray<string> =>
  [
    ...groups.flatMap(({ fields, mistakes }) => has(definition, fields) ? mistakes(params, wires) : []),
    ...definition.mistakes?.(params, wires) ?? []
  ].filter((mistake) => mistake !== false)

/** Parameters as JSON without the tag: defaults filled in, unchecked, unknown keys kept for `check` to report. */
export const encode = (
  schema: Params,
  params: Readonly<Record<string, unknown>>
): Readonly<Record<string, Schema.Json>> => {
  const { _tag, ...untagged } = filled(params, defaulted(schema, params)) as Record<string, unknown>
  return JSON.parse(JSON.stringify(untagged)) as Record<string, Schema.Json>
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The written value merged with the schema's result: a schema drops unknown keys, in nested objects too. */
const filled = (written: unknown, made: unknown): unknown =>
  isRecord(written) && isRecord(made)
    ? {
      ...written,
      ...Object.fromEntries(Object.entries(made).map(([key, value]) => [key, filled(written[key], value)]))
    }
    : made

/** Parameters of a wrong type stay as they were written, for `check` to report; the others have their defaults all the same. */
const defaulted = (schema: Params, params: Readonly<Record<string, unknown>>): object => {
  try {
    return new schema(params, { disableChecks: true })
  } catch {
    return Object.assign(
      {},
      ...Object.entries(schema.fields).map(([name, field]) => {
        const one = Schema.Struct({ [name]: field as Schema.Codec<any> & Schema.Top })
        try {
          return one.make(Object.hasOwn(params, name) ? { [name]: params[name] } : {}, { disableChecks: true })
        } catch {
          return {}
        }
      })
    )
  }
}

/**
 * The node of one use of an operation, of the type `A` that its constructor promises. Wires that were left out are
 * absent; a value that is no artefact stays on its wire, for `check` to report.
 */
export const build = <A = Artifact.Any>(
  definition: Definition,
  wires: Given,
  params: Readonly<Record<string, unknown>>
): A => {
  const connected: Connected = Object.fromEntries(
    Object.entries(wires).flatMap(([wire, of]) =>
      of === undefined ? [] : [[wire, Artifact.isArtifact(of) ? of : Artifact.stray(of)]]
    )
  )
  const encoded = encode(definition.schema, params)
  const { family, kind } = made(definition, encoded, connected)
  const written = Object.keys(encoded).filter((name) => params[name] !== undefined)
  return Artifact.make({ op: definition.op, kind, family, params: encoded, wires: connected, written, definition }) as A
}
