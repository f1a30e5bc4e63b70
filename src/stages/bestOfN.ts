import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { BestOfN } from "../../dsl/stages/BestOfN.ts"
import { groupedByPrompt, type ScoredRow } from "../data/rows.ts"
import { klOfBestOfN } from "../ledger/bounds.ts"
import { Judge } from "../rewards/judge.ts"
import { bestOfNWeights } from "../sampling/bestOfN.ts"
import { estimate, type ModelReport, type Report } from "../store/report.ts"
import { RunLog } from "../store/runLog.ts"
import type { Scope } from "../training/scope.ts"

/** Reports best-of-n for each size; see `dsl/stages/BestOfN.ts`. */
export const bestOfN = Effect.fn("bestOfN")(function*(
  stage: BestOfN,
  wires: { readonly completions: ReadonlyArray<ScoredRow> },
  scope: Scope
) {
  const [judge, log] = [yield* Judge, yield* RunLog]
  const groups = groupedByPrompt(wires.completions)
  const fewest = groups.reduce((fewest, { length }) => Math.min(fewest, length), Infinity)
  const largest = Math.max(...stage.sizes)
  if (largest > fewest) {
    return yield* new UnusableData({
      stage: scope.label,
      problem: `best of ${largest} needs ${largest} completions of every prompt, and one has ${fewest}`,
      remedy: "Raise completionsPerPrompt of Sample or leave that size out."
    })
  }
  yield* log.emit({ _tag: "Started", stage: scope.label, steps: stage.sizes.length, from: 0 })
  const { gold } = stage
  const given = gold === undefined
    ? null
    : groups.map((group) => group.map(({ completion, prompt }) => judge.gold(gold, prompt, completion)))
  const models: Array<ModelReport> = []
  const golds: Array<ReadonlyArray<number>> = []
  for (const [i, n] of stage.sizes.entries()) {
    const weights = groups.map((group) => bestOfNWeights(group.map(({ score }) => score), n))
    /** The expectation of a quantity of completions, for each prompt. */
    const expected = (of: (row: ScoredRow, p: number, j: number) => number) =>
      groups.map((group, p) => group.reduce((sum, row, j) => sum + weights[p]![j]! * of(row, p, j), 0))
    const own = given === null ? null : expected((_, p, j) => given[p]![j]!)
    if (own !== null) golds.push(own)
    models.push({
      name: `best of ${n}`,
      gold: own === null ? null : estimate(own),
      proxy: estimate(expected(({ score }) => score)),
      kl: null,
      klBound: klOfBestOfN(n),
      length: estimate(expected(({ tokens }) => tokens)),
      finished: estimate(expected(({ ended }) => ended ? 1 : 0)).mean,
      completions: groups.slice(0, stage.shown).map((group) =>
        group.slice(0, n).reduce((best, row) => row.score > best.score ? row : best).completion
      )
    })
    const { gold: golden, proxy } = models[i]!
    const metrics = {
      ...(golden === null ? {} : { gold: golden.mean }),
      proxy: proxy!.mean,
      kl_bound: klOfBestOfN(n)
    }
    yield* log.emit({ _tag: "Step", stage: scope.label, step: i + 1, steps: stage.sizes.length, tokens: 0, metrics })
  }
  yield* log.emit({ _tag: "Finished", stage: scope.label, tokens: 0 })
  const last = golds.at(-1) ?? []
  const report: Report = {
    models,
    rewardAccuracy: null,
    prompts: groups.slice(0, stage.shown).map(([row]) => row!.prompt),
    goldGain: golds.slice(0, -1).map((earlier, i) => ({
      from: models[i]!.name,
      to: models.at(-1)!.name,
      difference: estimate(last.map((x, p) => x - earlier[p]!))
    }))
  }
  return report
})
