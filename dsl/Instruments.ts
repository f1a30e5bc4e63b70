/** The parameters that decide a node's result: all but the instruments, which only observe it or save it on the way. */
import type * as Schema from "effect/Schema"
import type * as Artifact from "./Artifact.ts"
import { manners } from "./Judge.ts"
import { klSpending, measuring } from "./KlSpending.ts"
import { isBuiltIn } from "./Stage.ts"

type Params = Readonly<Record<string, Schema.Json>>

/** How KL is measured. */
const measures = ["measureEvery", ...Object.keys(measuring)]

/** By their names, which mean the same in every operation of Keel. `family` is a name alone; `recompute` gives the same bits. */
const instruments: ReadonlySet<string> = new Set([
  ...Object.keys(klSpending).filter((name) => name !== "maxNewTokens"),
  ...measures,
  "checkpointEvery",
  "recompute",
  "family"
])

const without = (params: Params, names: ReadonlySet<string>): Params =>
  Object.fromEntries(Object.entries(params).filter(([name]) => !names.has(name)))

const endpointManners: ReadonlySet<string> = new Set(Object.keys(manners))

/** Without the ways in which an endpoint is asked, wherever one stands. */
const plain = (value: Schema.Json): Schema.Json => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(plain)
  const { _tag } = value as Params
  const kept = _tag === "Endpoint" ? without(value as Params, endpointManners) : value as Params
  return Object.fromEntries(Object.entries(kept).map(([name, of]) => [name, plain(of)]))
}

/**
 * The parameters of a node without its instruments. All of them, where gold reward on the measured samples ends the stage, and of an
 * operation from outside Keel, whose code may use any.
 */
export const deciding = ({ node }: Artifact.Any): Params => {
  const params = node.params as Params
  const { observe } = params as { readonly observe?: { readonly stopAtPeak?: unknown } }
  return isBuiltIn(node.op) && observe?.stopAtPeak === undefined
    ? plain(without(params, instruments)) as Params
    : params
}

/** The parameters of the measurements that KL caps are held against. */
export const measuresOf = ({ node }: Artifact.Any): Params => {
  const params = node.params as Params
  return Object.fromEntries(measures.flatMap((name) => Object.hasOwn(params, name) ? [[name, params[name]!]] : []))
}
