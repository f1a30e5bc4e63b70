/** What does not fit, and what would: the lines of `keel plan`, and the remedy of a run that is refused. */
import type { Fit, Misfit, Verdict } from "../interpreters/fits.ts"
import { markdown } from "./table.ts"

export const bytes = (x: number): string =>
  x < 2 ** 30 ? `${(x / 2 ** 20).toFixed(1)} MiB` : `${(x / 2 ** 30).toFixed(1)} GiB`

const written = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

/** As on a command line. */
export const settings = ({ changes }: Verdict): string =>
  changes.map(({ path, value }) => {
    const set = `${path}=${written(value)}`
    return `--set ${/["{ ]/u.test(set) ? `'${set}'` : set}`
  }).join(" ")

const parts = ({ microBatches }: Pick<Verdict, "microBatches">): string =>
  microBatches === undefined
    ? ""
    : `micro-batches of ${
      microBatches.microBatchTokens!.toLocaleString("en-US")
    } tokens, ${microBatches.slots} sampled at a time`

const share = (cost: number): string => {
  const more = Math.round(100 * (cost - 1))
  return more === 0 ? "as before" : `${more > 0 ? "+" : "−"}${Math.abs(more)} %`
}

const said = { "the same": "the same", "about the same": "about the same", "another": "another: last resort" } as const

const change = (verdict: Verdict): string =>
  [settings(verdict), parts(verdict)].filter((text) => text !== "").join(", with ")

/** Why it does not fit, in one line. */
const why = ({ bytes: needed, phase, room, stage, term }: Misfit, whose: string): string =>
  `${stage} does not fit ${whose}: it takes ${bytes(needed)}, ${bytes(needed - room)} too much, in its phase ${phase}; `
  + `most of it is ${term.what}, ${bytes(term.bytes)}.`

const advice = ({ verdicts }: Misfit): string => {
  const [best] = verdicts
  if (!best!.fits) {
    return `Nothing tried fits: the smallest needs ${bytes(best!.bytes)} (${change(best!)}). Take a smaller model.`
  }
  if (best!.changes.length === 0) return `It will be run in ${parts(best!)}: the same result.`
  return `What changes least: ${settings(best!)}${best!.result === "another" ? " (it makes something else)" : ""}.`
}

/** `whose` is what has no more room: a device, a cap. */
export const misfit = (of: Misfit, whose: string): string =>
  [
    why(of, whose),
    advice(of),
    "",
    markdown([
      ["change", "result", "needs", "cost", ""],
      ...of.verdicts.map((verdict) => [
        change(verdict) || "none",
        said[verdict.result],
        bytes(verdict.bytes),
        share(verdict.cost),
        verdict.fits ? "fits" : `${bytes(verdict.bytes - of.room)} too much`
      ])
    ])
  ].join("\n")

/** The same in a sentence or two. */
export const remedy = (of: Misfit): string => advice(of)

export const misfits = ({ misfits }: Fit, whose: (of: Misfit) => string): string =>
  misfits.map((of) => misfit(of, whose(of))).join("\n\n")
