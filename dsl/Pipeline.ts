/**
 * A pipeline is the artefact at its root. Here are the operators on whole pipelines: inputs and their connection, caps,
 * JSON out and in, and overrides. The interpreters in `src/interpreters` give pipelines their meaning.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import type { Dimension } from "./Budget.ts"
import { canonical, deepest, isDeep } from "./Canonical.ts"
import { build, type Definition, encode, made } from "./Definition.ts"
import type { Extension } from "./Extension.ts"
import { remake, rewrite } from "./Rewrite.ts"
import { meant } from "./Spelling.ts"
import { definitionOf, definitions, fieldsOf, isBuiltIn, type Stage } from "./Stage.ts"

// ── inputs ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An open artefact; `connect` closes it, and a pipeline runs only without open inputs. */
export const input = <const N extends string, K extends Artifact.Kind, const F extends string = "">(
  name: N,
  kind: K,
  family: F = "" as F
): Artifact.Artifact<K, F, `${N}: ${K}`> => build(definitions.Input, {}, { name, kind, family })

type NameOf<I> = I extends `${infer N}: ${string}` ? N : never

type KindNamed<I, N extends string> = I extends `${N}: ${infer K extends Artifact.Kind}` ? K : never

/** Connects open inputs by name. */
export const connect = <
  K extends Artifact.Kind,
  F extends string,
  I extends string,
  B extends Dimension,
  A extends number,
  E,
  X extends string,
  const C extends {
    readonly [N in NameOf<I>]?: Artifact.Artifact<KindNamed<I, N>, string, string, number, Dimension, unknown, string>
  }
>(
  self: Artifact.Artifact<K, F, I, A, B, E, X>,
  inputs: C
): Artifact.Artifact<
  K,
  F,
  Exclude<I, `${keyof C & string}: ${string}`> | Artifact.OpenOf<C[keyof C]>,
  A,
  B | Artifact.UncappedOf<C[keyof C]>,
  E | Artifact.ErrorOf<C[keyof C]>,
  X | Artifact.OutsideOf<C[keyof C]>
> =>
  rewrite(self, (artifact, wires) => {
    if (artifact.node.op !== "Input") return remake(artifact, artifact.node.params, wires)
    return (inputs as Readonly<Record<string, Artifact.Any>>)[fieldsOf(artifact).name ?? ""] ?? artifact
  }) as never

// ── outputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Several artefacts as one pipeline: every interpreter takes them together and calls them by these names. A name is no part of an
 * artefact's identity, so the results are those of each artefact alone.
 *
 * ```ts
 * import { Checkpoint, Pipeline, Sft, Source } from "../dsl/index.ts"
 * const base = Checkpoint.huggingFace("llama", "models/llama")
 * const demonstrations = Source.demonstrations(Source.file("d.jsonl"))
 * const [once, twice] = [1, 2].map((epochs) => Sft.make({ base, demonstrations }, { epochs, batchSize: 4, learningRate: 1e-5 }))
 * Object.keys(Pipeline.outputs({ once: once!, twice: twice! }).node.wires) // => ["once", "twice"]
 * ```
 */
export const outputs = <const W extends Readonly<Record<string, Artifact.Any>>>(
  named: W
): Artifact.Output<W, "Outputs", ""> => build(definitions.Outputs, named, {})

export { cap, type Limits, type Observation, observe } from "./Cap.ts"

// ── running ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The input of an interpreter: without open inputs, and with KL capped. A pipeline with uncapped KL or an open input is
 * a compile error that says so. Other open budgets stay visible in the type and are allowed.
 */
export type Runnable<P extends Artifact.Any> = [Artifact.OpenOf<P>] extends [never]
  ? "kl" extends Artifact.UncappedOf<P>
    ? "This pipeline spends KL and nobody capped it: wrap the policy in Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … }), or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"
  : unknown
  : `This pipeline still waits for the input ${Artifact.OpenOf<P>}: connect it with Pipeline.connect`

/** The identity function on pipelines that can run; the type error of one that cannot. */
export const runnable = <P extends Artifact.Any>(pipeline: P & Runnable<P>): P => pipeline

// ── rounds ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The type of the round before: the KL allotted so far is no longer a literal. */
type Previous<S extends Artifact.Any> = Artifact.Artifact<
  Artifact.KindOf<S> extends "BaseModel" | "Policy" ? "BaseModel" | "Policy" : Artifact.KindOf<S>,
  Artifact.FamilyOf<S>,
  never,
  number,
  never,
  never
>

type Round<S extends Artifact.Any> = Artifact.Artifact<
  Artifact.KindOf<Previous<S>>,
  Artifact.FamilyOf<S>,
  string,
  number,
  Dimension,
  unknown,
  string
>

type Rounds<S extends Artifact.Any, R extends Artifact.Any> = Artifact.Output<
  { readonly start: S; readonly made: R },
  Artifact.KindOf<R>,
  Artifact.FamilyOf<R>,
  never,
  Artifact.AllottedOf<R>
>

/**
 * Rounds, unrolled: `body(previous, round, earlier)` for each of `count` ≥ 1 rounds; round 1 has `start` as `previous`.
 * Returns the results of all rounds. Only the bodies add to the graph: a body that continues training from `previous`
 * makes a chain; a body that restarts from a base model with samples of `previous` (Llama 2 and 3.1) makes nodes with
 * the base's weights and the previous round's data. `earlier` is all rounds before, from `start` to `previous`.
 *
 * Branches need no operator: two stages on one variable are two branches, and a stage that takes both joins them.
 *
 * KL allotted: the body's own when it restarts (a literal stays one), `number` when it continues.
 */
export const rounds = <S extends Artifact.Any, R extends Round<S>>(
  start: S,
  count: number,
  body: (previous: Previous<S>, round: number, earlier: ReadonlyArray<Previous<S>>) => R
): ReadonlyArray<Rounds<S, R>> => {
  if (!(Number.isInteger(count) && count >= 1)) throw new RangeError(`rounds: 1 or more, not ${count}`)
  const made: Array<Artifact.Any> = [start]
  for (let round = 1; round <= count; round++) {
    made.push(body(made.at(-1) as Previous<S>, round, [...made] as Array<Previous<S>>))
  }
  return made.slice(1) as never
}

/** The result of the last round. */
export const repeat = <S extends Artifact.Any, R extends Round<S>>(
  start: S,
  count: number,
  body: (previous: Previous<S>, round: number, earlier: ReadonlyArray<Previous<S>>) => R
): Rounds<S, R> => rounds(start, count, body).at(-1)!

// ── JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const NodeJson = Schema.Struct({
  id: Schema.String,
  op: Schema.String,
  params: Schema.Json,
  written: Schema.optionalKey(Schema.Array(Schema.String)),
  inputs: Schema.Record(Schema.String, Schema.String)
})
const PipelineJson = Schema.Struct({ keel: Schema.Literal(1), root: Schema.String, nodes: Schema.Array(NodeJson) })

/** A description that cannot be read back. */
export class BadDescription extends Schema.TaggedError<BadDescription>()("BadDescription", {
  problems: Schema.Array(Schema.String),
  /** The file, where the text is from one. */
  path: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    // They quote the description, whose values may have any length.
    const shown = this.problems.slice(0, 100).map((problem) =>
      problem.length <= 1000 ? problem : `${problem.slice(0, 1000)}…`
    )
    const more = this.problems.length - shown.length
    const lines = more > 0 ? [...shown, `and ${more} more`] : shown
    const remedy = this.path === undefined
      ? ""
      : `\nWrite ${this.path} again from its pipeline: keel show FILE.ts --json > ${this.path}`
    return `This is not a Keel description:\n${lines.map((problem) => `  - ${problem}`).join("\n")}${remedy}`
  }
}

/** Canonical JSON: every node once, after its inputs. Equal descriptions are equal bytes. */
export const toJson = (root: Artifact.Any): string =>
  canonical({
    keel: 1,
    root: root.id,
    nodes: Artifact.lineage(root).map(({ id, node }) => ({
      id,
      op: node.op,
      params: node.params,
      ...(node.written && { written: node.written }),
      inputs: Object.fromEntries(Object.entries(node.wires).map(([wire, of]) => [wire, of.id]))
    }))
  })

const lines = (message: string): ReadonlyArray<string> =>
  message.split(/\n(?! )/).map((issue) => issue.replace(/\n\s*/g, " "))

const isRecord = (value: Schema.Json): boolean => typeof value === "object" && value !== null && !Array.isArray(value)

/** The parts of a schema that may describe the same value, by what Effect calls them. */
const within = (schema: object): ReadonlyArray<object> =>
  ["members", "schema", "from"].flatMap((part) => (schema as Readonly<Record<string, object | undefined>>)[part] ?? [])

/** The names of the fields at a place inside a schema, whichever member of a union it is. */
const fieldsAt = (schema: object, [key, ...keys]: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { fields = {} } = schema as { readonly fields?: Readonly<Record<string, object>> }
  const here = key === undefined ? Object.keys(fields) : fields[key] === undefined ? [] : fieldsAt(fields[key], keys)
  return [...here, ...within(schema).flatMap((part) => fieldsAt(part, key === undefined ? [] : [key, ...keys]))]
}

/** The mistake of an unknown key, with the nearest name of the fields that stand in its place. */
const spelled = (schema: object, mistake: string): string => {
  const [, at] = /^Expected no excess property at (.+)$/u.exec(mistake) ?? []
  if (at === undefined) return mistake
  const path = [...at.matchAll(/\["((?:[^"\\]|\\.)*)"\]/gu)].map(([, key]) => key!)
  return `${mistake}${meant(path.at(-1) ?? "", fieldsAt(schema, path.slice(0, -1))) || ": leave it out"}`
}

/** The typed parameters of a node, or the mistakes in them, one line each; unknown keys are among them. */
export const decode = (definition: Definition, params: Schema.Json): Result.Result<any, ReadonlyArray<string>> => {
  if (!isRecord(params)) return Result.fail(["its parameters are no object"])
  // Equal to the operation it would pass the schema below, and make a second id for the same description.
  if (Object.hasOwn(params as object, "_tag")) return Result.fail(["Unexpected key _tag: the operation stands in `op`"])
  return Result.mapError(
    Schema.decodeUnknownResult(definition.schema, { errors: "all", onExcessProperty: "error" })({
      _tag: definition.op,
      ...(params as object)
    }),
    ({ message }) => lines(message).map((mistake) => spelled(definition.schema, mistake))
  )
}

/**
 * The typed parameters of a node, of an operation from outside Keel as an `Extension`; throws when `check` would have complained.
 */
export const stageOf = ({ node }: Artifact.Any): Stage | Extension => {
  const definition = definitionOf(node)
  if (definition === undefined) throw new Error(`no such operation: ${node.op}`)
  // By its own schema, not by the union of all operations, which would try one after the other.
  const params = Schema.decodeUnknownSync(definition.schema as Schema.Codec<any, unknown>)({
    _tag: node.op,
    ...(node.params as object)
  })
  return isBuiltIn(node.op) ? params as Stage : { _tag: "Extension", definition, params }
}

/**
 * Reads a description back, refusing unknown keys, unknown operations, ids that do not match and dangling inputs. Operations
 * from outside Keel are known by their definitions in `extensions`. A parameter that an older description lacks has its default; so its
 * ids are those of today.
 */
export const fromJson = (
  text: string,
  extensions: ReadonlyArray<Definition> = []
): Result.Result<Artifact.Any, BadDescription> => {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    return Result.fail(
      new BadDescription({ problems: [`not JSON: ${error instanceof Error ? error.message : String(error)}`] })
    )
  }
  if (isDeep(parsed)) {
    return Result.fail(new BadDescription({ problems: [`it is nested more than ${deepest} levels deep`] }))
  }
  const parts = Schema.decodeUnknownResult(PipelineJson, { errors: "all", onExcessProperty: "error" })(parsed)
  if (Result.isFailure(parts)) return Result.fail(new BadDescription({ problems: lines(parts.failure.message) }))
  const problems: Array<string> = []
  const [written, built] = [new Map<string, Artifact.Any>(), new Map<string, Artifact.Any>()]
  for (const { id, inputs, op, params, ...rest } of parts.success.nodes) {
    const where = `node ${op} ${id.slice(0, 8)}`
    const definition = definitionOf({ op, definition: extensions.find((one) => one.op === op) })
    if (definition === undefined) {
      const names = [...Object.keys(definitions), ...extensions.map(({ op }) => op)]
      problems.push(`${where}: no such operation; there are ${names.join(", ")}${meant(op, names)}`)
      continue
    }
    // A tag, which `decode` refuses, would be gone.
    const complete = !isRecord(params) || Object.hasOwn(params as object, "_tag")
    const full = complete ? params : encode(definition.schema, params as Readonly<Record<string, unknown>>)
    const decoded = decode(definition, full)
    if (Result.isFailure(decoded)) problems.push(...decoded.failure.map((problem) => `${where}: ${problem}`))
    if (!isRecord(params)) continue
    const missing = Object.entries(inputs).filter(([, of]) => !built.has(of))
    problems.push(
      ...missing.map(([wire, of]) => `${where}: its input '${wire}' (${of.slice(0, 8)}) does not stand before it`)
    )
    if (missing.length > 0) continue
    const make = (params: Schema.Json, inputsBy: ReadonlyMap<string, Artifact.Any>) => {
      const wires = Object.fromEntries(Object.entries(inputs).map(([wire, of]) => [wire, inputsBy.get(of)!]))
      return Artifact.make({ ...rest, op, ...made(definition, params as object, wires), params, wires, definition })
    }
    const artifact = make(params, written)
    if (artifact.id !== id) problems.push(`${where}: its contents hash to ${artifact.id.slice(0, 8)}: edited by hand?`)
    written.set(id, artifact)
    const asToday = canonical(full) === canonical(params) &&
      Object.values(inputs).every((of) => built.get(of)!.id === of)
    built.set(id, asToday ? artifact : make(full, built))
  }
  const root = built.get(parts.success.root)
  if (root === undefined) problems.push(`the root ${parts.success.root.slice(0, 8)} is not among the nodes`)
  return problems.length > 0 || root === undefined
    ? Result.fail(new BadDescription({ problems }))
    : Result.succeed(root)
}

// ── overrides ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const setIn = (value: Schema.Json, path: ReadonlyArray<string>, to: Schema.Json): Schema.Json => {
  const [head, ...rest] = path
  if (head === undefined) return to
  const record = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, Schema.Json>>
  return { ...record, [head]: setIn(record[head] ?? {}, rest, to) }
}

/**
 * Replaces one parameter of every operation of a name: `set(pipeline, "ppo.beta", 0.1)`. The name is the operation's in any
 * case, or the first characters of a node's id. Ids change from there on, as for any other edit. Returns the names that
 * would have matched when none does.
 */
export const set = (root: Artifact.Any, path: string, value: Schema.Json): Result.Result<Artifact.Any, string> => {
  const [name = "", ...keys] = path.split(".")
  const matches = (artifact: Artifact.Any) =>
    artifact.node.op.toLowerCase() === name.toLowerCase() || (name.length >= 4 && artifact.id.startsWith(name))
  const all = Artifact.lineage(root)
  if (keys.length === 0 || !all.some(matches)) {
    const names = [...new Set(all.map(({ node }) => node.op.toLowerCase()))].sort()
    // Another operation is no misspelling.
    const other = Object.keys(definitions).some((op) => op.toLowerCase() === name.toLowerCase())
    const near = other ? "" : meant(name, names)
    return Result.fail(
      `--set ${path}: write OPERATION.PARAMETER=VALUE; the operations here are ${names.join(", ")}${near}`
    )
  }
  if (keys.length > deepest / 2 || isDeep(value, deepest / 2)) {
    return Result.fail(`a parameter has at most ${deepest / 2} levels of lists and objects`)
  }
  return Result.succeed(rewrite(root, (artifact, wires) => {
    const { params } = artifact.node
    return matches(artifact)
      ? remake(artifact, setIn(params, keys, value), wires, keys[0]!)
      : remake(artifact, params, wires)
  }))
}

/** Stages with own seeds below this number share no numbers under two values of `seed`. */
const seedsApart = 1_000_000

/**
 * Adds 10⁶ · `value` to the `seed` of every stage that has one: each `value` gives other random numbers, and stages with different seeds
 * (the members of an ensemble) stay different. 0 leaves the pipeline as it is.
 */
export const seed = (root: Artifact.Any, value: number): Artifact.Any =>
  rewrite(root, (artifact, wires) => {
    const params = artifact.node.params as Readonly<Record<string, Schema.Json>>
    const own = params["seed"]
    return remake(artifact, typeof own === "number" ? { ...params, seed: own + seedsApart * value } : params, wires)
  })
