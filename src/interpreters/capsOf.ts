/**
 * Which caps govern which nodes: a cap governs everything that its artefact was made from, back to its initial model
 * (excluded); a KL cap governs only the descendants of that model.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { type Caps, type Resource, resources, units } from "../../dsl/Budget.ts"
import type { KlCap, MeasuredOn } from "../../dsl/KlCap.ts"
import { measured } from "../../dsl/Kl.ts"
import { measuredBy, Measuring } from "../../dsl/KlSpending.ts"
import { measuresOf } from "../../dsl/Instruments.ts"
import type * as Schema from "effect/Schema"
import { type Governing, governing, listed, someListed } from "./governing.ts"
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
  /** Of a stage under KL caps that has no held prompts of its own; undefined where no cap says how to measure it. */
  readonly measured: MeasuredOn | undefined
  readonly totals: ReadonlyArray<Total>
}

/** A stage with held prompts of its own, and how many such stages are before it. */
interface Measurer {
  readonly how: MeasuredOn
  readonly before: number
}

/** A KL cap by its place in the pipeline, and how it says that KL is measured. */
interface First {
  readonly place: number
  readonly from: Artifact.Any
  readonly measured: MeasuredOn
}

const earlier = (one: First | undefined, other: First): First =>
  one === undefined || other.place < one.place ? other : one

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
  (spendsKl(artifact) || merges(artifact) || artifact.node.op === "Gate") && how(artifact) !== undefined

/** Whether it needs a KL cap: an allowance moved it, or a policy that it merges. */
export const needsCap = (artifact: Artifact.Any): boolean =>
  spendsKl(artifact) || (merges(artifact) && fromAnywhere(artifact).last !== undefined)

/** The parameters of the measurements that its KL caps are held against: its own, or those of a cap. */
export const measuringOf = (artifact: Artifact.Any, { measured }: NodeCaps): Readonly<Record<string, Schema.Json>> =>
  measured === undefined ? measuresOf(artifact) : Measuring.make(measured.how as typeof Measuring["~type.make.in"])

const how = (artifact: Artifact.Any): MeasuredOn | undefined => {
  const { node: { params, wires: { held } } } = artifact
  const given = params as Readonly<Record<string, unknown>>
  if (held === undefined || given["maxNewTokens"] === undefined) return undefined
  return { held, how: Object.fromEntries(Object.entries(given).filter(([name]) => Object.hasOwn(measuredBy, name))) }
}

/** Whether its KL is observed, and there are no held prompts to measure it on. */
export const isUnmeasured = (artifact: Artifact.Any, limits: Limits): boolean =>
  !measuresItself(artifact) && limits.kl(artifact) && limits(artifact).measured === undefined

/** Ids of the artefacts that a cap governs. */
const governed = (cap: Artifact.Any): ReadonlySet<string> => {
  const { from, of } = cap.node.wires
  const before = new Set(from === undefined ? [] : Artifact.lineage(from).map(({ id }) => id))
  return new Set(of === undefined ? [] : Artifact.lineage(of).map(({ id }) => id).filter((id) => !before.has(id)))
}

const klOf = (cap: Artifact.Any): KlCap | undefined => {
  const { kl, klMax, klP95, whenSpent } = cap.node.params as CapParams
  const { from } = cap.node.wires
  return kl == null || from === undefined ? undefined : {
    ...(kl === measured ? {} : { mnats: kl.mnats }),
    ...(klP95 == null ? {} : { p95: klP95.mnats }),
    ...(klMax == null ? {} : { max: klMax.mnats }),
    ...(whenSpent === undefined ? {} : { whenSpent }),
    from: initialOf(from)
  }
}

/** Each once, in order: rounds have the cap of each later one. One measurement is enough beside caps from the same model. */
const distinct = (caps: ReadonlyArray<KlCap>): ReadonlyArray<KlCap> => {
  const capped = new Set(caps.flatMap(({ from, mnats }) => mnats === undefined ? [] : [from.id]))
  const kept = caps.filter(({ from, mnats }) => mnats !== undefined || !capped.has(from.id))
  return [...new Map(kept.map((cap) => [JSON.stringify({ ...cap, from: cap.from.id }), cap])).values()]
}

const totalOf = (cap: Artifact.Any): ReadonlyArray<Total> => {
  const limits = inUnits((cap.node.params as CapParams).total ?? {})
  let of: ReadonlySet<string> | undefined
  return Object.keys(limits).length === 0 ? [] : [{
    id: cap.id,
    get of() {
      return of ??= governed(cap)
    },
    limits
  }]
}

const tightest = (cap: Artifact.Any, least: Total["limits"] = {}): Total["limits"] => {
  const { kl: _, klMax: __, klP95: ___, total: ____, whenSpent: _____, ...each } = cap.node.params as CapParams
  const own = inUnits(each)
  return Object.fromEntries(
    resources.flatMap((resource) => {
      const cap = Math.min(own[resource] ?? Infinity, least[resource] ?? Infinity)
      return cap === Infinity ? [] : [[resource, cap]]
    })
  )
}

export interface Limits {
  (artifact: Artifact.Any): NodeCaps
  /** The caps on KL over an artefact that measure from no ancestor of its weights, and so do not hold for it. */
  readonly astray: (artifact: Artifact.Any) => ReadonlyArray<Artifact.Any>
  /** Whether a KL cap holds for the artefact: asked of every artefact of a pipeline, where the caps of each would be many. */
  readonly kl: (artifact: Artifact.Any) => boolean
  /** Whether a KL cap on the artefact from `from` measures it. */
  readonly measuredFrom: (artifact: Artifact.Any, from: Artifact.Any) => boolean
  /** Whether it measures a stage in the history of `of`; with `borrows`, a stage without held prompts of its own. */
  readonly measuredIn: (of: Artifact.Any, from: Artifact.Any, borrows?: boolean) => boolean
}

/** The limits on each artefact of the pipeline `root`. */
export const capsIn = (root: Artifact.Any): Limits => {
  const caps = governing(root, tightest)
  const places = new Map(Artifact.lineage(root).map(({ id }, place) => [id, place]))
  /** The inputs of artefacts that can come from `from`: those that stand after it. */
  const laterThan = (from: Artifact.Any) => (at: Artifact.Any): ReadonlyArray<Artifact.Any> =>
    at.id === from.id
      ? []
      : Object.values(at.node.wires).filter(({ id }) => places.get(id)! >= places.get(from.id)!)
  const comesFrom = new Map<string, (artifact: Artifact.Any) => boolean>()
  /**
   * Whether the weights of an artefact come from those of `from`. A model that only gave data has another initial model, and its distance
   * from `from` might be needed before `from` is made.
   */
  const descends = (artifact: Artifact.Any, from: Artifact.Any): boolean => {
    let known = comesFrom.get(from.id)
    if (known === undefined) {
      known = Artifact.derived<boolean>(
        (at, value) => at.id === from.id || later(at).some(value),
        (at) => later(at)
      )
      comesFrom.set(from.id, known)
    }
    const later = (at: Artifact.Any) =>
      at.id === from.id ? [] : parentsOf(at).filter(({ id }) => places.get(id)! >= places.get(from.id)!)
    return known(artifact)
  }
  const inOrder = (artifact: Artifact.Any): ReadonlyArray<Artifact.Any> =>
    listed(caps(artifact)).toSorted((a, b) => places.get(a.id)! - places.get(b.id)!)
  /** The KL caps on an artefact. Only descendants are measured, so `from` is made before: otherwise two caps could wait for each other. */
  const klCaps = (artifact: Artifact.Any): ReadonlyArray<KlCap> =>
    !measuresKl(artifact) ? [] : distinct(
      inOrder(artifact).flatMap((cap) => {
        const kl = klOf(cap)
        return kl !== undefined && descends(artifact, kl.from) ? [kl] : []
      })
    )
  /**
   * How a cap says that KL is measured, or the last stage under it that has held prompts of its own: the one with most such stages before
   * it. Once for all caps with one initial model.
   */
  const measuresUnder = (cap: Artifact.Any): MeasuredOn | undefined => how(cap) ?? lastFrom(klOf(cap)!.from)(cap)?.how
  const lasts = new Map<string, (of: Artifact.Any) => Measurer | undefined>()
  const lastFrom = (from: Artifact.Any): (of: Artifact.Any) => Measurer | undefined => {
    const later = laterThan(from)
    const last = lasts.get(from.id) ?? Artifact.derived<Measurer | undefined>((at, before) => {
      const most = later(at).map(before).reduce(
        (most, one) => (one?.before ?? -1) >= (most?.before ?? -1) ? one : most,
        undefined
      )
      const own = at.id !== from.id && measuresItself(at) && descends(at, from) ? how(at) : undefined
      return own === undefined ? most : { how: own, before: 1 + (most?.before ?? -1) }
    }, later)
    lasts.set(from.id, last)
    return last
  }
  const firsts = new Map<Governing<unknown>, First | undefined>()
  /** Of the KL caps in a list, which have one initial model, the first that says how KL is measured. Without recursion, as lists are long. */
  const firstOf = (list: Governing<unknown>): First | undefined => {
    const unknown: Array<Governing<unknown>> = []
    let at: Governing<unknown> | undefined = list
    for (; at !== undefined && !firsts.has(at); at = at.rest) unknown.push(at)
    for (let one = unknown.pop(); one !== undefined; one = unknown.pop()) {
      const from = klOf(one.cap)?.from
      const measured = from && measuresUnder(one.cap)
      const own = from && measured && { place: places.get(one.cap.id)!, from, measured }
      const rest = one.rest && firsts.get(one.rest)
      firsts.set(one, own === undefined ? rest : earlier(rest, own))
    }
    return firsts.get(list)
  }
  const limitsOf = (artifact: Artifact.Any): NodeCaps => {
    const mine = caps(artifact).map(({ sum }) => sum)
    const least = (resource: Resource) => Math.min(Infinity, ...mine.map((one) => one[resource] ?? Infinity))
    return {
      // Of the lists, which may be long, only what is asked for.
      get kl() {
        return klCaps(artifact)
      },
      get measured() {
        if (measuresItself(artifact)) return undefined
        if (!measuresKl(artifact)) return undefined
        const firsts = caps(artifact).flatMap((list) => {
          const first = firstOf(list)
          return first !== undefined && descends(artifact, first.from) ? [first] : []
        })
        return firsts.reduce<First | undefined>(earlier, undefined)?.measured
      },
      ...Object.fromEntries(resources.map((resource) => [resource, least(resource)])) as Record<Resource, number>,
      get totals() {
        return inOrder(artifact).flatMap(totalOf)
      }
    }
  }
  const known = new Map<string, NodeCaps>()
  const limits = (artifact: Artifact.Any): NodeCaps => {
    const found = known.get(artifact.id) ?? limitsOf(artifact)
    known.set(artifact.id, found)
    return found
  }
  const holds = (cap: Artifact.Any, artifact: Artifact.Any): boolean => {
    const kl = klOf(cap)
    return kl !== undefined && descends(artifact, kl.from)
  }
  const measures = (at: Artifact.Any, from: Artifact.Any): boolean =>
    measuresKl(at) && at.id !== from.id && descends(at, from)
  const histories = new Map<string, (of: Artifact.Any) => boolean>()
  const measuredIn: Limits["measuredIn"] = (of, capped, borrows = false) => {
    const from = initialOf(capped)
    const later = laterThan(from)
    const known = histories.get(`${from.id} ${borrows}`) ?? Artifact.derived<boolean>(
      (at, value) => (measures(at, from) && !(borrows && measuresItself(at))) || later(at).some(value),
      later
    )
    histories.set(`${from.id} ${borrows}`, known)
    return known(of)
  }
  return Object.assign(limits, {
    astray: (artifact: Artifact.Any) =>
      inOrder(artifact).filter((cap) => klOf(cap) !== undefined && !holds(cap, artifact)),
    measuredFrom: (artifact: Artifact.Any, from: Artifact.Any) => measures(artifact, initialOf(from)),
    measuredIn,
    kl: (artifact: Artifact.Any) => measuresKl(artifact) && someListed(caps(artifact), (cap) => holds(cap, artifact))
  })
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

const ways = new WeakMap<Artifact.Any, (of: Artifact.Any) => Way>()

/** The path of an artefact with the largest allowances, back to `stop`. */
const heaviest = (stop: Artifact.Any | undefined): (of: Artifact.Any) => Way => {
  const isStop = (at: Artifact.Any): boolean => stop !== undefined && initialOf(at).id === stop.id
  const found = stop === undefined ? undefined : ways.get(stop)
  if (found !== undefined) return found
  const way = Artifact.derived<Way>(
    (at, before) => {
      if (isStop(at)) return nowhere
      const most = parentsOf(at).map(before).reduce((most, way) => way.mnats >= most.mnats ? way : most, nowhere)
      if (!spendsKl(at)) return most
      const given: unknown = fieldsOf(at).allowance?.mnats
      const mnats = typeof given === "number" ? given : 0
      return { mnats: most.mnats + mnats, last: { artifact: at, mnats }, before: most }
    },
    (at) => isStop(at) ? [] : parentsOf(at)
  )
  if (stop !== undefined) ways.set(stop, way)
  return way
}

const fromAnywhere = heaviest(undefined)

/**
 * The allowances along the weight lineage of `of`, back to `from` (excluded), mnats. Of a merge's parents, the path with the
 * largest allowances counts. They do not bound the distance of a merge, which is measured.
 */
export const klAllotted = (of: Artifact.Any, from: Artifact.Any): number => heaviest(initialOf(from))(of).mnats

/** The stages of these allowances, the last first. */
export const klSpenders = (of: Artifact.Any, from: Artifact.Any): ReadonlyArray<Spender> => {
  const found: Array<Spender> = []
  for (let way = heaviest(initialOf(from))(of); way.last !== undefined; way = way.before!) found.push(way.last)
  return found
}
