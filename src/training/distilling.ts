/** Shared by the distilling stages: answers of either model as rows, and the loss of a divergence. */
import * as Effect from "effect/Effect"
import type { Batch, Policy, Row, Sampling } from "../engine/engine.ts"
import { generalizedJsd } from "../losses/distill.ts"
import type { Learnt } from "./descent.ts"
import { each, whole } from "./loop.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

/** The mean divergence of the tokens of the batch that `policy` retains: each token's gradient has the factor 1/N. */
export const divergenceLoss = (
  policy: Policy,
  teacher: Policy,
  rows: Batch,
  objective: Parameters<typeof generalizedJsd>[0]
) => {
  const { values } = policy.divergences(rows, teacher, generalizedJsd(objective), { retain: true })
  const loss = values.reduce((sum, x) => sum + x, 0) / values.length
  const learn: Learnt = { loss, gradient: values.fill(1 / values.length), metrics: {} }
  return { passed: { rows, numbers: null }, learn }
}

/** One answer per prompt; answer i draws from stream `seed/i`. An answer cut off at the limit has no end token. */
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
