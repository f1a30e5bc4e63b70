/**
 * The difference of two pipelines in words. Nodes are aligned: outputs by their names, equal ones with each other, and from these along
 * their wires. Nodes without a partner were added or removed.
 */
import type * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { canonical } from "../../dsl/Canonical.ts"
import { label, short } from "../../dsl/Render.ts"
import { initialOf, outputsOf } from "../../dsl/Stage.ts"
import { unitOf } from "../../dsl/Units.ts"
import { called } from "./lineage.ts"

type Params = { readonly [key: string]: Schema.Json }

/** The node of `b` that stands for each node of `a`, by their ids. */
const aligned = (a: Artifact.Any, b: Artifact.Any): ReadonlyMap<string, Artifact.Any> => {
  const own = new Map(Artifact.lineage(b).map((one) => [one.id, one]))
  const pairs = new Map<string, Artifact.Any>()
  const taken = new Set<string>()
  const left: Array<readonly [Artifact.Any, Artifact.Any]> = []
  const pair = (x: Artifact.Any, y: Artifact.Any): void => {
    if (pairs.has(x.id) || taken.has(y.id)) return
    pairs.set(x.id, y)
    taken.add(y.id)
    left.push([x, y])
  }
  const [of, other] = [outputsOf(a), outputsOf(b)]
  for (const name of Object.keys(of)) {
    if (other[name] === undefined) continue
    pair(initialOf(of[name]!), initialOf(other[name]))
    if (of[name]!.node.op === "Cap" && other[name].node.op === "Cap") pair(of[name]!, other[name])
  }
  for (const one of Artifact.lineage(a)) if (own.has(one.id)) pair(one, own.get(one.id)!)
  pair(initialOf(a), initialOf(b))
  for (let at = left.shift(); at !== undefined; at = left.shift()) {
    const [x, y] = at
    for (const [wire, input] of Object.entries(x.node.wires)) {
      const [own, other] = [initialOf(input), y.node.wires[wire]]
      if (other !== undefined && input.node.op === "Cap" && other.node.op === "Cap") pair(input, other)
      if (other !== undefined && initialOf(other).node.op === own.node.op) pair(own, initialOf(other))
    }
  }
  return pairs
}

const text = (value: Schema.Json | undefined): string =>
  value === undefined
    ? "none"
    : typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3
    ? value.toExponential()
    : short(value)

const isRecord = (value: Schema.Json | undefined): value is Params =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Changes of parameters, by their paths, with the unit of a number. */
const changes = (a: Schema.Json | undefined, b: Schema.Json | undefined, path: string): ReadonlyArray<string> => {
  if (a !== undefined && b !== undefined && canonical(a) === canonical(b)) return []
  if (isRecord(a) && isRecord(b) && a["_tag"] === b["_tag"]) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().flatMap((key) =>
      changes(a[key], b[key], path === "" ? key : `${path}.${key}`)
    )
  }
  const unit = unitOf(path)
  const counted = typeof b === "number" && unit !== undefined && !["none", "rate"].includes(unit) && path !== unit
  return [`${path} ${text(a)} → ${text(b)}${counted ? ` ${unit}` : ""}`]
}

export interface Difference {
  readonly name: string
  readonly changes: ReadonlyArray<string>
}

export interface Differences {
  /** Stages of both, with their differences. */
  readonly changed: ReadonlyArray<Difference>
  readonly removed: ReadonlyArray<string>
  readonly added: ReadonlyArray<string>
}

const shown = (root: Artifact.Any): ReadonlyArray<Artifact.Any> =>
  Artifact.lineage(root).filter(({ node }) => node.op !== "Outputs")

/** From `a` to `b`. */
export const differences = (a: Artifact.Any, b: Artifact.Any): Differences => {
  const [inA, inB] = [called(a), called(b)]
  const pairs = aligned(a, b)
  const other = new Set([...pairs.values()].map(({ id }) => id))
  const titled = (name: string, { node: { op } }: Artifact.Any): string =>
    op === "Cap"
      ? `the cap on ${name}`
      : op === "Source" || op === "Checkpoint" || name.startsWith(`${op.toLowerCase()}-`)
      ? name
      : `${name} (${op})`
  return {
    changed: shown(a).flatMap((x) => {
      const y = pairs.get(x.id)
      if (y === undefined || x.id === y.id) return []
      const name = titled(inA(x), x)
      if (x.node.op !== y.node.op) return [{ name: inA(x), changes: [`${x.node.op} → ${y.node.op}`] }]
      const [from, to] = [inA(x), inB(y)]
      const wires = [...new Set([...Object.keys(x.node.wires), ...Object.keys(y.node.wires)])].sort()
      const found = [
        ...["Cap", "Source", "Checkpoint"].includes(x.node.op) || from === to || from === label(x) && to === label(y)
          ? []
          : [`is called ${to}`],
        ...changes(x.node.params, y.node.params, ""),
        ...wires.flatMap((wire) => {
          const [p, q] = [x.node.wires[wire], y.node.wires[wire]]
          if (p !== undefined && q !== undefined && pairs.get(initialOf(p).id)?.id === initialOf(q).id) return []
          return [`${wire}: ${p === undefined ? "none" : inA(p)} → ${q === undefined ? "none" : inB(q)}`]
        })
      ]
      return found.length === 0 ? [] : [{ name, changes: found }]
    }),
    removed: shown(a).filter(({ id }) => !pairs.has(id)).map((x) => titled(inA(x), x)),
    added: shown(b).filter(({ id }) => !other.has(id)).map((y) => titled(inB(y), y))
  }
}
