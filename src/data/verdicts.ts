/** Verdicts of people on completions, found by the texts of both. */
import type { CompletionRow, PreferenceRow, ScoredRow } from "./rows.ts"

const keyOf = (prompt: string, completion: string): string => JSON.stringify([prompt, completion])

/** The mean of the verdicts on each completion, null where there is none, and how many verdicts are on none of them. */
export const scoresIn = (
  completions: ReadonlyArray<CompletionRow>,
  verdicts: ReadonlyArray<ScoredRow>
): { readonly scores: ReadonlyArray<number | null>; readonly unmatched: number } => {
  const known = new Set(completions.map(({ completion, prompt }) => keyOf(prompt, completion)))
  const given = new Map<string, Array<number>>()
  let unmatched = 0
  for (const { completion, prompt, score } of verdicts) {
    const key = keyOf(prompt, completion)
    if (!known.has(key)) unmatched++
    else if (given.has(key)) given.get(key)!.push(score)
    else given.set(key, [score])
  }
  const scores = completions.map(({ completion, prompt }) => {
    const all = given.get(keyOf(prompt, completion))
    return all === undefined ? null : all.reduce((sum, score) => sum + score, 0) / all.length
  })
  return { scores, unmatched }
}

/** The verdicts whose both answers are among the completions of their prompt, and how many others there are. */
export const pairsIn = (
  completions: ReadonlyArray<CompletionRow>,
  verdicts: ReadonlyArray<PreferenceRow>
): { readonly pairs: ReadonlyArray<PreferenceRow>; readonly unmatched: number } => {
  const ended = new Map(completions.map((row) => [keyOf(row.prompt, row.completion), row.ended]))
  const pairs = verdicts.flatMap((pair): ReadonlyArray<PreferenceRow> => {
    const [chosen, rejected] = [pair.chosen, pair.rejected].map((text) => ended.get(keyOf(pair.prompt, text)))
    return chosen === undefined || rejected === undefined ? [] : [{ ...pair, ended: { chosen, rejected } }]
  })
  return { pairs, unmatched: verdicts.length - pairs.length }
}
