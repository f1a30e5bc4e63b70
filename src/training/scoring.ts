/** The score of a completion: a reward model, verifiers, and penalties for its end and its length. */
import type { Verifier } from "../../dsl/Verifier.ts"
import { textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Codec, Row, Sampled, Scorer } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { overlongPenalty } from "../losses/overlong.ts"
import { afterLast } from "../losses/ragged.ts"
import type { Judge } from "../rewards/judge.ts"

export interface Scoring {
  readonly reward: Scorer | null
  readonly codec: Codec
  readonly verifiers?: ReadonlyArray<Verifier>
  readonly verifies?: Judge["Service"]["verifies"]
  /** The fields of the stage's description. */
  readonly missingEosPenalty: number
  readonly maxNewTokens: number
  readonly overlong?: { readonly share: number } | undefined
}

/** One score per completion, with the mean verdict of each verifier: the share of completions that passed its check. */
export const scored = (
  scoring: Scoring,
  rows: ReadonlyArray<Row>,
  sampled: ReadonlyArray<Sampled>,
  asked: ReadonlyArray<PromptRow>
): { readonly scores: Float64Array; readonly metrics: Record<string, number> } => {
  const { codec, maxNewTokens, missingEosPenalty, overlong, reward, verifiers = [], verifies } = scoring
  const scores = reward === null
    ? new Float64Array(rows.length)
    : afterLast(reward.values(rows).values, offsetsOf(rows))
  const texts = verifiers.length === 0 ? [] : textsOf(codec, rows)
  const metrics: Record<string, number> = {}
  for (const [i, verifier] of verifiers.entries()) {
    const verdicts = texts.map((text, row) => {
      const { completion: { length: tokens }, finished: ended } = sampled[row]!
      return Number(verifies!(verifier, { ...asked[row]!, ended, tokens }, text))
    })
    verdicts.forEach((verdict, row) => {
      scores[row]! += verifier.weight * verdict
    })
    const name = verifiers.filter(({ _tag }) => _tag === verifier._tag).length > 1
      ? `${verifier._tag}-${i}`
      : verifier._tag
    metrics[`rewards/${name}/mean`] = verdicts.reduce((sum, verdict) => sum + verdict, 0) / rows.length
  }
  sampled.forEach(({ completion, finished }, row) => {
    if (!finished) scores[row]! -= missingEosPenalty
    if (overlong !== undefined) scores[row]! += overlongPenalty(completion.length, maxNewTokens, overlong.share)
  })
  return { scores, metrics }
}
