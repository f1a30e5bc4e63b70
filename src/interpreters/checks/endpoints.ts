/** The endpoints that a pipeline asks, their prices, and their keys in the environment. */
import type * as Schema from "effect/Schema"
import * as Artifact from "../../../dsl/Artifact.ts"
import { label } from "../../../dsl/Render.ts"

/** An unchecked `Endpoint`. */
interface Given {
  readonly key?: unknown
  readonly price?: { readonly currency?: unknown }
}

const endpointsIn = (params: Schema.Json): ReadonlyArray<Given> =>
  typeof params !== "object" || params === null
    ? []
    : (params as { readonly _tag?: unknown })._tag === "Endpoint"
    ? [params as Given]
    : Object.values(params).flatMap(endpointsIn)

/** The currencies in which a node pays its judges. */
export const feesIn = ({ node: { params } }: Artifact.Any): ReadonlyArray<string> => [
  ...new Set(endpointsIn(params).flatMap(({ price }) => typeof price?.currency === "string" ? [price.currency] : []))
]

/** Keys of judges that are not in the environment. */
export const lackingKeys = (
  root: Artifact.Any,
  asks: (artifact: Artifact.Any) => boolean = () => true,
  environment: Readonly<Record<string, string | undefined>> = process.env
): ReadonlyArray<{ readonly stage: string; readonly problem: string }> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const keys = !asks(artifact)
      ? []
      : endpointsIn(artifact.node.params).flatMap(({ key }) => typeof key === "string" ? [key] : [])
    return [...new Set(keys)].filter((key) => (environment[key] ?? "").trim() === "").map((key) => ({
      stage: label(artifact),
      problem: `the environment variable ${key}, which has the key of its judge, is not set: export ${key}=…`
    }))
  })
