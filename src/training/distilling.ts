/** Shared by the distilling stages: answers of either model as rows, and the loss of a divergence. */
import type { Batch, Policy, Row, Sampling } from "../engine/engine.ts"
import { generalizedJsd } from "../losses/distill.ts"
import type { Learnt } from "./descent.ts"

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

/** One answer per prompt; answer i draws from stream `seed/(first + i)`. An answer cut off at the limit has no end token. */
export const answersOf = (
  policy: Policy,
  prompts: ReadonlyArray<Int32Array>,
  sampling: Pick<Sampling, "maxNewTokens" | "temperature" | "stop">,
  seed: string,
  first = 0
): ReadonlyArray<Row> =>
  policy.sample(prompts, { ...sampling, topK: 0, topP: 1 }, prompts.map((_, i) => `${seed}/${first + i}`))
    .map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
