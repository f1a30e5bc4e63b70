import { stream } from "../sampling/random.ts"
import { groupedByPrompt, type PreferenceRow, type ScoredRow } from "./rows.ts"

/** A pair for each prompt whose completions do not all score the same; see `dsl/stages/Pair.ts`. */
export const pair = (
  rows: ReadonlyArray<ScoredRow>,
  rejected: "random-lower" | "worst",
  key: string
): ReadonlyArray<PreferenceRow> =>
  groupedByPrompt(rows).flatMap((group, i): ReadonlyArray<PreferenceRow> => {
    const chosen = group.reduce((best, row) => row.score > best.score ? row : best)
    const lower = group.filter(({ score }) => score < chosen.score)
    if (lower.length === 0) return []
    const worse = rejected === "worst"
      ? lower.reduce((worst, row) => row.score < worst.score ? row : worst)
      : lower[stream(`${key}/${i}`).int(lower.length)]!
    return [{
      prompt: chosen.prompt,
      chosen: chosen.completion,
      rejected: worse.completion,
      ended: { chosen: chosen.ended, rejected: worse.ended }
    }]
  })
