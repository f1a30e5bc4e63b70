/** Upper bounds on the number of rows, from the description alone, and numbers that do not divide them. */
import * as Artifact from "../../../dsl/Artifact.ts"
import { type Origin, rowsIn } from "../../../dsl/Source.ts"
import { definitionOf, fieldsOf } from "../../../dsl/Stage.ts"

/** Follows data back, once per artefact (`Mix` of `Mix` would double). `Infinity` if the description has no bound. */
const following = (which: "rows" | "candidates", reads: (origin: Origin) => number = () => NaN) => {
  const follow = Artifact.derived<number>((artifact, known) => {
    const { params, wires } = artifact.node
    const { origin } = fieldsOf(artifact)
    const read = origin === undefined ? NaN : reads(origin)
    if (!Number.isNaN(read)) return read
    const on = (wire: string): number => wires[wire] === undefined ? Infinity : known(wires[wire])
    const { [which]: bound, wires: all = {} } = definitionOf(artifact.node) ?? {}
    return bound === undefined
      ? Infinity
      : typeof bound === "string"
      ? on(bound)
      : bound(params, Object.fromEntries(Object.keys({ ...all, ...wires }).map((wire) => [wire, on(wire)])))
  })
  return (artifact: Artifact.Any | undefined): number => artifact === undefined ? Infinity : follow(artifact)
}

/** Rows of some data at most. */
export const rowsAtMost = following("rows")

/** The same, of data whose number of rows is known: a file's limit is no number of rows. */
export const rowsMade = following("rows", rowsIn)

/** Completions of a prompt at most, if all prompts are different. */
const candidatesAtMost = following("candidates")

/** Batches larger than the data, a warm-up longer than the stage, more selected rows than there are. */
export const divisions = (artifact: Artifact.Any): ReadonlyArray<string> => {
  const { params, wires } = artifact.node
  const { compares, passesOver } = definitionOf(artifact.node)!
  const found: Array<string> = []
  if (passesOver !== undefined) {
    const [wire, times] = typeof passesOver === "string" ? [passesOver, 1] as const : passesOver(params, wires)
    const rows = times * rowsAtMost(wires[wire])
    const { batchSize = 1, batchTokens, epochs, steps: given, warmupSteps = 0 } = fieldsOf(artifact)
    // A batch measured in tokens may have any number of rows.
    if (batchTokens === undefined && batchSize > rows) {
      found.push(
        `batchSize ${batchSize} is more than the ${rows} rows that ${wire} has: some would be in a batch twice; take ${rows} or fewer, or more data`
      )
    }
    const steps = epochs === undefined || given !== undefined
      ? Infinity
      : Math.max(1, Math.ceil(rows * epochs / (batchTokens === undefined ? batchSize : 1)))
    if (warmupSteps > steps) {
      found.push(
        `warmupSteps ${warmupSteps} is more than the ${steps} steps of ${epochs} epoch${
          epochs === 1 ? "" : "s"
        } over ${wire}: learningRate would never be reached; take ${steps} or fewer`
      )
    }
  }
  const [what, asked] = compares?.(params) ?? ["", 0]
  const most = candidatesAtMost(wires["completions"])
  if (asked > most) {
    found.push(
      `${what} needs ${asked} completions of a prompt, and there ${
        most === 1 ? "is" : "are"
      } ${most}: raise completionsPerPrompt of Sample`
    )
  }
  return found
}
