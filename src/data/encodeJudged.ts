/** Judged answers to token ids; an unusable row is an error before the stage begins. */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Row } from "../engine/engine.ts"
import { answer, encodeAll, type For, lengthOf, Unfit } from "./encode.ts"
import type { RankingRow, StepwiseRow } from "./rows.ts"

/** The answers to one prompt, in rising rank. */
export interface Ranking {
  readonly rows: ReadonlyArray<Row>
  readonly ranks: ReadonlyArray<number>
}

export const encodeRankings = (use: For, rows: ReadonlyArray<RankingRow>) =>
  encodeAll(use, rows, ({ completions, prompt, ranks }): Ranking => ({
    rows: completions.map((completion) => answer(use.codec, prompt, completion)),
    ranks
  }), ({ rows }) => Math.max(...rows.map(lengthOf)))

/** An answer, the completion tokens that end its steps, and the step's label: 0 or 1, or −1, 0 or 1. */
export interface EncodedSteps {
  readonly row: Row
  readonly ends: ReadonlyArray<number>
  readonly labels: ReadonlyArray<number>
}

/**
 * Each step by itself, then the separator: as TRL's PRMTrainer tokenizes, so that the end of a step is a token of its own. There is no
 * end-of-sequence token: it would be a step without a judgement.
 */
export const encodeSteps = Effect.fnUntraced(function*(
  use: For,
  rows: ReadonlyArray<StepwiseRow>,
  { labels: scale, separator }: { readonly labels: "binary" | "ternary"; readonly separator: string }
) {
  const unusable = new UnusableData({
    stage: use.stage,
    problem: `the separator ${JSON.stringify(separator)} is no token of this model`,
    remedy: 'Choose a separator that its tokenizer keeps, e.g. " .".'
  })
  const after = yield* Effect.try({
    try: () => use.codec.encodeCompletion(separator, { end: false }),
    catch: () => unusable
  })
  if (separator !== "" && after.length === 0) return yield* unusable
  const labelOf = (label: boolean | number): number => {
    if (scale === "ternary") return label === true ? 1 : label === false ? -1 : label
    if (label === -1) throw new Unfit("a step is labelled −1", 'Take labels "ternary", or label steps true and false.')
    return Number(label)
  }
  return yield* encodeAll(use, rows, ({ completions, labels, prompt }): EncodedSteps => {
    const ids: Array<number> = []
    const ends: Array<number> = []
    for (const step of completions) {
      ids.push(...use.codec.encodeCompletion(step, { end: false }), ...after)
      if (ids.length === (ends.at(-1) ?? -1) + 1) throw new Unfit("a step has no tokens", "Leave empty steps out.")
      ends.push(ids.length - 1)
    }
    return {
      row: { prompt: use.codec.encodePrompt(prompt), completion: Int32Array.from(ids) },
      ends,
      labels: labels.map(labelOf)
    }
  }, ({ row }) => lengthOf(row))
})
