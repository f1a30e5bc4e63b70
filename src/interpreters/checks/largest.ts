/** Numbers that no machine can hold, refused before anything is read or made: a slip of the keyboard would otherwise end as a full memory. */
import type * as Artifact from "../../../dsl/Artifact.ts"
import { rowsMade } from "./rows.ts"

/** Rows of one data set: a map of JavaScript has no more entries. */
const rows = 2 ** 24

/** The largest value of each field, wherever it stands. Limits on rows to read, and intervals, may be any number. */
const largest: Readonly<Record<string, number>> = {
  count: rows,
  counts: rows,
  batchSize: rows,
  measureSamples: rows,
  completionsPerPrompt: 2 ** 20,
  groupSize: 2 ** 20,
  sizes: 2 ** 20,
  steps: 1e8,
  warmupSteps: 1e8,
  valueWarmupSteps: 1e8,
  epochs: 1e6,
  numPpoEpochs: 1e6,
  numIterations: 1e6,
  numMiniBatches: 1e6,
  maxNewTokens: 2 ** 24,
  context: 2 ** 24,
  dim: 2 ** 20,
  ffn: 2 ** 22,
  layers: 2 ** 16,
  heads: 2 ** 16,
  kvHeads: 2 ** 16,
  rank: 2 ** 16
}

/** A sentence for each field of a stage that is too large, and for rows that are too many together. */
export const tooLarge = (artifact: Artifact.Any): ReadonlyArray<string> => {
  const found: Array<string> = []
  /** `most` is that of the nearest field with a name of the table: `counts` holds names of data. */
  const look = (value: unknown, path: string, most: number): void => {
    if (typeof value === "number" && value > most) {
      found.push(`${path} is ${value}, and may be at most ${most}`)
    }
    if (typeof value !== "object" || value === null) return
    for (const [name, of] of Object.entries(value)) {
      const inside = path === "" ? name : `${path}.${name}`
      look(of, inside, Object.hasOwn(largest, name) ? largest[name]! : most)
    }
  }
  look(artifact.node.params, "", Infinity)
  const made = rowsMade(artifact)
  const inputs = Object.values(artifact.node.wires).map(rowsMade)
  if (
    found.length === 0 && Number.isFinite(made) && made > rows && !inputs.some((n) => Number.isFinite(n) && n > rows)
  ) {
    found.push(
      `it makes ${made} rows, and a data set may have at most ${rows}: take fewer prompts, or a smaller completionsPerPrompt`
    )
  }
  return found
}
