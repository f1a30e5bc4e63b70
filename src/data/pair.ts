import type { Pair } from "../../dsl/stages/Pair.ts"
import { stream } from "../sampling/random.ts"
import { groupedByPrompt, type PreferenceRow, type RankingRow, type ScoredRow } from "./rows.ts"

/** A completion that others are better or worse than. */
export type Rated = Pick<ScoredRow, "prompt" | "completion" | "ended" | "score">

/** The completions of rankings, with their places as scores. */
export const rated = (rows: ReadonlyArray<RankingRow>): ReadonlyArray<Rated> =>
  rows.flatMap(({ completions, prompt, ranks }) =>
    completions.map((completion, i) => ({ prompt, completion, ended: true, score: -ranks[i]! }))
  )

/** The pairs of each prompt whose completions do not all score the same; see `dsl/stages/Pair.ts`. */
export const pair = (
  rows: ReadonlyArray<Rated>,
  { margins, minMargin = 0, rejected }: Pick<Pair, "rejected" | "minMargin" | "margins">,
  key: string
): ReadonlyArray<PreferenceRow> => {
  const below = (group: ReadonlyArray<Rated>, { score }: Rated): ReadonlyArray<Rated> =>
    group.filter((row) => row.score < score && score - row.score >= minMargin)
  const paired = (better: Rated, worse: Rated): PreferenceRow => ({
    prompt: better.prompt,
    chosen: better.completion,
    rejected: worse.completion,
    ...(margins === true ? { margin: better.score - worse.score } : {}),
    ended: { chosen: better.ended, rejected: worse.ended }
  })
  return groupedByPrompt(rows).flatMap((group, i): ReadonlyArray<PreferenceRow> => {
    if (rejected === "every-lower") return group.flatMap((row) => below(group, row).map((worse) => paired(row, worse)))
    const chosen = group.reduce((best, row) => row.score > best.score ? row : best)
    const lower = below(group, chosen)
    if (lower.length === 0) return []
    return [paired(
      chosen,
      rejected === "worst"
        ? lower.reduce((worst, row) => row.score < worst.score ? row : worst)
        : lower[stream(`${key}/${i}`).int(lower.length)]!
    )]
  })
}
