/**
 * The inputs of an operation on each of its wires, once as a value (for JSON and `check`) and so also as types (for the
 * compiler). A wrong wire is one line of error at that wire, which begins with a remedy: `Checked` turns a mistake into a type
 * that nothing has.
 */
import type { Any, Artifact, FamilyOf, Kind, KindOf } from "./Artifact.ts"

export interface Wire {
  readonly kinds: ReadonlyArray<Kind>
  /** Shares the tokenizer of the family that the operation works in. */
  readonly model: boolean
  readonly optional: boolean
  /** Completes "Ppo.reward needs …". */
  readonly needs: string
}

export type Wires = Readonly<Record<string, Wire>>

/** A wire that must be connected to a model of the operation's family. */
export const model = <const K extends ReadonlyArray<Kind>, const N extends string>(kinds: K, needs: N) =>
  ({ kinds, needs, model: true, optional: false }) as const

/** A wire that must be connected to a model of any family, which reads text with a tokenizer of its own. */
export const reader = <const K extends ReadonlyArray<Kind>, const N extends string>(kinds: K, needs: N) =>
  ({ kinds, needs, model: false, optional: false }) as const

/** A wire that must be connected to data. */
export const data = <const K extends Kind, const N extends string>(kind: K, needs: N) =>
  ({ kinds: [kind], needs, model: false, optional: false }) as const

/** A wire that may be left out. */
export const optional = <W extends Wire>(wire: W): Omit<W, "optional"> & { readonly optional: true } => ({
  ...wire,
  optional: true
})

type Required<S extends Wires> = { [K in keyof S]: S[K]["optional"] extends true ? never : K }[keyof S] & string

/** Any artefact of the family F. Not by `FamilyOf`: in a function over all families the compiler would not decide. */
export type Of<F extends string> = Artifact<any, F, any, any, any, any, any>

/** A type that nothing has, whose error begins with the advice. */
export type Mistake<Advice extends string> = { readonly [A in Advice]: never }

/** In words, of an artefact that does not fit or of a value that is none: its kind, or the name that it gives itself. */
export type Called<A> = [A] extends [Of<any>] ? KindOf<A>
  : unknown extends A ? "value that is no artefact"
  : undefined extends A ? "value that may be undefined"
  : A extends { readonly _tag: infer Tag extends string } ? Tag
  : "value that is no artefact"

/** `unknown` if A is right for the wire S of an operation in the family F, else the mistake. */
export type CheckedWire<Op extends string, K extends string, S extends Wire, F extends string, A> = Called<A> extends
  S["kinds"][number] ? S["model"] extends true ? [A] extends [Of<F>] ? unknown
      // A main wire without a family is wrong itself, and says so at its own place.
    : [Exclude<F, "">] extends [never] ? unknown
    : Mistake<`${Op}.${K} is of family '${FamilyOf<A>}' but ${Op} works on '${F}': they must share a tokenizer`>
  : unknown
  : Mistake<`${Op}.${K} needs ${S["needs"]}, not a ${Called<A>}`>

/**
 * `Checks` of the connected wires `W`, which the compiler infers from the other case. If it does not know their names
 * and artefacts, `check` finds the mistakes later.
 */
export type Judged<W, Checks> = [string, unknown] extends [keyof W, W[keyof W]] ? W : Checks

/**
 * The required wires for an operation with the wires S in the family F: at each wrong or missing wire of W there is a
 * literal that says so. The last part has an editor offer all wires by name.
 */
export type CheckedIn<Op extends string, S extends Wires, F extends string, W> = Judged<
  W,
  & {
    readonly [K in keyof W]: K extends keyof S & string ?
      CheckedWire<Op, K, S[K], F, S[K]["optional"] extends true ? Exclude<W[K], undefined> : W[K]>
      : Mistake<`${Op} has no wire '${K & string}'`>
  }
  & { readonly [K in Exclude<Required<S>, keyof W>]: `${Op}.${K} is missing: connect ${S[K]["needs"]}` }
  & { readonly [K in keyof S]?: unknown }
>

/** The same, where `Main` names the wire whose family is the operation's. */
export type Checked<Op extends string, S extends Wires, Main extends keyof S, W> = CheckedIn<
  Op,
  S,
  FamilyOf<W[Main & keyof W]>,
  W
>

/** Any set of artefacts by wire name. */
export type Connected = Readonly<Record<string, Any>>

/** Whatever was written on the wires: `Checked` judges each of them, so that one that is no artefact spoils no other. */
export type Given = Readonly<Record<string, unknown>>

/** Artefacts by names that the user gave, as wires `group.NAME`. */
export const grouped = (group: string, of: {}): Given =>
  Object.fromEntries(Object.entries(of).map(([name, one]) => [`${group}.${name}`, one]))

/** The artefacts on the wires `group.NAME`, by `NAME`. */
export const groupOf = (group: string, connected: Connected): Connected =>
  Object.fromEntries(
    Object.entries(connected).flatMap(([wire, of]) =>
      wire.startsWith(`${group}.`) ? [[wire.slice(group.length + 1), of]] : []
    )
  )

/** The wires `group.NAME` of one use, each of them `wire`. */
export const wiresOf = <W extends Wire>(group: string, connected: Connected, wire: W): Readonly<Record<string, W>> =>
  Object.fromEntries(Object.keys(groupOf(group, connected)).map((name) => [`${group}.${name}`, wire]))

/** The same check at run time, for descriptions that the compiler has not seen. Returns one sentence per mistake. */
export const mistakes = (op: string, spec: Wires, main: string, wires: Connected): ReadonlyArray<string> => {
  const found: Array<string> = []
  const family = wires[main]?.node.family || undefined
  for (const [name, wire] of Object.entries(spec)) {
    if (!wire.optional && wires[name] === undefined) found.push(`${op}.${name} is missing: connect ${wire.needs}`)
  }
  for (const [name, artifact] of Object.entries(wires)) {
    const wire = spec[name]
    const { family: own, kind } = artifact.node
    if (wire === undefined) found.push(`${op} has no wire '${name}'`)
    else if (!wire.kinds.includes(kind)) found.push(`${op}.${name} needs ${wire.needs}, not a ${kind}`)
    else if (wire.model && family !== undefined && own !== "" && own !== family) {
      found.push(`${op}.${name} is of family '${own}' but ${op} works on '${family}': they must share a tokenizer`)
    }
  }
  return found
}
