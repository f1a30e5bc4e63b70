import type { Rule } from "../../dsl/stages/Select.ts"
import { stream } from "../sampling/random.ts"
import { picked } from "./lazyArray.ts"
import { placesByPrompt, type ScoredRow } from "./rows.ts"

type Places = ReadonlyArray<number>
type Scores = ReadonlyArray<number>

/** The `keep` best, as they stood; of equal scores the earlier. */
const best = (places: Places, scores: Scores, keep: number): Places =>
  places.toSorted((a, b) => scores[b]! - scores[a]! || a - b).slice(0, keep).sort((a, b) => a - b)

const placesOf = (rows: ReadonlyArray<ScoredRow>, rule: Rule): Places => {
  const scores = Array.from(rows, ({ score }) => score)
  const all = scores.map((_, i) => i)
  switch (rule._tag) {
    case "PerPrompt":
      return placesByPrompt(rows, ({ prompt }) => prompt).flatMap((places) => best(places, scores, rule.keep))
    case "Overall":
      return best(all, scores, rule.keep)
    case "Accept":
      return all.filter((i) => scores[i]! >= rule.atLeast)
  }
}

/** Which candidates a rule keeps; see `dsl/stages/Select.ts`. */
export const select = (rows: ReadonlyArray<ScoredRow>, rule: Rule): ReadonlyArray<ScoredRow> =>
  picked(rows, Uint32Array.from(placesOf(rows, rule)))

const atRandom = (places: Places, keep: number, key: string): Places =>
  stream(key).shuffle(places).slice(0, keep).sort((a, b) => a - b)

/** As many as the rule keeps, of each prompt or of all as it does, whatever their scores. */
export const control = (rows: ReadonlyArray<ScoredRow>, rule: Rule, key: string): ReadonlyArray<ScoredRow> =>
  picked(
    rows,
    Uint32Array.from(
      rule._tag === "PerPrompt"
        ? placesByPrompt(rows, ({ prompt }) => prompt).flatMap((places, i) =>
          atRandom(places, rule.keep, `${key}/${i}`)
        )
        : atRandom(Array.from(rows, (_, i) => i), placesOf(rows, rule).length, key)
    )
  )
