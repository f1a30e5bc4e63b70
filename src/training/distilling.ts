/** What the distilling stages share: the two models, and answers of either as rows. */
import type { Policy, Row, Sampling } from "../engine/engine.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

/** One answer for each prompt; answer i draws from the stream of `seed/i`. What was cut off at the limit has no end token. */
export const answersOf = (
  policy: Policy,
  prompts: ReadonlyArray<Int32Array>,
  sampling: Pick<Sampling, "maxNewTokens" | "temperature" | "stop">,
  seed: string
): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  for (let at = 0; at < prompts.length; at += atOnce) {
    const asked = prompts.slice(at, at + atOnce)
    const seeds = asked.map((_, i) => `${seed}/${at + i}`)
    policy.sample(asked, { ...sampling, topK: 0, topP: 1 }, seeds).forEach(({ completion }, i) => {
      rows.push({ prompt: asked[i]!, completion })
    })
  }
  return rows
}
