/**
 * What every operation says of itself, once: its schema, its wires, and what it makes. The constructors use it to build
 * nodes, `Pipeline.fromJson` to read them back, `check` to judge them.
 *
 * A constructor never throws: parameters keep whatever was written, defaults filled in, and `check` reports every mistake of
 * the whole pipeline at once.
 */
import * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import type { Connected, Given, Wires } from "./Wires.ts"

/** A `Schema` class with a `_tag`, as each operation's parameters are. */
export interface Params {
  new(input: any, options?: { readonly disableChecks?: boolean }): { readonly _tag: string }
  readonly fields: Readonly<Record<string, unknown>>
}

export interface Definition<Op extends string = string, S extends Wires = Wires> {
  readonly op: Op
  readonly schema: Params & Schema.Codec<any, any>
  readonly wires: S
  /** The wires of one use, where they depend on it. */
  readonly wiresOf?: (connected: Connected, params: Readonly<Record<string, any>>) => Wires
  /** The wire whose family the operation works in; `""` when it has none. */
  readonly main: string
  /** The wire that the weights of the result come from: the way of a model back to its initial model. */
  readonly parent?: string
  /** All such wires, where the weights come from several models; some may be open. */
  readonly parents?: (connected: Connected) => ReadonlyArray<string>
  /** Moves a policy by its `allowance`, so KL has to be capped where it is used. */
  readonly spendsKl?: true
  /** What can be wrong between valid parameters and what is connected, one sentence each. */
  readonly mistakes?: (params: Readonly<Record<string, any>>, wires: Connected) => ReadonlyArray<string>
  /** Kind and family of the result. */
  readonly makes: (
    params: Readonly<Record<string, any>>,
    wires: Connected
  ) => { readonly kind: Artifact.Kind; readonly family: string }
}

/** Parameters as JSON without the tag: defaults filled in, nothing checked, unknown keys kept for `check` to report. */
const encode = (schema: Params, params: Readonly<Record<string, unknown>>): Readonly<Record<string, Schema.Json>> => {
  const { _tag, ...untagged } = filled(params, defaulted(schema, params)) as Record<string, unknown>
  return JSON.parse(JSON.stringify(untagged)) as Record<string, Schema.Json>
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What was written with what a schema made of it: a schema drops the keys that it does not know, in nested objects too. */
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
 * The node of one use of an operation, of the type `A` that its constructor promises. Wires that were left out are absent; what is on
 * one and is no artefact stays there, for `check` to report.
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
  const { family, kind } = definition.makes(encoded, connected)
  return Artifact.make({ op: definition.op, kind, family, params: encoded, wires: connected, definition }) as A
}
