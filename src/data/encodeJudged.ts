/** Judged answers to token ids. */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Codec, Row } from "../engine/engine.ts"
import { cutAnswers, cutRow, left, lengthOf, Unfit } from "./cut.ts"
import { answer, begun, divided, type Encoding, type For } from "./encode.ts"
import type { RankingRow, StepwiseRow } from "./rows.ts"

/** The answers to one prompt, in rising rank. */
export interface Ranking {
  readonly rows: ReadonlyArray<Row>
  readonly ranks: ReadonlyArray<number>
}

export const rankings = (codec: Codec): Encoding<RankingRow, Ranking> => ({
  encode: ({ completions, prompt, ranks }) => ({
    rows: completions.map((completion) => answer(codec, prompt, completion)),
    ranks
  }),
  tokens: ({ rows }) => Math.max(...rows.map(lengthOf)),
  cut: ({ ranks, rows }, most, keep) => {
    const cut = cutAnswers(rows, most, keep)
    return left({ rows: cut, ranks }, most, cut.every(({ completion }) => completion.length > 0))
  }
})

/** An answer, the completion tokens that end its steps, and the step's label: 0 or 1, or −1, 0 or 1. */
export interface EncodedSteps {
  readonly row: Row
  readonly ends: ReadonlyArray<number>
  readonly labels: ReadonlyArray<number>
}

/** How the steps of an answer are told apart and labelled. */
export interface Stepping {
  readonly labels: "binary" | "ternary"
  readonly separator: string
}

/**
 * Each step by itself (the first as the prompt goes on), then the separator: as TRL's PRMTrainer tokenizes, so that the end of a step is a token of its own. There is no
 * end-of-sequence token: it would be a step without a judgement. Steps whose end is cut off are not judged.
 */
export const steps = (
  codec: Codec,
  after: Int32Array,
  scale: Stepping["labels"]
): Encoding<StepwiseRow, EncodedSteps> => {
  const labelOf = (label: boolean | number): number => {
    if (scale === "ternary") return label === true ? 1 : label === false ? -1 : label
    if (label === -1) throw new Unfit("a step is labelled −1", 'Take labels "ternary", or label steps true and false.')
    return Number(label)
  }
  return {
    encode: ({ completions, labels, prompt }) => {
      const ids: Array<number> = []
      const ends: Array<number> = []
      const [before, first] = divided(codec, [prompt, completions[0] ?? ""], false) as readonly [Int32Array, Int32Array]
      for (const [i, step] of completions.entries()) {
        ids.push(...i === 0 ? first : codec.encodeCompletion(step, { end: false }), ...after)
        if (ids.length === (ends.at(-1) ?? -1) + 1) throw new Unfit("a step has no tokens", "Leave empty steps out.")
        ends.push(ids.length - 1)
      }
      const given = before.length === 0 ? 1 : 0
      if (ends[0]! < given) {
        throw new Unfit("its prompt is empty, and its first step is a token", "Leave such rows out.")
      }
      return {
        row: begun<Row>(
          { prompt: before, completion: Int32Array.from(ids) },
          (_, completion) => ({ prompt: before, completion })
        ),
        ends: ends.map((end) => end - given),
        labels: labels.map(labelOf)
      }
    },
    tokens: ({ row }) => lengthOf(row),
    cut: ({ ends, labels, row }, most, keep) => {
      const cut = cutRow(row, most, keep)
      const stays = (end: number): boolean => end >= cut.from && end < cut.to
      const judged = ends.filter(stays).map((end) => end - cut.from)
      return left(
        { row: cut.row, ends: judged, labels: labels.filter((_, i) => stays(ends[i]!)) },
        most,
        judged.length > 0
      )
    }
  }
}

/** The tokens of the separator of steps. */
export const separated = ({ codec, stage }: For, separator: string): Effect.Effect<Int32Array, UnusableData> => {
  const unusable = new UnusableData({
    stage,
    problem: `the separator ${JSON.stringify(separator)} is no token of this model`,
    remedy: 'Choose a separator that its tokenizer keeps, e.g. " .".'
  })
  return Effect.try({ try: () => codec.encodeCompletion(separator, { end: false }), catch: () => unusable }).pipe(
    Effect.filterOrFail((after) => separator === "" || after.length > 0, () => unusable)
  )
}
