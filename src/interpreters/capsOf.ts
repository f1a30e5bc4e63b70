/**
 * Which caps govern which nodes: a cap governs everything that its artefact was made from, back to its initial model
 * (excluded); a KL cap governs only the descendants of that model.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { type Caps, type Resource, resources, units } from "../../dsl/Budget.ts"
import type { KlCap, MeasuredOn } from "../../dsl/KlCap.ts"
import { measuredBy, Measuring } from "../../dsl/KlSpending.ts"
import { measuresOf } from "../../dsl/Instruments.ts"
import type * as Schema from "effect/Schema"
import { definitionOf, fieldsOf, initialOf, parentsOf } from "../../dsl/Stage.ts"

/** A cap on the total of several stages. */
export interface Total {
  /** The node of the cap. */
  readonly id: string
  /** Ids of the governed artefacts. */
  readonly of: ReadonlySet<string>
  readonly limits: Readonly<Partial<Record<Resource, number>>>
}

/** The caps on a node: the tightest of each resource (`Infinity`: none), and every KL cap with its initial model. */
export interface NodeCaps extends Readonly<Record<Resource, number>> {
  readonly kl: ReadonlyArray<KlCap>
  /** Of a stage under KL caps that has no held prompts of its own; absent where no cap says how to measure it. */
  readonly measured?: MeasuredOn
  readonly totals: ReadonlyArray<Total>
}

interface Money {
  readonly currency: string
  readonly micros: number
}

/** Parameters of an unchecked `Cap`. */
type Amounts = Readonly<Partial<Record<Exclude<Resource, "money">, number>>> & { readonly money?: Money }

interface CapParams extends Amounts, Pick<Caps, "kl" | "klP95" | "klMax" | "whenSpent"> {
  readonly total?: Amounts
}

const inUnits = ({ money, ...amounts }: Amounts): Total["limits"] => ({
  ...Object.fromEntries(Object.entries(amounts).filter(([name]) => Object.hasOwn(units, name))),
  ...(money === undefined ? {} : { money: money.micros })
})

/** The currencies in which a node caps money; empty for other nodes. */
export const currenciesOf = ({ node: { op, params } }: Artifact.Any): ReadonlyArray<string> => {
  if (op !== "Cap") return []
  const { money, total } = params as CapParams
  return [...new Set([money, total?.money].flatMap((one) => one?.currency ?? []))]
}

/** The currencies of the money caps in the pipeline `root`. */
export const currenciesIn = (root: Artifact.Any): ReadonlyArray<string> => [
  ...new Set(Artifact.lineage(root).flatMap(currenciesOf))
]

/** Whether the artefact moves a policy by an allowance. */
export const spendsKl = ({ node }: Artifact.Any): boolean => definitionOf(node)?.spendsKl === true

const merges = ({ node }: Artifact.Any): boolean => node.op === "Merge" && node.kind !== "RewardModel"

/** Whether its KL is measured against caps: it is a policy, made out of others. */
export const measuresKl = (artifact: Artifact.Any): boolean => {
  const { kind, op } = artifact.node
  return (kind === "Policy" || kind === "BaseModel") && op !== "Cap" && parentsOf(artifact).length > 0
}

/** Whether it has held prompts of its own, and says how KL is measured on them. */
export const measuresItself = (artifact: Artifact.Any): boolean =>
  spendsKl(artifact) || merges(artifact) || artifact.node.op === "Gate"

/** Whether it needs a KL cap: an allowance moved it, or a policy that it merges. */
export const needsCap = (artifact: Artifact.Any): boolean =>
  spendsKl(artifact) || (merges(artifact) && heaviest(artifact, undefined).length > 0)

/** The parameters of the measurements that its KL caps are held against: its own, or those of a cap. */
export const measuringOf = (artifact: Artifact.Any, { measured }: NodeCaps): Readonly<Record<string, Schema.Json>> =>
  measured === undefined ? measuresOf(artifact) : Measuring.make(measured.how as typeof Measuring["~type.make.in"])

const how = (artifact: Artifact.Any): MeasuredOn | undefined => {
  const { node: { params, wires: { held } } } = artifact
  const given = params as Readonly<Record<string, unknown>>
  if (held === undefined || given["maxNewTokens"] === undefined) return undefined
  return { held, how: Object.fromEntries(Object.entries(given).filter(([name]) => Object.hasOwn(measuredBy, name))) }
}

const governed = (cap: Artifact.Any): ReadonlySet<string> => {
  const { from, of } = cap.node.wires
  const before = new Set(from === undefined ? [] : Artifact.lineage(from).map(({ id }) => id))
  return new Set(of === undefined ? [] : Artifact.lineage(of).map(({ id }) => id).filter((id) => !before.has(id)))
}

/**
 * Ids of the artefacts in the history of `of` that descend from the weights of `from`. A model that only gave data has
 * another initial model, and its distance from `from` might be needed before `from` is made.
 */
const descendants = (of: Artifact.Any | undefined, from: Artifact.Any | undefined): ReadonlySet<string> => {
  if (of === undefined || from === undefined) return new Set()
  const found = new Set([from.id])
  for (const at of Artifact.lineage(of)) if (parentsOf(at).some(({ id }) => found.has(id))) found.add(at.id)
  return found
}

/** The limits on each artefact of the pipeline `root`. */
export const capsIn = (root: Artifact.Any): (artifact: Artifact.Any) => NodeCaps => {
  // Parameters that `check` has not looked at yet may be null.
  const caps = Artifact.lineage(root).filter(({ node }) => node.op === "Cap").map((cap) => {
    const { kl, klMax, klP95, total, whenSpent, ...each } = cap.node.params as CapParams
    const of = governed(cap)
    const from = cap.node.wires["from"] === undefined ? undefined : initialOf(cap.node.wires["from"])
    const one: KlCap | undefined = kl == null || from === undefined ? undefined : {
      mnats: kl.mnats,
      ...(klP95 == null ? {} : { p95: klP95.mnats }),
      ...(klMax == null ? {} : { max: klMax.mnats }),
      ...(whenSpent === undefined ? {} : { whenSpent }),
      from
    }
    const descend = descendants(cap.node.wires["of"], from)
    return {
      kl: one === undefined ? [] : [one],
      measured: one === undefined ? undefined : how(cap) ??
        Artifact.lineage(cap).filter((other) => of.has(other.id) && descend.has(other.id) && measuresItself(other))
          .map(how).findLast((found) => found !== undefined),
      descend,
      of,
      each: inUnits(each),
      total: { id: cap.id, of, limits: inUnits(total ?? {}) }
    }
  })
  const known = new Map<string, NodeCaps>()
  const capsOf = (artifact: Artifact.Any): NodeCaps => {
    const mine = caps.filter(({ of }) => of.has(artifact.id))
    const least = (resource: Resource) => Math.min(Infinity, ...mine.map(({ each }) => each[resource] ?? Infinity))
    // Only descendants are measured, so `from` is made before: otherwise two caps could wait for each other.
    const holding = measuresKl(artifact)
      ? mine.filter(({ descend, kl }) => kl.length > 0 && descend.has(artifact.id))
      : []
    const measured = measuresItself(artifact)
      ? undefined
      : holding.find(({ measured }) => measured !== undefined)?.measured
    return {
      kl: holding.flatMap(({ kl }) => kl),
      ...(measured === undefined ? {} : { measured }),
      ...Object.fromEntries(resources.map((resource) => [resource, least(resource)])) as Record<Resource, number>,
      totals: mine.flatMap(({ total }) => Object.keys(total.limits).length === 0 ? [] : [total])
    }
  }
  return (artifact) => {
    const found = known.get(artifact.id) ?? capsOf(artifact)
    known.set(artifact.id, found)
    return found
  }
}

/** The last spender of a path, and the path before it. */
interface Way {
  readonly mnats: number
  readonly last: Spender | undefined
  readonly before: Way | undefined
}

export interface Spender {
  readonly artifact: Artifact.Any
  readonly mnats: number
}

const nowhere: Way = { mnats: 0, last: undefined, before: undefined }

/** The spenders on the path of `of` with the largest allowances, back to `stop`, the last spender first. */
const heaviest = (of: Artifact.Any, stop: string | undefined): ReadonlyArray<Spender> => {
  const ways = new Map<string, Way>()
  // A loop, not recursion: a chain of ten thousand stages must not overflow the stack.
  for (const at of Artifact.lineage(of)) {
    const before = initialOf(at).id === stop
      ? nowhere
      : parentsOf(at).map(({ id }) => ways.get(id)!).reduce(
        (most, way) => way.mnats >= most.mnats ? way : most,
        nowhere
      )
    if (initialOf(at).id === stop || !spendsKl(at)) ways.set(at.id, before)
    else {
      const given: unknown = fieldsOf(at).allowance?.mnats
      const mnats = typeof given === "number" ? given : 0
      ways.set(at.id, { mnats: before.mnats + mnats, last: { artifact: at, mnats }, before })
    }
  }
  const found: Array<Spender> = []
  let way = ways.get(of.id)
  while (way?.last !== undefined) {
    found.push(way.last)
    way = way.before
  }
  return found
}

/**
 * The allowances along the weight lineage of `of`, back to `from` (excluded). Of a merge's parents, the path with the
 * largest allowances counts. They do not bound the distance of a merge, which is measured.
 */
export const klSpenders = (of: Artifact.Any, from: Artifact.Any): ReadonlyArray<Spender> =>
  heaviest(of, initialOf(from).id)
