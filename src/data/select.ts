import type { Rule } from "../../dsl/stages/Select.ts"
import { stream } from "../sampling/random.ts"
import { groupedByPrompt, type ScoredRow } from "./rows.ts"

/** The `keep` best, as they stood; of equal scores the earlier. */
const best = (rows: ReadonlyArray<ScoredRow>, keep: number): ReadonlyArray<ScoredRow> => {
  const kept = new Set(rows.map((_, i) => i).sort((a, b) => rows[b]!.score - rows[a]!.score || a - b).slice(0, keep))
  return rows.filter((_, i) => kept.has(i))
}

/** Which candidates a rule keeps; see `dsl/stages/Select.ts`. */
export const select = (rows: ReadonlyArray<ScoredRow>, rule: Rule): ReadonlyArray<ScoredRow> => {
  switch (rule._tag) {
    case "PerPrompt":
      return groupedByPrompt(rows).flatMap((group) => best(group, rule.keep))
    case "Overall":
      return best(rows, rule.keep)
    case "Accept":
      return rows.filter(({ score }) => score >= rule.atLeast)
  }
}

const atRandom = <A>(rows: ReadonlyArray<A>, keep: number, key: string): ReadonlyArray<A> => {
  const kept = new Set(stream(key).shuffle(rows.map((_, i) => i)).slice(0, keep))
  return rows.filter((_, i) => kept.has(i))
}

/** As many as the rule keeps, of each prompt or of all as it does, whatever their scores. */
export const control = (rows: ReadonlyArray<ScoredRow>, rule: Rule, key: string): ReadonlyArray<ScoredRow> =>
  rule._tag === "PerPrompt"
    ? groupedByPrompt(rows).flatMap((group, i) => atRandom(group, rule.keep, `${key}/${i}`))
    : atRandom(rows, select(rows, rule).length, key)
