/** Learning-rate schedules: the fields of `dsl/Training.ts`. */
export interface Schedule {
  readonly learningRate: number
  readonly schedule: "constant" | "linear" | "cosine"
  readonly warmupSteps: number
  readonly warmupRatio?: number
  readonly warmupFrom?: number
  readonly minLearningRateRatio?: number
  readonly minLearningRate?: number
}

/** The share of the peak where a schedule ends. */
const floorOf = ({ learningRate, minLearningRate, minLearningRateRatio, schedule }: Schedule): number =>
  minLearningRate === undefined
    ? minLearningRateRatio ?? (schedule === "cosine" ? 0.1 : 0)
    : minLearningRate / learningRate

/** Steps of warm-up; a ratio is rounded up, as in transformers. */
export const warmupOf = ({ warmupRatio, warmupSteps }: Pick<Schedule, "warmupRatio" | "warmupSteps">, steps: number) =>
  warmupRatio === undefined ? warmupSteps : Math.ceil(warmupRatio * steps)

/**
 * The share of the peak learning rate at step `n` of `steps` (n from 0). Linear warm-up over W steps: (n + 1)/W, or f + (1 − f) n/W from
 * the share f. Then with p = (n − W)/(steps − W) and the floor c:
 * constant 1, linear 1 − (1 − c) p, cosine c + (1 − c) ½(1 + cos πp); c is 0 for linear and 0.1 for cosine (Ouyang et al. 2022, App. C).
 */
export const scheduled = (of: Schedule, n: number, steps: number): number => {
  const warmup = warmupOf(of, steps)
  if (n < warmup) {
    return of.warmupFrom === undefined ? (n + 1) / warmup : of.warmupFrom + (1 - of.warmupFrom) * n / warmup
  }
  const progress = steps > warmup ? (n - warmup) / (steps - warmup) : 1
  const floor = floorOf(of)
  switch (of.schedule) {
    case "constant":
      return 1
    case "linear":
      return 1 - (1 - floor) * progress
    case "cosine":
      return floor + (1 - floor) / 2 * (1 + Math.cos(Math.PI * progress))
  }
}

/** The learning rate at step `n` of `steps`. */
export const learningRateAt = (of: Schedule, n: number, steps: number): number =>
  of.learningRate * scheduled(of, n, steps)
