/** The plan's misfits, and the changes that make stages fit, as text. */
import { size } from "../../dsl/Size.ts"
import type { MicroBatches } from "../engine/engine.ts"
import type { Fitting, Misfit, Verdict } from "./fits.ts"

const written = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

/** The changes as options of the command line. */
const settings = ({ changes }: Verdict): string =>
  changes.map(({ path, value }) => {
    const set = `${path}=${written(value)}`
    return `--set ${/["{ ]/u.test(set) ? `'${set}'` : set}`
  }).join(" ")

/** 64 slots are the maximum and are not mentioned. */
const parts = ({ microBatchTokens, slots }: MicroBatches): string =>
  `micro-batches of ${microBatchTokens!.toLocaleString("en-US")} tokens${
    slots === 64 ? "" : `, ${slots} sampled at a time`
  }`

/** The cost relative to the cost without a memory limit. */
export const more = (cost: number): string => {
  const share = Math.round(100 * (cost - 1))
  return share === 0 ? "as before" : `${share > 0 ? "+" : "−"}${Math.abs(share)} %`
}

/** All changes: the user's settings and the run's own micro-batches. */
export const change = (verdict: Verdict): string => {
  const own = verdict.microBatches === undefined ? [] : [parts(verdict.microBatches)]
  return [...(verdict.changes.length === 0 ? [] : [settings(verdict)]), ...own].join(", with ")
}

/** Why a stage does not fit. `whose` names the limit: a device or a cap. */
export const why = (
  { bytes: needed, phase, room, stage, term }: Pick<Misfit, "bytes" | "phase" | "room" | "stage" | "term">,
  whose: string
): string =>
  `${stage} does not fit ${whose}: it takes ${size(needed)}, ${size(needed - room)} too much, in its phase ${phase}; `
  + `most of it is ${term.what}, ${size(term.bytes)}.`

/** The advice for a misfit. */
export const remedy = ({ verdicts }: Misfit): string => {
  const best = verdicts[0]!
  if (!best.fits) {
    return `No tried change fits: the smallest needs ${size(best.bytes)} (${change(best)}). Take a smaller model.`
  }
  if (best.changes.length === 0) return `It is run in ${parts(best.microBatches!)}, with the same result.`
  const instead = best.result === "another" ? ", which changes the result: no gentler change fits" : ""
  return `The least that helps: ${settings(best)} (${size(best.bytes)})${instead}.`
}

/** A line for each stage that runs in smaller parts than the engine's default. */
export const smaller = ({ microBatches, plain, planned }: Omit<Fitting, "misfits">): ReadonlyArray<string> =>
  planned.stages.flatMap((stage) => {
    const by = microBatches.get(stage.stage)
    const before = plain.stages.find((one) => one.stage === stage.stage)
    if (by === undefined || before === undefined) return []
    const added = stage.accumulated > 1 ? `, ${stage.accumulated.toLocaleString("en-US")} for an update` : ""
    const flops = stage.flops === before.flops ? "" : `, FLOPs ${more(stage.flops / before.flops)}`
    return [`${stage.stage}: ${parts(by)}${added}: ${size(stage.bytes)} instead of ${size(before.bytes)}${flops}.`]
  })
