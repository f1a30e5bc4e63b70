/** The score of a completion: a reward model, verifiers, and penalties for its end and its length. */
import * as Effect from "effect/Effect"
import type { Verifier } from "../../dsl/Verifier.ts"
import { textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Codec, Row, Sampled, Scorer } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { overlongPenalty } from "../losses/overlong.ts"
import { afterLast } from "../losses/ragged.ts"
import type { Judge } from "../rewards/judge.ts"
import type { Metrics } from "../store/runLog.ts"
import { verified } from "../rewards/verified.ts"

export interface Scoring {
  /** The label of the stage. */
  readonly stage: string
  readonly reward: Scorer | null
  readonly codec: Codec
  readonly verifiers: ReadonlyArray<Verifier>
  readonly judge: Pick<Judge["Service"], "verifies">
  /** The fields of the stage's description. */
  readonly missingEosPenalty: number
  readonly maxNewTokens: number
  readonly overlong?: { readonly share: number } | undefined
}

/** A prompt's row, and its place among the rows of the stage, from 1, for errors. */
export type Placed = PromptRow & { readonly row: number }

/** Mean and standard deviation (ddof 1) of a part of the reward, under TRL's names. Of all or nothing, the mean is the share that passed. */
export const partOf = (name: string, values: ReadonlyArray<number>): Metrics => {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length
  if (values.length === 1) return { [`rewards/${name}/mean`]: mean }
  const squares = values.every((x) => x === values[0]) ? 0 : values.reduce((sum, x) => sum + (x - mean) ** 2, 0)
  return { [`rewards/${name}/mean`]: mean, [`rewards/${name}/std`]: Math.sqrt(squares / (values.length - 1)) }
}

/** One score per completion, with the verdicts of each verifier as metrics. */
export const scored = Effect.fnUntraced(function*(
  scoring: Scoring,
  rows: ReadonlyArray<Row>,
  sampled: ReadonlyArray<Sampled>,
  asked: ReadonlyArray<Placed>
) {
  const { codec, judge, maxNewTokens, missingEosPenalty, overlong, reward, stage, verifiers } = scoring
  const scores = reward === null
    ? new Float64Array(rows.length)
    : afterLast(reward.values(rows).values, offsetsOf(rows))
  const metrics: Record<string, number> = {}
  if (verifiers.length > 0) {
    const questions = textsOf(codec, rows).map((completion, row) => {
      const { completion: { length: tokens }, finished: ended } = sampled[row]!
      return { ...asked[row]!, completion, ended, tokens }
    })
    const { scores: more, verdicts } = yield* verified(stage, judge, verifiers, questions)
    more.forEach((score, row) => (scores[row]! += score))
    for (const [name, of] of Object.entries(verdicts)) {
      Object.assign(metrics, partOf(name, of))
    }
  }
  sampled.forEach(({ completion, finished }, row) => {
    if (!finished) scores[row]! -= missingEosPenalty
    if (overlong !== undefined) scores[row]! += overlongPenalty(completion.length, maxNewTokens, overlong.share)
  })
  return { scores, metrics }
})
