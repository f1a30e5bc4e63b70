/** The score of a completion: a reward, verifiers, and penalties for its end and its length. */
import * as Effect from "effect/Effect"
import type { Verifier } from "../../dsl/Verifier.ts"
import { textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Codec, Row, Sampled } from "../engine/engine.ts"
import { overlongPenalty } from "../losses/overlong.ts"
import { combined, type Running } from "../rewards/composed.ts"
import type { Judge } from "../rewards/judge.ts"
import { momentOf, numbersOf, type OpenReward, readsText } from "../rewards/rewarding.ts"
import { verified } from "../rewards/verified.ts"
import type { Metrics } from "../store/runLog.ts"

export interface Scoring {
  /** The label of the stage. */
  readonly stage: string
  readonly reward: OpenReward | null
  readonly codec: Codec
  readonly verifiers: ReadonlyArray<Verifier>
  readonly judge: Pick<Judge["Service"], "verifies" | "kindOf">
  /** The fields of the stage's description. */
  readonly missingEosPenalty: number
  readonly maxNewTokens: number
  readonly overlong?: { readonly share: number } | undefined
}

/** Where in its steps a stage is, and the numbers that `whiten` saw in earlier ones; `whitened` as in `combined`. */
export interface Now {
  readonly step: number
  readonly running: Running
  readonly whitened?: boolean
}

/** A prompt's row, and its place among the rows of the stage, from 1, for errors. */
export type Placed = PromptRow & { readonly row: number }

/** Mean and standard deviation (ddof 1) of a part of the reward, under TRL's names. Of all or nothing, the mean is the share that passed. */
export const partOf = (name: string, values: ArrayLike<number>): Metrics => {
  const all = Array.from(values)
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length
  if (all.length === 1) return { [`rewards/${name}/mean`]: mean }
  const squares = all.every((x) => x === all[0]) ? 0 : all.reduce((sum, x) => sum + (x - mean) ** 2, 0)
  return { [`rewards/${name}/mean`]: mean, [`rewards/${name}/std`]: Math.sqrt(squares / (all.length - 1)) }
}

/** One score per completion, whether verifiers passed it, and the parts of the reward and the verdicts of each verifier as metrics. */
export const scored = Effect.fnUntraced(function*(
  scoring: Scoring,
  rows: ReadonlyArray<Row>,
  sampled: ReadonlyArray<Sampled>,
  asked: ReadonlyArray<Placed>,
  { step, ...now }: Now
) {
  const { codec, judge, maxNewTokens, missingEosPenalty, overlong, reward, stage, verifiers } = scoring
  const reads = verifiers.length > 0 || (reward !== null && readsText(reward))
  const texts = reads ? textsOf(codec, sampled) : []
  const questions = sampled.map(({ completion: { length: tokens }, finished: ended }, row) => ({
    ...asked[row]!,
    completion: texts[row] ?? "",
    ended,
    tokens
  }))
  let scores = new Float64Array(rows.length)
  let { running } = now
  const metrics: Record<string, number> = {}
  const verdictsOf: Array<ArrayLike<number | null>> = []
  if (reward !== null) {
    const moment = momentOf(judge, step)
    const numbers = yield* numbersOf({ stage, judge }, reward, questions, () => Effect.succeed(rows), moment)
    const made = yield* combined(stage, reward, numbers, questions, moment, now)
    scores = new Float64Array(made.scores)
    running = made.running
    for (const [leaf, of] of numbers) if (leaf._tag === "Verify") verdictsOf.push(of)
    for (const [name, values] of Object.entries(made.parts)) Object.assign(metrics, partOf(name, values))
  }
  if (verifiers.length > 0) {
    const { scores: more, verdicts } = yield* verified(stage, judge, verifiers, questions)
    more.forEach((score, row) => (scores[row]! += score))
    for (const [name, of] of Object.entries(verdicts)) Object.assign(metrics, partOf(name, of))
    verdictsOf.push(...Object.values(verdicts))
  }
  sampled.forEach(({ completion, finished }, row) => {
    if (!finished) scores[row]! -= missingEosPenalty
    if (overlong !== undefined) scores[row]! += overlongPenalty(completion.length, maxNewTokens, overlong.share)
  })
  /** Every verifier that is asked of it, at least one, gives it all. */
  const passed = rows.map((_, row) => {
    const verdicts = verdictsOf.map((of) => of[row]!).filter((verdict) => verdict !== null)
    return verdicts.length > 0 && verdicts.every((verdict) => verdict >= 1)
  })
  return { scores, metrics, running, passed }
})
