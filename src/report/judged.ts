/** What judges said of themselves, in words. */
import type { Event } from "../store/runLog.ts"

export const judgedText = ({ judge, judged, stage }: Extract<Event, { readonly _tag: "Judged" }>): string => {
  const of = (name: string): number => judged[`judge/${name}`] ?? 0
  const counts = [["unreadable", "unreadable"], ["worst", "given the worst score"], ["ties", "ties"], [
    "contradictions",
    "contradictions"
  ], ["alone", "alone with its prompt, half a win each"]] as const
  const counted = counts.flatMap(([name, text]) => of(name) === 0 ? [] : [`${of(name)} ${text}`])
  const has = (name: string): boolean => judged[`judge/${name}`] !== undefined
  return [
    `${stage}: judge ${judge}, ${of("questions")} questions`,
    ...counted,
    ...(of("left_out") === 0 ? [] : [`${of("left_out")} left out`]),
    ...(has("agreement") ? [`agrees with itself in ${(100 * of("agreement")).toFixed(1)} %`] : []),
    ...(has("position_bias") ? [`prefers the first answer by ${(100 * of("position_bias")).toFixed(1)} points`] : [])
  ].join(", ")
}

/** A line for each stage that was judged. */
export const judged = (events: ReadonlyArray<Event>): ReadonlyArray<string> => [
  ...new Map(events.flatMap((event) => event._tag === "Judged" ? [[event.stage, `${judgedText(event)}.`]] : []))
    .values()
]
