/** Stages under an observation of KL without held prompts to measure it on. */
import type { Event } from "../store/runLog.ts"

export const unmeasured = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const stages = [...new Set(events.flatMap((event) => event._tag === "Unmeasured" ? [event.stage] : []))]
  return stages.length === 0 ? [] : [
    `KL not measured in ${stages.length} stage${stages.length === 1 ? "" : "s"}: no held prompts (${
      stages.join(", ")
    }). ` +
    "Give the observation held and maxNewTokens."
  ]
}
