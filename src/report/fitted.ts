import type { Event } from "../store/runLog.ts"

/** How many rows of a stage were cut or left out, in words. */
export const fittedText = (
  { dropped, longest, most, rows, truncated }: Omit<Extract<Event, { readonly _tag: "Fitted" }>, "_tag" | "stage">
): string => {
  const count = (n: number): string => n.toLocaleString("en-US")
  const [what, some] = dropped > 0 ? ["dropped", dropped] : ["truncated", truncated]
  return `${what} ${count(some)} of ${count(rows)} rows${
    most === undefined ? "" : `, longer than ${count(most)} tokens (the longest has ${count(longest!)})`
  }`
}

/** A line for each stage whose rows were cut or left out. */
export const fitted = (events: ReadonlyArray<Event>): ReadonlyArray<string> => [
  // A stage that goes on after a stop says it again.
  ...new Set(events.flatMap((event) => event._tag === "Fitted" ? [`${event.stage}: ${fittedText(event)}.`] : []))
]
