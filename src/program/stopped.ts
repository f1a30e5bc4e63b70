import type { Event } from "../store/runLog.ts"

/** The point where a stopped run will continue, read from its events; null between two stages. */
export const goesOn = (events: ReadonlyArray<Event>): string | null => {
  const at = events.findLastIndex(({ _tag }) => _tag === "Started")
  const started = events[at]
  if (started?._tag !== "Started") return null
  const { from, stage, steps } = started
  let [done, kept] = [from, from]
  // Earlier events belong to an earlier process.
  for (const event of events.slice(at + 1)) {
    if (event._tag === "Finished" && event.stage === stage) return null
    if (event._tag === "Step" && event.stage === stage) done = event.step
    if (event._tag === "Checkpoint" && event.stage === stage) kept = event.step
  }
  const lost = done === kept
    ? ""
    : done - kept === 1
    ? ": the step after it is lost"
    : `: the ${done - kept} steps after it are lost`
  return kept === 0
    ? `${stage} begins again${lost === "" ? "" : `, its ${done} finished step${done === 1 ? "" : "s"} lost`}`
    : `${stage} goes on from step ${kept} of ${steps}, its last checkpoint${lost}`
}
