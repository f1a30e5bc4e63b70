/** KL caps and peaks of gold reward that a run passed without failing, and the reaction of the stage that its description asks for. */
import type { Event } from "../store/runLog.ts"

const named = { mean: "mean", p95: "p95 over prompts of", max: "max over prompts of" } as const

/**
 * A line for each: where a stage rolled back or stopped, or how far it went beyond a cap that only warns. Nats per sequence. Repeated
 * events (after an interruption, or of a stage that was made before) give a single line.
 */
export const passed = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const lines = new Map<string, { readonly line: string; readonly steps: Map<number, number> }>()
  for (const event of events) {
    if (event._tag === "PeakPassed") {
      const { decline: { mean, standardError }, kept, stage, step } = event
      const line = `${stage} stopped at step ${step} and made the policy of step ${kept}: gold reward had fallen by ${
        mean.toFixed(2)
      } ± ${standardError.toFixed(2)} from there.`
      lines.set(line, { line, steps: new Map() })
    }
    if (event._tag !== "OverBudget") continue
    const { cap, from, kept, spent, stage, statistic, step, undecided } = event
    const what = `${named[statistic]} KL from ${from}`
    const told = undecided === true ? ", which the samples do not tell it from" : ""
    const line = kept === null
      ? undecided === true
        ? `${stage} went on, as the cap says, where samples do not tell ${what} from its cap ${cap} nats per sequence`
        : `${stage} went on above its cap, as the cap says: ${what} passed ${cap} nats per sequence`
      : `${stage} rolled back at step ${step} to the weights of step ${kept.step}, the last within its caps: ${what} was ${
        spent.toFixed(3)
      } nats per sequence, cap ${cap}${told}.`
    const before = lines.get(line) ?? { line, steps: new Map<number, number>() }
    lines.set(line, before)
    if (kept === null) before.steps.set(step, spent)
  }
  return [...lines.values()].map(({ line, steps }) =>
    steps.size === 0
      ? line
      : `${line} at step${steps.size === 1 ? "" : "s"} ${[...steps.keys()].join(", ")}; at most ${
        Math.max(...steps.values()).toFixed(3)
      }.`
  )
}
