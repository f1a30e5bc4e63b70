/** KL caps that were passed in a run that did not fail of it: what the stage did then, as its cap says (`whenSpent`). */
import type { Event } from "../store/runLog.ts"

const named = { mean: "mean", p95: "p95 over prompts of", max: "max over prompts of" } as const

/**
 * A line for each: where a stage rolled back, and how far beyond a cap one went on that only warns. Nats per sequence. A measurement
 * that was made again after an interruption is told once.
 */
export const capsPassed = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const passed = new Map<string, { readonly line: string; readonly steps: Map<number, number> }>()
  for (const event of events) {
    if (event._tag !== "OverBudget") continue
    const { cap, from, kept, spent, stage, statistic, step } = event
    const what = `${named[statistic]} KL from ${from}`
    const line = kept === null
      ? `${stage} went on above its cap, as the cap says: ${what} passed ${cap} nats per sequence`
      : `${stage} rolled back at step ${step} to the weights of step ${kept.step}, the last within its caps: ${what} was ${
        spent.toFixed(3)
      } nats per sequence, cap ${cap}.`
    const before = passed.get(line) ?? { line, steps: new Map<number, number>() }
    passed.set(line, before)
    if (kept === null) before.steps.set(step, spent)
  }
  return [...passed.values()].map(({ line, steps }) =>
    steps.size === 0
      ? line
      : `${line} at step${steps.size === 1 ? "" : "s"} ${[...steps.keys()].join(", ")}; at most ${
        Math.max(...steps.values()).toFixed(3)
      }.`
  )
}
