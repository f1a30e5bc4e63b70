import type { EnsembleReading, EnsembleRule, Weights } from "../model/weights.ts"
import type { Scorer } from "./engine.ts"

/** Weights of an ensemble: the first member's configuration and tokenizer, and no tensors of its own. */
export const ensembleOf = (members: ReadonlyArray<Weights>, rule: EnsembleRule): Weights => ({
  config: members[0]!.config,
  tokenizer: members[0]!.tokenizer,
  tensors: new Map(),
  ensemble: { members, rule }
})

/**
 * Combines the members' rewards (Coste et al. 2023, arXiv 2310.02743, §3): the mean, the least (WCO), or the mean less
 * λ times the variance 1/k Σ (r − mean)² (UWO).
 */
export const combine = (rewards: ReadonlyArray<number>, rule: EnsembleRule): number => {
  const k = rewards.length
  const mean = rewards.reduce((sum, r) => sum + r, 0) / k
  switch (rule._tag) {
    case "Mean":
      return mean
    case "WorstCase":
      return Math.min(...rewards)
    case "UncertaintyWeighted":
      return mean - rule.lambda * rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0) / k
  }
}

/** Opens all members and reads them as a single scorer; an ensemble is never trained. */
export const ensembleScorer = (ensemble: EnsembleReading, open: (weights: Weights) => Scorer): Scorer => {
  const members = ensemble.members.map(open)
  const untrained = (): never => {
    throw new Error("an ensemble has no weights of its own to train or save: open one of its members")
  }
  return {
    parameters: members.reduce((sum, { parameters }) => sum + parameters, 0),
    context: Math.min(...members.map(({ context }) => context)),
    values: (batch, options) => {
      if (options?.retain === true) return untrained()
      const all = members.map((member) => member.values(batch, options))
      const { offsets, values } = all[0]!
      return { offsets, values: values.map((_, i) => combine(all.map((one) => one.values[i]!), ensemble.rule)) }
    },
    backward: untrained,
    step: untrained,
    weights: untrained,
    follow: untrained,
    optimizer: untrained,
    restore: untrained,
    dispose: () => members.forEach((member) => member.dispose())
  }
}
