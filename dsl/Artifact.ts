/**
 * A described artefact: a checkpoint, a data set or a report that some stage makes. It is pure data, a node of a
 * content-addressed expression graph: the operation that makes it, and the artefacts that the operation needs. Building
 * a node has no effect; `check`, `simulate` and `run` give it meaning.
 *
 * Its type carries what can go wrong: the kind, the model family (whose tokenizer it speaks), the inputs still open,
 * the uncapped budgets, the KL allotted along its weight lineage, the errors that making it can end with, and its needs
 * from outside Keel.
 */
import * as Pipeable from "effect/Pipeable"
import type * as Schema from "effect/Schema"
import type { Dimension } from "./Budget.ts"
import { canonical, settled } from "./Canonical.ts"
import { sha256 } from "./Digest.ts"

export const TypeId = "~keel/Artifact"

/** Kinds that belong to a family and share its tokenizer. A reward may be of none, and holds no weights itself. */
const models = ["BaseModel", "Policy", "RewardModel", "ValueModel", "Reward"] as const
export const modelKinds: ReadonlyArray<Kind> = models

/** Kinds of data, each of which a `Source` can be. */
export const rowKinds = [
  "Text",
  "Prompts",
  "Demonstrations",
  "Preferences",
  "Rankings",
  "UnpairedPreferences",
  "Stepwise",
  "Completions",
  "ScoredCompletions"
] as const

export const kinds = [...models, ...rowKinds, "Evaluation", "Outputs"] as const
export type Kind = typeof kinds[number]

export type Model = typeof models[number]
export type Rows = typeof rowKinds[number]

/** The origin of an artefact: the operation, its parameters as JSON, and the artefacts on its wires. */
export interface Node {
  readonly op: string
  readonly kind: Kind
  /** Model family of a model, `""` of anything else. */
  readonly family: string
  readonly params: Schema.Json
  readonly wires: Readonly<Record<string, Any>>
  /** Names of the parameters that the description wrote: the others are defaults. No part of the identity; unknown in old JSON. */
  readonly written?: ReadonlyArray<string>
  /** The operation's `Definition`. No part of the identity or of the JSON: there the operation stands by its name. */
  readonly definition?: { readonly op: string }
}

/**
 * @typeParam K - kind
 * @typeParam F - model family
 * @typeParam I - inputs still open, as `name: Kind`
 * @typeParam A - KL allotted along the weight lineage, milli-nats per sequence (a union when there are several paths)
 * @typeParam B - uncapped budgets
 * @typeParam E - errors that making it can end with
 * @typeParam X - implementations that an interpreter needs, as `stage NAME` or `reward NAME`: see `dsl/Extension.ts`
 */
export interface Artifact<
  out K extends Kind,
  out F extends string = string,
  out I extends string = never,
  out A extends number = 0,
  out B extends Dimension = never,
  out E = never,
  out X extends string = never
> extends Pipeable.Pipeable {
  readonly [TypeId]: {
    readonly kind: K
    readonly family: F
    readonly open: I
    readonly allotted: A
    readonly uncapped: B
    readonly error: E
    readonly outside: X
  }
  /** SHA-256 of the canonical description, 64 hexadecimal digits. */
  readonly id: string
  readonly node: Node
}

export type Any = Artifact<Kind, string, string, number, Dimension, unknown, string>

/**
 * Any of these artefacts that can run, whatever it spends: the type of functions over artefacts, as recipes have them. No input is open and
 * KL is measured or capped.
 */
export type Of<K extends Kind, F extends string = "", E = unknown> = Artifact<
  K,
  F,
  never,
  number,
  Exclude<Dimension, "kl">,
  E
>

export type KindOf<A> = A extends Artifact<infer K, any, any, any, any, any, any> ? K : never
export type FamilyOf<A> = A extends Artifact<any, infer F, any, any, any, any, any> ? F : never
export type OpenOf<A> = A extends Artifact<any, any, infer I, any, any, any, any> ? I : never
export type UncappedOf<A> = A extends Artifact<any, any, any, any, infer B, any, any> ? B : never
export type AllottedOf<A> = A extends Artifact<any, any, any, infer N, any, any, any> ? N : never
export type ErrorOf<A> = A extends Artifact<any, any, any, any, any, infer E, any> ? E : never
export type OutsideOf<A> = A extends Artifact<any, any, any, any, any, any, infer X> ? X : never

/** On the artefact itself: an editor would show an alias by its name, with all wires and their types. */
interface Made<W, K extends Kind, F extends string, B extends Dimension, A extends number, E, X extends string> {
  readonly artifact: Artifact<
    K,
    F,
    OpenOf<W[keyof W]>,
    A,
    UncappedOf<W[keyof W]> | B,
    ErrorOf<W[keyof W]> | E,
    OutsideOf<W[keyof W]> | X
  >
}

/**
 * The result of an operation on the artefacts `W` on its wires: it inherits their open inputs, uncapped budgets, errors
 * and needs from outside; `B`, `E` and `X` are added by the operation.
 */
export type Output<
  W,
  K extends Kind,
  F extends string,
  B extends Dimension = never,
  A extends number = 0,
  E = never,
  X extends string = never
> = Made<W, K, F, B, A, E, X>["artifact"]

/** The identity of a node: only the operation, its parameters, and the identities of its inputs. */
export const idOf = (op: string, params: Schema.Json, inputs: Readonly<Record<string, string>>): string =>
  sha256(canonical({ op, params, inputs }))

/**
 * Builds the value of any artefact; the constructors of `dsl/stages` give it its type. Parameters and wires are put into
 * canonical order: the order in which they were written would otherwise decide the order of `lineage`, and be lost in JSON.
 */
export const make = (node: Node): Any => {
  const wires = Object.fromEntries(Object.keys(node.wires).sort().map((wire) => [wire, node.wires[wire]!]))
  const inputs = Object.fromEntries(Object.entries(wires).map(([wire, of]) => [wire, of.id]))
  return Object.freeze(Object.assign(Object.create(Pipeable.Prototype), {
    [TypeId]: TypeId,
    id: idOf(node.op, node.params, inputs),
    node: Object.freeze({
      ...node,
      ...(node.written && { written: node.written.toSorted() }),
      params: settled(node.params),
      wires: Object.freeze(wires)
    })
  }))
}

export const strayOp = "Stray"

/** Stands in a description for a value on a wire that is no artefact, for `check` to report. Its kind is the name that it gives itself. */
export const stray = (value: unknown): Any => {
  const { _tag } = Object(value) as { readonly _tag?: unknown }
  const kind = (typeof _tag === "string" ? _tag : "value that is no artefact") as Kind
  return make({ op: strayOp, kind, family: "", params: {}, wires: {} })
}

export const isArtifact = (value: unknown): value is Any =>
  typeof value === "object" && value !== null && TypeId in value

/** Every artefact that `roots` depend on, itself included, each once, after everything it needs. */
export const lineage = (...roots: ReadonlyArray<Any>): ReadonlyArray<Any> => {
  const done = new Map<string, Any>()
  // An explicit stack: a chain of ten thousand stages must not overflow the call stack.
  const stack: Array<{ readonly of: Any; readonly expanded: boolean }> = roots.map((of) => ({ of, expanded: false }))
    .reverse()
  while (stack.length > 0) {
    const { expanded, of } = stack.pop()!
    if (done.has(of.id)) continue
    if (expanded) {
      done.set(of.id, of)
      continue
    }
    stack.push({ of, expanded: true })
    for (const input of Object.values(of.node.wires).reverse()) {
      if (!done.has(input.id)) stack.push({ of: input, expanded: false })
    }
  }
  return [...done.values()]
}

/**
 * A function of artefacts that follows from its values for their inputs, computed once for each. Without recursion, as `lineage`. `inputs`
 * are the artefacts that `of` asks for.
 */
export const derived = <A>(
  of: (artifact: Any, value: (input: Any) => A) => A,
  inputs: (artifact: Any) => ReadonlyArray<Any> = ({ node }) => Object.values(node.wires)
): (artifact: Any) => A => {
  const known = new WeakMap<Any, { readonly value: A }>()
  const value = (artifact: Any): A => known.get(artifact)!.value
  return (root) => {
    const stack = known.has(root) ? [] : [root]
    while (stack.length > 0) {
      const at = stack.at(-1)!
      const missing = known.has(at) ? [] : inputs(at).filter((input) => !known.has(input))
      for (const input of missing) stack.push(input)
      if (missing.length > 0) continue
      stack.pop()
      if (!known.has(at)) known.set(at, { value: of(at, value) })
    }
    return value(root)
  }
}
