import type { Row, Scorer, Weights } from "./engine.ts"
import { ensembleScorer } from "./ensemble.ts"

/** The reading of a process reward model as a reward; saved in its `config.json` under `keel_process_reward`. */
export interface ProcessReward {
  /** Token ids that end a step; without them, every token is a step. */
  readonly separator: ReadonlyArray<number>
  /** End-of-sequence tokens, which belong to no step. */
  readonly stop: ReadonlyArray<number>
  readonly aggregation: "min" | "product"
  readonly labels: "binary" | "ternary"
}

export const processKey = "keel_process_reward"

const processOf = ({ config }: Weights): ProcessReward | undefined => config[processKey] as ProcessReward | undefined

/** The weights with the mark, or without it for training. */
export const withProcess = (weights: Weights, mark: ProcessReward | null): Weights => {
  const { [processKey]: _, ...config } = weights.config
  return { ...weights, config: mark === null ? config : { ...config, [processKey]: mark } }
}

/**
 * The completion tokens that end a step, in order: where the separator ends, and the last token before the end of
 * sequence. A completion with a token has at least one step.
 */
export const stepEnds = ({ completion }: Row, { separator, stop }: ProcessReward): ReadonlyArray<number> => {
  let last = completion.length - 1
  while (last > 0 && stop.includes(completion[last]!)) last--
  const ends: Array<number> = []
  for (let t = 0; t <= last; t++) {
    const begin = t + 1 - separator.length
    if (t === last || (begin >= 0 && separator.every((id, i) => completion[begin + i] === id))) ends.push(t)
  }
  return ends
}

/** The least or the product of the steps' probabilities of being right, each rising in its log-odds; 1 for no step. */
export const aggregate = (
  logits: ReadonlyArray<number>,
  { aggregation, labels }: Pick<ProcessReward, "aggregation" | "labels">
): number => {
  // Of ordered labels, the probability of not being −1: its cut point is at −1.
  const right = logits.map((z) => 1 / (1 + Math.exp(labels === "ternary" ? -z - 1 : -z)))
  return right.reduce((all, p) => aggregation === "product" ? all * p : Math.min(all, p), 1)
}

/** Reads a process reward model: the number after the last token of a row is the reward, the others are the model's own. */
const processScorer = (scorer: Scorer, mark: ProcessReward): Scorer => {
  let lasts: ReadonlyArray<number> = []
  return {
    ...scorer,
    values: (batch, options) => {
      const { offsets, values } = scorer.values(batch, options)
      const read = values.slice()
      const ends = batch.map((row, i) => {
        const last = offsets[i + 1]! - 1
        read[last] = aggregate(stepEnds(row, mark).map((t) => values[offsets[i]! + t + 1]!), mark)
        return last
      })
      if (options?.retain === true) lasts = ends
      return { offsets, values: read }
    },
    backward: (dValues) => {
      if (lasts.some((last) => dValues[last] !== 0)) {
        throw new Error("the reward of a process reward model has no gradient: open its weights without the mark")
      }
      scorer.backward(dValues)
    }
  }
}

/** Opens a scorer of the kind of its weights: an ensemble, a process reward model, or the plain head. */
export const read = (weights: Weights, open: (weights: Weights) => Scorer): Scorer => {
  if (weights.ensemble !== undefined) return ensembleScorer(weights.ensemble, (member) => read(member, open))
  const mark = processOf(weights)
  return mark === undefined ? open(weights) : processScorer(open(weights), mark)
}
