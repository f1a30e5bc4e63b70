/** The lines of `keel plan` about stages that do not fit, and about changes that make them fit. */
import { size } from "../../dsl/Size.ts"
import { change, more, remedy, why } from "../planning/advice.ts"
import type { Misfit, Overflow } from "../planning/fits.ts"
import { markdown } from "../report/table.ts"

/** Why a stage does not fit, and which other stages have the same problem. */
export const reasons = (of: Overflow, whose: string): ReadonlyArray<string> => [
  why(of, whose),
  ...(of.alike.length === 0 ? [] : [`The same holds of ${of.alike.join(", ")}.`])
]

/** Why a stage does not fit, the advice, and every change that was tried. */
export const misfit = (of: Misfit, whose: string): string => {
  const [best] = of.verdicts
  return [
    ...reasons(of, best!.fits && best!.changes.length === 0 ? `${whose} without micro-batches` : whose),
    remedy(of),
    "",
    markdown([
      ["change", "result", "needs", "cost", ""],
      ...of.verdicts.map((verdict) => [
        change(verdict),
        verdict.result === "another" ? "another: last resort" : verdict.result,
        size(verdict.bytes),
        more(verdict.cost),
        verdict.fits ? "fits" : `${size(verdict.bytes - of.room)} too much`
      ])
    ])
  ].join("\n")
}
