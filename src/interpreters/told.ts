/**
 * The events of a stage that are kept beside its result, and told again when it is reused: KL as measured, and the cap or peak that ended it.
 * Kept events name models by their keys, because another description may reuse the result.
 */
import type * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import type { KlCap } from "../../dsl/KlCap.ts"
import { type Event, type Measurement, OverBudget } from "../store/runLog.ts"
import { isDue, type MeasuredHow, passedBy } from "../training/measuredWithin.ts"

interface Cap extends KlCap {
  readonly key: string
}

/** The events to keep: `measured` names models by their keys already, `ends` by their labels. */
export const toTell = (
  { node }: Artifact.Any,
  caps: ReadonlyArray<Cap>,
  measured: ReadonlyArray<Measurement>,
  ends: ReadonlyArray<Event>
): ReadonlyArray<Event> => {
  const stage = node.op.toLowerCase()
  const keyOf = (from: string): string => caps.find((cap) => label(cap.from) === from)?.key ?? from
  return [
    ...measured.map((one): Event => ({ _tag: "Measured", measurement: { ...one, stage } })),
    ...ends.map((end): Event =>
      end._tag === "OverBudget" ? { ...end, stage, from: keyOf(end.from) } : { ...end as typeof end, stage } as Event
    )
  ]
}

/** The events to tell of a reused result under these caps: warnings of caps that were passed, and its early end. */
export const retold = (
  artifact: Artifact.Any,
  caps: ReadonlyArray<Cap>,
  how: MeasuredHow,
  told: ReadonlyArray<Event>
): ReadonlyArray<Event> => {
  const stage = label(artifact)
  const last = Math.max(1, ...told.flatMap((event) => event._tag === "Measured" ? [event.measurement.step] : []))
  return told.flatMap((event): ReadonlyArray<Event> => {
    if (event._tag === "Measured") {
      const { measurement } = event
      if (!isDue(caps, how, measurement.step, last)) return []
      return caps.flatMap((cap) => {
        const by = cap.whenSpent === "warn" && cap.key === measurement.from ? passedBy(cap, measurement) : undefined
        return by === undefined
          ? []
          : [OverBudget.make({ stage, step: measurement.step, from: label(cap.from), ...by, kept: null })]
      })
    }
    if (event._tag === "OverBudget") {
      return [{ ...event, stage, from: label(caps.find(({ key }) => key === event.from)!.from) }]
    }
    return event._tag === "PeakPassed" ? [{ ...event, stage }] : []
  })
}
