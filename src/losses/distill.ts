/**
 * Divergences between the next-token distributions of a student s and its teacher t, over the whole vocabulary, as pure functions
 * of their log-probabilities at temperature 1 (nats); with `gradient` [vocab] they set it to the derivative with respect to the
 * student's logits z. Both logits are divided by the `temperature` T first; as in TRL there is no factor T².
 */
export type TokenDivergence = (student: Float64Array, teacher: Float64Array, gradient: Float64Array | null) => number

/** log softmax(logps / T); itself for T = 1. */
const tempered = (logps: Float64Array, temperature: number): Float64Array => {
  if (temperature === 1) return logps
  const scaled = logps.map((logp) => logp / temperature)
  let max = -Infinity
  for (const z of scaled) max = Math.max(max, z)
  let sum = 0
  for (const z of scaled) sum += Math.exp(z - max)
  const lse = max + Math.log(sum)
  return scaled.map((z) => z - lse)
}

/** p log(p / q); 0 where p is. */
const term = (logp: number, logq: number): number => logp === -Infinity ? 0 : Math.exp(logp) * (logp - logq)

/** log(eᵃ + eᵇ). */
const logAdd = (a: number, b: number): number => {
  const most = Math.max(a, b)
  return most === -Infinity ? most : most + Math.log1p(Math.exp(Math.min(a, b) - most))
}

/**
 * Generalised Jensen–Shannon divergence, β in [0, 1] (Agarwal et al. 2024, "GKD", arXiv 2306.13649, eq. 1), with the mixture
 * m = (1 − β) s + β t:
 *
 *     D_β = β KL(t‖m) + (1 − β) KL(s‖m)      dD_β/dz = s (g − Σ s g) / T,   g = (1 − β) log(s / m)
 *     D_0 = KL(t‖s)                          dD_0/dz = (s − t) / T
 *     D_1 = KL(s‖t)                          dD_1/dz = s (log(s / t) − D_1) / T
 *
 * β = 0 is word-level distillation (Kim and Rush 2016, arXiv 1606.07947, §3.1): the cross-entropy to the teacher's distribution less
 * that distribution's entropy, which the student does not change. The ends follow TRL's GKDTrainer: D_β itself goes to
 * 0 there, and D_β / β and D_β / (1 − β) go to them.
 */
export const generalizedJsd = (
  { beta, temperature = 1 }: { readonly beta: number; readonly temperature?: number }
): TokenDivergence => {
  if (!(beta >= 0 && beta <= 1)) throw new Error(`beta is ${beta}: it must be between 0 and 1`)
  const [logStudent, logTeacher] = [Math.log1p(-beta), Math.log(beta)]
  return (studentLogps, teacherLogps, gradient) => {
    const [s, t] = [tempered(studentLogps, temperature), tempered(teacherLogps, temperature)]
    let value = 0
    if (beta === 0) {
      for (let v = 0; v < s.length; v++) value += term(t[v]!, s[v]!)
      gradient?.forEach((_, v) => {
        gradient[v] = (Math.exp(s[v]!) - Math.exp(t[v]!)) / temperature
      })
      return value
    }
    // g of the formulas, where it counts: 0 for a token that the student never says.
    const slope = (v: number): number => {
      if (s[v] === -Infinity) return 0
      return beta === 1
        ? s[v]! - t[v]!
        : (1 - beta) * (s[v]! - logAdd(s[v]! + logStudent, t[v]! + logTeacher))
    }
    let mean = 0
    for (let v = 0; v < s.length; v++) {
      const g = slope(v)
      if (s[v] !== -Infinity) mean += Math.exp(s[v]!) * g
      if (beta < 1) value += beta * term(t[v]!, logAdd(s[v]! + logStudent, t[v]! + logTeacher))
    }
    gradient?.forEach((_, v) => {
      gradient[v] = s[v] === -Infinity ? 0 : Math.exp(s[v]!) * (slope(v) - mean) / temperature
    })
    return value + mean
  }
}
