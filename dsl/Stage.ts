/**
 * The closed set of operations. Every interpreter fails to compile until it handles a new one.
 */
import * as Schema from "effect/Schema"
import { type Any, derived, type Kind, kinds } from "./Artifact.ts"
import { Caps } from "./Budget.ts"
import { type KlAmount, measured } from "./Kl.ts"
import * as CheckpointFile from "./Checkpoint.ts"
import { define, type Definition } from "./Definition.ts"
import { measuredBy } from "./KlSpending.ts"
import * as SourceFile from "./Source.ts"
import * as stages from "./stages/index.ts"
import * as Wires from "./Wires.ts"

/** An artefact that is not described here but connected later with `Pipeline.connect`. */
export class Input extends Schema.TaggedClass<Input>()("Input", {
  name: Schema.NonEmptyString,
  kind: Schema.Literals(kinds),
  /** Family of a model, `""` of data. */
  family: Schema.String
}) {}

/**
 * Caps on everything between its wires `from` and `of`, or an observation of its KL; KL of stages without prompts of their own is measured
 * on the wire `held`.
 */
export class Cap extends Schema.TaggedClass<Cap>()("Cap", { ...Caps.fields, ...measuredBy }) {}

const input = define(Input, {}, {
  mistakes: ({ kind, name }) => [`the input ${name}: ${kind} is open: connect it with Pipeline.connect`],
  makes: (params) => ({ kind: params["kind"] as Kind, family: String(params["family"]) })
})

/** Mistakes in a cap of which the measured distance, the reverse KL from the initial model, is another quantity. */
const unheld = (name: string, { against, direction, estimator }: typeof KlAmount.Type): ReadonlyArray<string> => [
  ...(direction === "reverse" ? [] : [`${name} is of the forward KL, and the reverse KL is measured: cap that`]),
  ...(estimator === "k1"
    ? []
    : [`${name} is of the estimator ${estimator}; what is measured has the mean of k1: leave estimator out`]),
  ...(against === "initial"
    ? []
    : [
      `${name} is against "${against}", and a cap is held against its initial model: leave against out, and connect from`
    ])
]

const cap = define(Cap, {
  of: { kinds, model: false, optional: false, needs: "the artefact to cap" },
  from: Wires.optional(
    Wires.model(["BaseModel", "Policy"], "the initial model that KL is measured from, e.g. from: sft")
  ),
  held: Wires.optional(Wires.data("Prompts", "held-out instructions to measure KL on, e.g. Source.prompts(…)"))
}, {
  main: "of",
  parent: "of",
  opens: {},
  judges: { held: [] },
  mistakes: ({ kl: capped, klMax, klP95, whenSpent, ...params }, { from, held }) => {
    const kl = capped === measured ? undefined : capped
    return [
      ...Object.entries({ kl, klP95, klMax }).flatMap(([name, given]) =>
        given === undefined ? [] : unheld(name, given)
      ),
      ...Object.keys(measuredBy).map((name) =>
        held === undefined && name in params &&
        `${name} is of the measurement on held prompts: connect held, or leave it out`
      ),
      held !== undefined && (capped === undefined
        ? "held are prompts to measure KL on, and KL is not capped: write kl, or leave held out"
        : params.maxNewTokens === undefined &&
          "maxNewTokens is missing: KL is measured on completions of held of at most so many tokens"),
      ...Object.entries({ klP95, klMax, whenSpent }).map(([name, given]) =>
        given !== undefined && kl === undefined &&
        `${name} stands beside kl, the cap on the mean over prompts: write both`
      ),
      ...Object.entries({ klP95, klMax }).map(([name, given]) =>
        given === undefined
          ? false
          : given.per !== "sequence"
          ? `${name} must be per sequence: convert it with Kl.overTokens(kl, length)`
          : kl !== undefined && given.mnats < kl.mnats &&
            `${name} ${given.mnats} is below kl ${kl.mnats}, and ${name.slice(2)} over prompts is above the mean`
      ),
      kl !== undefined && kl.per !== "sequence" &&
      "a KL cap must be per sequence: convert it with Kl.overTokens(kl, length)",
      capped !== undefined && from === undefined &&
      "kl needs `from`, the initial model that the distance is measured from, e.g. from: sft"
    ]
  },
  makes: (_, wires) => ({ kind: wires["of"]?.node.kind ?? "Policy", family: wires["of"]?.node.family ?? "" })
})

/** Several artefacts as one pipeline, by their names, which are no part of their identity. It has no result of its own. */
export class Outputs extends Schema.TaggedClass<Outputs>()("Outputs", {}) {}

const output = {
  kinds: kinds.filter((kind) => kind !== "Outputs"),
  model: false,
  optional: false,
  needs: "an artefact"
}

const outputs = define(Outputs, {}, {
  wiresOf: (connected) => Object.fromEntries(Object.keys(connected).map((name) => [name, output])),
  opens: {},
  mistakes: (_, connected) => [
    Object.keys(connected).length === 0 && "it has no outputs: name at least one",
    ...Object.keys(connected).map((name) =>
      !/^[A-Za-z][A-Za-z0-9_.-]*$/u.test(name) &&
      `${
        JSON.stringify(name)
      } is no name of an output: begin with a letter, and go on with letters, digits, ".", "_" and "-"`
    )
  ],
  makes: "Outputs"
})

type Stages = typeof stages

/** By the name of the operation. */
export const definitions = {
  Input: input,
  Cap: cap,
  Outputs: outputs,
  Source: SourceFile.definition,
  Checkpoint: CheckpointFile.definition,
  ...Object.fromEntries(Object.entries(stages).map(([op, { definition }]) => [op, definition])) as {
    readonly [Op in keyof Stages]: Stages[Op]["definition"]
  }
} satisfies Readonly<Record<string, Definition>>
type Definitions = typeof definitions

/** The name of an operation. */
export type Op = keyof Definitions

/** Operations that make a `K`, by their definitions; without operations whose result depends on their use. */
export type Making<K extends Kind> = { [O in Op]: Definitions[O]["makes"] extends K ? O : never }[Op]

/** Any operation, with its parameters. */
export type Stage = InstanceType<Definitions[Op]["schema"]>
export const Stage = Schema.Union(Object.values(definitions).map(({ schema }) => schema))
export type StageOf<O extends Op> = Extract<Stage, { readonly _tag: O }>

/** The case of an operation, one for each. */
export const match = <C extends { readonly [O in Op]: (stage: StageOf<O>) => unknown }>(
  stage: Stage,
  cases: C
): ReturnType<C[Op]> => (cases[stage._tag] as (stage: Stage) => never)(stage)

type Encoded = Definitions[Op]["schema"]["Encoded"]
type Field<E = Encoded> = E extends unknown ? Exclude<keyof E, "_tag"> : never
type Value<K, E = Encoded> = E extends unknown ? K extends keyof E ? E[K] : never : never

/** Every parameter of every operation by its name, as JSON. */
export type Fields = { readonly [K in Field]?: Value<K> }

/** The parameters of an artefact, by their names; they are valid if `check` found no mistake. */
export const fieldsOf = ({ node }: Any): Fields => node.params as Fields

export const isBuiltIn = (op: string): boolean => Object.hasOwn(definitions, op)

/** The definition of a node's operation: Keel's, or the one that came with it from outside; undefined when there is none. */
export const definitionOf = (
  { definition, op }: { readonly op: string; readonly definition?: { readonly op: string } | undefined }
): Definition | undefined => isBuiltIn(op) ? definitions[op as Op] : definition as Definition | undefined

/** The artefacts that the weights of an artefact come from; several for a merge. */
export const parentsOf = ({ node }: Any): ReadonlyArray<Any> => {
  const { wires } = node
  const definition = definitionOf(node)
  const names = definition?.parents?.(wires) ?? (definition?.parent === undefined ? [] : [definition.parent])
  return names.flatMap((wire) => wires[wire] ?? [])
}

const capped = ({ node: { op, wires } }: Any): ReadonlyArray<Any> => op === "Cap" ? [wires["of"] ?? []].flat() : []

/** The artefact below its caps, which do not change it. */
export const initialOf = derived<Any>((artifact, initial) => capped(artifact).map(initial)[0] ?? artifact, capped)

/** The names of a pipeline's outputs, none unless its root is `Outputs`. */
export const outputsOf = (root: Any): Readonly<Record<string, Any>> => {
  const { node } = initialOf(root)
  return node.op === "Outputs" ? node.wires : {}
}

/** The wires with rows that judge models, and the wires of these models. */
export const judgesOf = ({ node }: Any): Readonly<Record<string, ReadonlyArray<string> | undefined>> =>
  definitionOf(node)?.judges ?? { held: [] }
