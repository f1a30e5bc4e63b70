/** Over-optimisation in the evaluations of a run: gold reward against √KL, with the law of RL fitted (`ledger/overoptimization.ts`). */
import { fitGold, peakOf } from "../ledger/overoptimization.ts"
import type { Report } from "../store/report.ts"
import { markdown } from "./table.ts"

/** Below this nothing was moved: k1 of a model from itself is exactly 0. */
const itself = 1e-9

/**
 * The models of an evaluation with proxy, gold and *measured* KL (a bound is no measurement, so best-of-n is left out), and the fit
 * R(d) = d (a − b log d) of gold above the initial model's; or the line that says why there is none.
 */
export const frontier = (report: Report): string => {
  const points = report.models.flatMap(({ gold, kl, name, proxy }) =>
    kl === null || proxy === null
      ? []
      : [{ name, d: Math.sqrt(Math.max(0, kl.mean)), gold: gold.mean, proxy: proxy.mean }]
  )
  if (points.length === 0) return "No over-optimisation frontier: no model has proxy, gold and measured KL together."
  const shown = markdown([
    ["model", "√KL", "proxy", "gold"],
    ...points.map(({ d, gold, name, proxy }) => [name, ...[d, proxy, gold].map((x) => x.toFixed(3))])
  ])
  const initial = report.models.find(({ kl }) => kl !== null && Math.abs(kl.mean) < itself)
  if (initial === undefined) {
    return `${shown}\n\nNo law fitted: the initial model is not among the models reported on, and gold is counted from its.`
  }
  const moved = points.filter(({ d }) => d > 0).map(({ d, gold }) => ({ d, gold: gold - initial.gold.mean }))
  const fit = moved.length < 3 ? null : fitGold("rl", moved)
  if (fit === null) {
    return `${shown}\n\nNo law fitted: it needs 3 models at different distances for standard errors, and ${moved.length} moved.`
  }
  const { law: { a, b }, law, standardError } = fit
  const peak = peakOf(law)
  const [nearest, furthest] = [Math.min(...moved.map(({ d }) => d)), Math.max(...moved.map(({ d }) => d))]
  const where = peak === null
    ? "no peak: the fitted gold never falls"
    : `peak of gold ${peak.gold >= 0 ? "+" : ""}${peak.gold.toFixed(3)} at √KL ${peak.d.toFixed(3)}${
      peak.d < nearest || peak.d > furthest ? ", outside of what was measured: an extrapolation" : ""
    }`
  const coefficients = [["a", a, standardError.a], ["b", b, standardError.b]] as const
  return `${shown}\n\nGold − initial = d (a − b log d), d = √KL: ${
    coefficients.map(([name, x, error]) => `${name} ${x.toFixed(3)} ± ${error.toFixed(3)}`).join(", ")
  }; ${where}.`
}
