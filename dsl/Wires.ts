/**
 * What an operation takes on each of its wires, once as a value (for JSON and `check`) and so also as types (for the
 * compiler). A wrong wire is one line of error at that wire, and the line says what to do: `Checked` turns a mistake into a
 * string-literal type that nothing can be assigned to.
 */
import type { Any, FamilyOf, Kind, KindOf } from "./Artifact.ts"

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

/** A wire that must be connected to data. */
export const data = <const K extends Kind, const N extends string>(kind: K, needs: N) =>
  ({ kinds: [kind], needs, model: false, optional: false }) as const

/** A wire that may be left out. */
export const optional = <W extends Wire>(wire: W): Omit<W, "optional"> & { readonly optional: true } => ({
  ...wire,
  optional: true
})

type Required<S extends Wires> = { [K in keyof S]: S[K]["optional"] extends true ? never : K }[keyof S] & string

type Missing<Op extends string, S extends Wires, W> = Exclude<Required<S>, keyof W> extends infer M extends string
  ? [M] extends [never] ? never : { [K in M]: `${Op}.${K} is missing: connect ${S[K]["needs"]}` }[M]
  : never

type CheckWire<Op extends string, K extends string, S extends Wire, F extends string, A> = KindOf<A> extends
  S["kinds"][number] ? S["model"] extends true ? [FamilyOf<A>] extends [F] ? unknown
    : `${Op}.${K} is of family '${FamilyOf<A>}' but ${Op} works on '${F}': they must share a tokenizer`
  : unknown
  : `${Op}.${K} needs ${S["needs"]}, not a ${KindOf<A>}`

/**
 * `unknown` where W is a right wiring of S in the family F, else a literal that says what is wrong: about a missing wire for the
 * whole argument, about a wrong one at its property.
 */
export type CheckedIn<Op extends string, S extends Wires, F extends string, W> = [Missing<Op, S, W>] extends [never] ? {
    readonly [K in keyof W]: K extends keyof S & string ? CheckWire<Op, K, S[K], F, W[K]>
      : `${Op} has no wire '${K & string}'`
  }
  : Missing<Op, S, W>

/** The same, where `Main` names the wire whose family is the operation's. */
export type Checked<Op extends string, S extends Wires, Main extends keyof S, W> = CheckedIn<
  Op,
  S,
  FamilyOf<W[Main & keyof W]>,
  W
>

/** Any set of artefacts by wire name. */
export type Connected = Readonly<Record<string, Any>>

/** The same check at run time, for descriptions that the compiler has not seen. Returns one sentence per mistake. */
export const mistakes = (op: string, spec: Wires, main: string, wires: Connected): ReadonlyArray<string> => {
  const found: Array<string> = []
  const family = wires[main]?.node.family
  for (const [name, wire] of Object.entries(spec)) {
    if (!wire.optional && wires[name] === undefined) found.push(`${op}.${name} is missing: connect ${wire.needs}`)
  }
  for (const [name, artifact] of Object.entries(wires)) {
    const wire = spec[name]
    const { family: own, kind } = artifact.node
    if (wire === undefined) found.push(`${op} has no wire '${name}'`)
    else if (!wire.kinds.includes(kind)) found.push(`${op}.${name} needs ${wire.needs}, not a ${kind}`)
    else if (wire.model && family !== undefined && own !== family) {
      found.push(`${op}.${name} is of family '${own}' but ${op} works on '${family}': they must share a tokenizer`)
    }
  }
  return found
}
