/** Fetches the models and data sets of the Hugging Face hub that a pipeline names. */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { describedIn, namedBy, type Origin } from "../../dsl/Source.ts"
import { split } from "../data/hubFiles.ts"
import { modelFile } from "../model/checkpoint.ts"
import { filesOf as adapterFiles } from "../model/adapter.ts"
import { isHub, parsed, type Repo } from "../model/hub.ts"
import { type Choose, ensured, Unfetched } from "../model/hubFetch.ts"

/** The names of the hub in a pipeline, each once. */
const namesIn = (root: Artifact.Any, described: boolean): ReadonlyArray<string> => [
  ...new Set(
    Artifact.lineage(root).flatMap(({ node: { op, params } }) => {
      const { adapter, origin, path } = params as {
        readonly path?: unknown
        readonly adapter?: unknown
        readonly origin?: Origin
      }
      const all = op === "Source"
        ? described || describedIn(origin!) === undefined ? [namedBy(origin!)] : []
        : op === "Checkpoint"
        ? [path, adapter]
        : []
      return all.flat().filter((one) => typeof one === "string" && isHub(one)) as ReadonlyArray<string>
    })
  )
]

const ofModel = (repo: Repo): Choose => (entries) => {
  const files = entries.map(({ path }) => path).filter((path) => modelFile(path) || adapterFiles.includes(path))
  return files.length > 0 ? files : new Unfetched({
    name: `hf://${repo.name}@${repo.revision}`,
    problem: "it has neither config.json nor safetensors",
    remedy: "Give a model in Hugging Face's layout with model.safetensors."
  })
}

interface FetchOptions {
  /** Branches and tags are resolved anew. */
  readonly again?: boolean
  /** Data sets too that the description says enough of to plan with them; default: true. */
  readonly described?: boolean
}

/** Everything of the hub that a pipeline names, in the cache. How many names. */
export const fetched = Effect.fn("fetch")(function*(root: Artifact.Any, options: FetchOptions = {}) {
  const names = namesIn(root, options.described ?? true)
  for (const name of names) {
    const found = parsed(name)
    if (found === undefined) {
      return yield* new Unfetched({
        name,
        problem: "it is no name of the hub",
        remedy: 'Names are "owner/name", of letters, digits, ".", "_" and "-".'
      })
    }
    const { repo } = found
    yield* ensured(repo, (repo.type === "dataset" ? split : ofModel)(repo), options)
  }
  return names.length
})
