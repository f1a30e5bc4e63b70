/** The score of a completion: a reward model, verifiers, and penalties for its end and its length. */
import type { Verifier } from "../../dsl/Verifier.ts"
import { textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Codec, Row, Sampled, Scorer } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { overlongPenalty } from "../losses/overlong.ts"
import { afterLast } from "../losses/ragged.ts"

export interface Scoring {
  readonly reward: Scorer | null
  readonly codec: Codec
  readonly verifiers?: ReadonlyArray<Verifier>
  readonly verifies?: (verifier: Verifier, prompt: PromptRow, completion: string) => boolean
  /** The fields of the stage's description. */
  readonly missingEosPenalty: number
  readonly maxNewTokens: number
  readonly overlong?: { readonly share: number } | undefined
}

/** One score per completion, with the share of completions that passed each verifier. */
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
    const passed = texts.map((text, row) => verifies!(verifier, asked[row]!, text))
    passed.forEach((yes, row) => {
      if (yes) scores[row]! += verifier.weight
    })
    const name = verifiers.filter(({ _tag }) => _tag === verifier._tag).length > 1
      ? `${verifier._tag}-${i}`
      : verifier._tag
    metrics[`rewards/${name}/mean`] = passed.filter(Boolean).length / rows.length
  }
  sampled.forEach(({ completion, finished }, row) => {
    if (!finished) scores[row]! -= missingEosPenalty
    if (overlong !== undefined) scores[row]! += overlongPenalty(completion.length, maxNewTokens, overlong.share)
  })
  return { scores, metrics }
}
