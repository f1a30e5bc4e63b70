/** What the distilling stages share: the two models, and answers of either as rows. */
import * as Effect from "effect/Effect"
import type { Policy, Row, Sampling } from "../engine/engine.ts"
import { each, whole } from "./rehearsal.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

/** One answer for each prompt; answer i draws from the stream of `seed/i`. What was cut off at the limit has no end token. */
export const answersOf = (
  policy: Policy,
  prompts: ReadonlyArray<Int32Array>,
  sampling: Pick<Sampling, "maxNewTokens" | "temperature" | "stop">,
  seed: string
): Effect.Effect<ReadonlyArray<Row>> => {
  const rows: Array<Row> = []
  const answer = (n: number): void => {
    const asked = prompts.slice(n * atOnce, (n + 1) * atOnce)
    const seeds = asked.map((_, i) => `${seed}/${n * atOnce + i}`)
    policy.sample(asked, { ...sampling, topK: 0, topP: 1 }, seeds).forEach(({ completion }, i) => {
      rows.push({ prompt: asked[i]!, completion })
    })
  }
  return Effect.andThen(
    each(Math.ceil(prompts.length / atOnce), (n) => Effect.sync(() => answer(n))),
    Effect.suspend(() => whole(rows, prompts.length))
  )
}
