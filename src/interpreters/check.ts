/**
 * Finds every mistake in a description, each with its remedy, in milliseconds and without loading files. Shapes of
 * checkpoints are passed in (`shapesIn`).
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { mistakes } from "../../dsl/Definition.ts"
import { measured } from "../../dsl/Kl.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { definitionOf, definitions, fieldsOf, initialOf, isBuiltIn, parentsOf } from "../../dsl/Stage.ts"
import { mistakes as wireMistakes } from "../../dsl/Wires.ts"
import { ranks } from "./checks/adapters.ts"
import { contextLengths } from "./checks/context.ts"
import { fitting } from "./checks/memory.ts"
import { tooLarge } from "./checks/largest.ts"
import { feesIn } from "./checks/endpoints.ts"
import { sharing } from "./checks/prompts.ts"
import { divisions } from "./checks/rows.ts"
import { type Shapes, unreadable } from "./checks/shapes.ts"
import {
  capsIn,
  currenciesIn,
  currenciesOf,
  isUnmeasured,
  klAllotted,
  klSpenders,
  type Limits,
  measuresKl,
  needsCap,
  spendsKl
} from "./capsOf.ts"

/** One mistake. */
export interface Problem {
  /** The node with the mistake. */
  readonly stage: string
  readonly problem: string
}

/** A description that `check` refuses. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  problems: Schema.Array(Schema.Struct({ stage: Schema.String, problem: Schema.String }))
}) {
  override get message() {
    const n = this.problems.length
    // They quote parameters and files, whose values may have any length.
    const cut = (text: string): string => text.length <= 2000 ? text : `${text.slice(0, 2000)}…`
    return `${n} mistake${n === 1 ? "" : "s"}; nothing was trained or written:\n` +
      this.problems.map(({ problem, stage }) => cut(`  ${stage}: ${problem}`)).join("\n")
  }
}

/** Each name must mean one operation. */
const naming = (root: Artifact.Any): (node: Artifact.Node) => ReadonlyArray<string> => {
  const known = new Map(Artifact.lineage(root).map(({ node }) => [node.op, definitionOf(node)]))
  return ({ definition, op }) =>
    definition === undefined || definition === known.get(op) ? [] : [
      `two operations are called ${op}${isBuiltIn(op) ? ", and one is Keel's" : ""}: give yours another name`
    ]
}

/** Amounts of money are added up, so caps and prices of judges cannot use two currencies. */
const paying = (root: Artifact.Any): (artifact: Artifact.Any) => ReadonlyArray<string> => {
  const capped = currenciesIn(root)
  const currencies = [...new Set([...capped, ...Artifact.lineage(root).flatMap(feesIn)])]
  const of = currencies.length === capped.length ? "money caps" : "money caps and prices of judges"
  return (artifact) =>
    currencies.length < 2 || currenciesOf(artifact).length + feesIn(artifact).length === 0 ? [] : [
      `the ${of} of this pipeline are in ${currencies.join(" and ")}: give them all in one currency`
    ]
}

/** Whether `of` was made from the initial model of `from`, both in the pipeline `root`. */
const coming = (root: Artifact.Any): (of: Artifact.Any, from: Artifact.Any) => boolean => {
  const places = new Map(Artifact.lineage(root).map(({ id }, place) => [id, place]))
  const known = new Map<string, (of: Artifact.Any) => boolean>()
  return (of, from) => {
    const { id } = initialOf(from)
    // Inputs stand before: nothing at a lower place was made from it.
    const later = ({ node }: Artifact.Any) =>
      Object.values(node.wires).filter((input) => places.get(input.id)! >= places.get(id)!)
    const comes = known.get(id) ??
      Artifact.derived<boolean>((at, value) => at.id === id || later(at).some(value), later)
    known.set(id, comes)
    return comes(of)
  }
}

/** Whether an artefact is under a KL cap whose `from` is wrong: that cap has the mistake, and its message the remedy. */
const astray = (root: Artifact.Any, comesFrom: ReturnType<typeof coming>): (artifact: Artifact.Any) => boolean => {
  const under = (cap: Artifact.Any): ReadonlyArray<Artifact.Any> => {
    const { op, wires } = cap.node
    const { from, of } = wires
    if (op !== "Cap" || of === undefined || fieldsOf(cap).kl === undefined) return []
    const right = from !== undefined && comesFrom(of, from) &&
      wireMistakes(op, definitions.Cap.wires, definitions.Cap.main, wires).length === 0
    return right ? [] : [of]
  }
  let ids: ReadonlySet<string> | undefined
  return ({ id }) =>
    (ids ??= new Set(Artifact.lineage(...Artifact.lineage(root).flatMap(under)).map((one) => one.id))).has(id)
}

/** The models that the weights of an artefact come from, before any training. */
const originsOf = (artifact: Artifact.Any): ReadonlyArray<Artifact.Any> => {
  const of = initialOf(artifact)
  return parentsOf(of).length === 0 ? [of] : [...new Set(parentsOf(of).flatMap(originsOf))]
}

/** Mistakes between nodes. */
const between = (
  limits: Limits,
  strayed: (artifact: Artifact.Any) => boolean,
  comesFrom: ReturnType<typeof coming>,
  artifact: Artifact.Any
): ReadonlyArray<string> => {
  const { op, wires } = artifact.node
  const found: Array<string> = []
  if (needsCap(artifact) && !limits.kl(artifact) && !strayed(artifact)) {
    const spends = `it ${spendsKl(artifact) ? "spends KL" : "merges policies that spent KL"}`
    found.push(
      ...limits.astray(artifact).map((cap) =>
        `${spends}, and \`from\` of ${label(cap)}, ${
          label(cap.node.wires["from"]!)
        }, is no ancestor of its weights, which come ` +
        `from ${originsOf(artifact).map(label).join(" and ")}: put it under a cap or an observation from there`
      ),
      ...(limits.astray(artifact).length > 0 ? [] : [
        `${spends} and nobody capped it: wrap it in Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … }), ` +
        "or measure it with Pipeline.observe(policy, { kl: Kl.measured, from: … })"
      ])
    )
  }
  for (const [wire, of] of Object.entries(wires)) {
    if (initialOf(of).node.op === "Ensemble" && !/^(?:reward|of|members\.\d+)$/u.test(wire)) {
      found.push(`${wire} is an ensemble, which has no weights to start from: connect one of its members`)
    }
  }
  if (isUnmeasured(artifact, limits) && limits(artifact).kl.some(({ mnats }) => mnats !== undefined)) {
    found.push(
      "its KL is capped, and there are no held prompts to measure it on: give the cap some, " +
        "Pipeline.cap(policy, { kl, from, held: prompts, maxNewTokens: … })"
    )
  }
  const { kl } = fieldsOf(artifact)
  if (op === "Cap" && kl !== undefined && wires["from"] !== undefined) {
    const { from, held } = wires
    const of = wires["of"]!
    if (!comesFrom(of, from)) {
      found.push(`its initial model ${label(from)} is not among what ${label(of)} was made from`)
    } else if (
      initialOf(of).id !== initialOf(from).id &&
      !(measuresKl(initialOf(of)) ? limits.measuredFrom(initialOf(of), from) : limits.measuredIn(of, from))
    ) {
      found.push(
        `it measures nothing: the weights of ${label(of)} do not come from ${
          label(from)
        }; connect as from the model whose ` +
          "weights it was trained from (in your own stage, `parent` of its definition names the wire)"
      )
    } else if (held !== undefined && !limits.measuredIn(of, from, true)) {
      found.push("held is of no use: each stage that it caps has held prompts of its own; leave it out")
    }
    const total = klAllotted(of, from)
    if (kl !== measured && total > kl.mnats) {
      found.push(
        `KL over budget: ${total} mnats allotted (${
          klSpenders(of, from).map(({ artifact, mnats }) => `${label(artifact)} ${mnats}`).join(", ")
        }), cap is ${kl.mnats}; lower the allowances or raise the cap`
      )
    }
  }
  return found
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Facts from outside the description. */
export interface KnownShapes {
  /** Shapes of its checkpoints; without a shape, checks that depend on it are skipped. */
  readonly shapes?: Shapes
}

/** Every mistake in a description; empty if it can run. */
export const problems = (root: Artifact.Any, { shapes = new Map() }: KnownShapes = {}): ReadonlyArray<Problem> => {
  const limits = capsIn(root)
  const named = naming(root)
  const paid = paying(root)
  const comesFrom = coming(root)
  const strayed = astray(root, comesFrom)
  const all = Artifact.lineage(root)
  const decoded = all.map(({ node }) => {
    const definition = definitionOf(node)
    return definition === undefined ? Result.fail(["no such operation"]) : Pipeline.decode(definition, node.params)
  })
  // Checks that follow data and models back need valid parameters in every node.
  const sound = new Set<string>()
  for (const [i, { id, node: { wires } }] of all.entries()) {
    if (Result.isSuccess(decoded[i]!) && Object.values(wires).every((of) => sound.has(of.id))) sound.add(id)
  }
  const memory = all.some((artifact) => artifact.node.op === "Cap" && fieldsOf(artifact).memory !== undefined)
  const shares = sharing(all.filter(({ id }) => sound.has(id)))
  return all.flatMap((artifact, i) => {
    const { op, params, wires } = artifact.node
    const definition = definitionOf(artifact.node)
    const own = decoded[i]!
    // A value on a wire that is no artefact is a mistake of the stage with the wire.
    if (op === Artifact.strayOp) return []
    if (definition === undefined) return [{ stage: op, problem: "no such operation" }]
    const spec = definition.wiresOf?.(wires, isRecord(params) ? params : {}) ?? definition.wires
    return [
      ...(Result.isFailure(own) ? own.failure : []),
      ...wireMistakes(op, spec, definition.main, wires),
      ...(Result.isFailure(own) ? [] : mistakes(definition, own.success, wires)),
      ...named(artifact.node),
      ...paid(artifact),
      ...(Result.isFailure(own) ? [] : between(limits, strayed, comesFrom, artifact)),
      ...(!sound.has(artifact.id) ? [] : [
        ...shares(artifact),
        ...unreadable(artifact, shapes),
        ...contextLengths(artifact, shapes),
        ...ranks(artifact, shapes),
        ...divisions(artifact),
        ...tooLarge(artifact),
        ...(memory ? fitting(artifact, limits(artifact).memory, shapes) : [])
      ])
    ].map((problem) => ({ stage: label(artifact), problem }))
  })
}

/** The description itself, or all of its mistakes. */
export const check = (root: Artifact.Any, known: KnownShapes = {}): Result.Result<Artifact.Any, Refused> => {
  const found = problems(root, known)
  return found.length === 0 ? Result.succeed(root) : Result.fail(new Refused({ problems: found }))
}
