import { bradleyTerry } from "./bradleyTerry.ts"
import { type Loss, poison } from "./loss.ts"

/**
 * Scores of the completions of some prompts, one prompt after the other: prompt i owns `groups[i] … groups[i + 1]`. Gradients are with
 * respect to the scores.
 */

const mean = (all: ReadonlyArray<Readonly<Record<string, number>>>): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const one of all) {
    for (const [name, value] of Object.entries(one)) sums[name] = (sums[name] ?? 0) + value / all.length
  }
  return sums
}

/**
 * All pairs of every prompt, each prompt counting the same:
 *
 *     L = (1/N) Σ_prompts (1 / pairs) Σ_{rank i < rank j} [ −log σ(r_i − r_j) + λ (r_i + r_j)² ]
 *
 * Ouyang et al. 2022 eq. 1, where pairs = C(K, 2); equal ranks make no pair, and a prompt without a pair has loss
 * 0. With K = 2 it is Bradley–Terry. Metrics as there, the mean over prompts.
 */
export const kWise = (
  scores: Float64Array,
  ranks: ArrayLike<number>,
  groups: Int32Array,
  options: { readonly centerRewardsCoefficient?: number } = {}
): Loss => {
  const prompts = groups.length - 1
  const gradient = new Float64Array(scores.length)
  const metrics: Array<Readonly<Record<string, number>>> = []
  let loss = 0
  for (let prompt = 0; prompt < prompts; prompt++) {
    const [better, worse]: [Array<number>, Array<number>] = [[], []]
    for (let i = groups[prompt]!; i < groups[prompt + 1]!; i++) {
      for (let j = groups[prompt]!; j < groups[prompt + 1]!; j++) {
        if (ranks[i]! < ranks[j]!) {
          better.push(i)
          worse.push(j)
        }
      }
    }
    if (better.length === 0) continue
    const of = (indices: ReadonlyArray<number>) => Float64Array.from(indices, (i) => scores[i]!)
    const one = bradleyTerry(of(better), of(worse), options)
    loss += one.loss / prompts
    better.forEach((i, pair) => (gradient[i]! += one.gradients.chosen[pair]! / prompts))
    worse.forEach((i, pair) => (gradient[i]! += one.gradients.rejected[pair]! / prompts))
    metrics.push(one.metrics)
  }
  return { loss, gradient, metrics: mean(metrics) }
}

/**
 * The likelihood of a ranking, the scores of each prompt standing best first:
 *
 *     L = (1/N) Σ_prompts −Σ_k (r_(k) − log Σ_{j ≥ k} exp r_(j))
 *     dL/dr_(i) = (1/N) (Σ_{k ≤ i} exp(r_(i)) / Σ_{j ≥ k} exp(r_(j)) − 1[i is not the last])
 *
 * where the last term of each prompt, of one completion alone, is 0 (Plackett 1975; Luce 1959; Cao et al. 2007 as ListMLE). With K = 2
 * it is Bradley–Terry. Metric: `accuracy`, the share of prompts whose best completion has the highest score.
 */
export const plackettLuce = (scores: Float64Array, groups: Int32Array): Loss => {
  const prompts = groups.length - 1
  const gradient = new Float64Array(scores.length)
  let [loss, best] = [0, 0]
  for (let prompt = 0; prompt < prompts; prompt++) {
    const [begin, end] = [groups[prompt]!, groups[prompt + 1]!]
    let [rest, top] = [-Infinity, -Infinity]
    const tails = new Float64Array(end - begin)
    for (let k = end - 1; k >= begin; k--) {
      const score = scores[k]!
      if (k > begin) top = Math.max(top, score)
      const most = Math.max(rest, score)
      rest = most + Math.log1p(Math.exp(Math.min(rest, score) - most))
      tails[k - begin] = rest
      loss += (rest - score + poison(score)) / prompts
    }
    for (let i = begin; i < end; i++) {
      if (i + 1 < end) gradient[i]! -= 1 / prompts
      for (let k = begin; k <= Math.min(i, end - 2); k++) {
        gradient[i]! += Math.exp(scores[i]! - tails[k - begin]!) / prompts
      }
    }
    if (scores[begin]! > top) best++
  }
  return { loss, gradient, metrics: prompts === 0 ? {} : { accuracy: best / prompts } }
}
