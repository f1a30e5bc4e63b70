/** How many rows there can be at most, and what does not divide among them. A description knows no more than upper bounds. */
import type * as Artifact from "../../../dsl/Artifact.ts"

type Params = Readonly<Record<string, any>>

const paramsOf = ({ node }: Artifact.Any): Params => node.params as Params

/** Follows data back, once for each artefact: `Mix` of `Mix` would double. */
const following = (bound: (artifact: Artifact.Any, of: (wire: string) => number) => number) => {
  const known = new Map<string, number>()
  const follow = (artifact: Artifact.Any | undefined): number => {
    if (artifact === undefined) return Infinity
    const before = known.get(artifact.id)
    if (before !== undefined) return before
    const found = bound(artifact, (wire) => follow(artifact.node.wires[wire]))
    known.set(artifact.id, found)
    return found
  }
  return follow
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, n) => total + n, 0)

const partsOf = ({ node }: Artifact.Any, of: (wire: string) => number): ReadonlyArray<number> =>
  Object.keys(node.wires).map(of)

/** Pairs among k. */
const pairs = (k: number): number => k * (k - 1) / 2

/** Rows of some data at most, `Infinity` where the description does not say. */
export const rowsAtMost = (artifact: Artifact.Any | undefined): number =>
  following((at, of) => {
    const params = paramsOf(at)
    switch (at.node.op) {
      case "Source":
        return params["origin"].count ?? params["origin"].limit ?? Infinity
      case "Compare":
        return of("prompts") * pairs(params["completionsPerPrompt"])
      case "Sample":
        return of("prompts") * params["completionsPerPrompt"]
      case "Score":
      case "Pair":
        return of("completions")
      case "Select":
        return Math.min(of("completions"), params["rule"]._tag === "Overall" ? params["rule"].keep : Infinity)
      case "Filter":
      case "Split":
      case "Deduplicate":
      case "Decontaminate":
        return of("of")
      case "Mix": {
        const { count, counts } = params["take"]
        return count ?? sum(counts === undefined ? partsOf(at, of) : Object.values<number>(counts))
      }
      default:
        return Infinity
    }
  })(artifact)

/** Completions of a prompt at most, of prompts that are all different. */
const candidatesAtMost = (artifact: Artifact.Any | undefined): number =>
  following((at, of) => {
    switch (at.node.op) {
      case "Sample":
        return paramsOf(at)["completionsPerPrompt"]
      case "Score":
        return of("completions")
      case "Filter":
      case "Split":
      case "Deduplicate":
      case "Decontaminate":
        return of("of")
      case "Mix":
        return sum(partsOf(at, of))
      default:
        return Infinity
    }
  })(artifact)

/** The wire with what a stage makes passes over, and how many rows it makes of each of its rows. */
const epochsOver = ({ node }: Artifact.Any, params: Params): readonly [wire: string, times: number] | undefined => {
  const { op, wires } = node
  switch (op) {
    case "Sft":
      return ["demonstrations", 1]
    case "RewardModeling":
    case "Dpo":
      return ["preferences", 1]
    case "Kto":
      return ["preferences", wires["preferences"]?.node.kind === "Preferences" ? 2 : 1]
    case "Distill":
      return wires["prompts"] === undefined ? ["demonstrations", 1] : ["prompts", params["completionsPerPrompt"]]
    case "Pretrain":
      return ["text", 1]
    default:
      return undefined
  }
}

/** What does not divide: batches larger than the data, a warm-up longer than the stage, more chosen than there are. */
export const divisions = (artifact: Artifact.Any): ReadonlyArray<string> => {
  const { op, wires } = artifact.node
  const params = paramsOf(artifact)
  const found: Array<string> = []
  const over = epochsOver(artifact, params)
  if (over !== undefined) {
    const [wire, times] = over
    const rows = times * rowsAtMost(wires[wire])
    const { batchSize, batchTokens, epochs, warmupSteps } = params
    // By tokens a batch is as full as its rows make it.
    if (batchTokens === undefined && batchSize > rows) {
      found.push(
        `batchSize ${batchSize} is more than the ${rows} rows that ${wire} has: some would be in a batch twice; take ${rows} or fewer, or more data`
      )
    }
    const steps = Math.max(1, Math.ceil(rows * epochs / (batchTokens === undefined ? batchSize : 1)))
    if (epochs !== undefined && warmupSteps > steps) {
      found.push(
        `warmupSteps ${warmupSteps} is more than the ${steps} steps of ${epochs} epoch${
          epochs === 1 ? "" : "s"
        } over ${wire}: learningRate would never be reached; take ${steps} or fewer`
      )
    }
  }
  if (op === "BestOfN" || op === "Pair" || op === "Select") {
    const most = candidatesAtMost(wires["completions"])
    const asked = op === "BestOfN"
      ? Math.max(...params["sizes"])
      : op === "Pair"
      ? 2
      : params["rule"]._tag === "PerPrompt"
      ? params["rule"].keep
      : 0
    if (asked > most) {
      const what = op === "BestOfN" ? `best of ${asked}` : op === "Pair" ? "a pair" : `keeping ${asked} of each prompt`
      found.push(
        `${what} needs ${asked} completions of a prompt, and there ${
          most === 1 ? "is" : "are"
        } ${most}: raise completionsPerPrompt of Sample`
      )
    }
  }
  return found
}
