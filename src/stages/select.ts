import * as Effect from "effect/Effect"
import type { Select } from "../../dsl/stages/Select.ts"
import { mapped } from "../data/lazyArray.ts"
import { type DemonstrationRow, placesByPrompt, type ScoredRow } from "../data/rows.ts"
import { control, select as selected } from "../data/select.ts"
import { accepted } from "../ledger/acceptance.ts"
import { dataStage } from "../training/dataStage.ts"
import type { Scope } from "../training/scope.ts"

const mean = (rows: ReadonlyArray<ScoredRow>): number => rows.reduce((sum, { score }) => sum + score, 0) / rows.length

/**
 * Selects completions; see `dsl/stages/Select.ts`. `max_divergence` is D∞ from the law of the candidates to the law of
 * the kept completions, where it is known: at most log(n / k) for the k best of n, for the prompt with most candidates. `accepted/…` are
 * the estimates of a rule that accepts (`ledger/acceptance.ts`).
 */
export const select = Effect.fn("select")(function*(
  stage: Select,
  wires: { readonly completions: ReadonlyArray<ScoredRow> },
  scope: Scope
) {
  const { rule } = stage
  const { completions } = wires
  const kept = stage.control ? control(completions, rule, `${scope.stream}/control`) : selected(completions, rule)
  const furthest = (keep: number): number =>
    placesByPrompt(completions, ({ prompt }) => prompt).reduce(
      (most, { length }) => Math.max(most, Math.log(length / Math.min(keep, length))),
      0
    )
  const promptsOf = (rows: ReadonlyArray<{ readonly prompt: string }>) => mapped(rows, ({ prompt }) => prompt)
  yield* dataStage(scope, kept, () => ({
    problem: `none of ${completions.length} candidates is accepted; the best scores ${
      completions.reduce((most, { score }) => Math.max(most, score), -Infinity)
    }`,
    remedy: "Lower atLeast or sample more."
  }), () => ({
    "scores/mean": mean(completions),
    "scores/kept_mean": mean(kept),
    "kept": kept.length / completions.length,
    "rows/in": completions.length,
    "rows/out": kept.length,
    ...(rule._tag === "PerPrompt" && !stage.control && kept.length > 0
      ? { "max_divergence": furthest(rule.keep) }
      : {}),
    ...(rule._tag === "Accept" && !stage.control ? accepted(promptsOf(completions), promptsOf(kept)) : {})
  }))
  return mapped(kept, ({ completion, ended, prompt }): DemonstrationRow => ({ prompt, completion, ended }))
})
