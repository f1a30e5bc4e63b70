/** Learning-rate schedules: the share of the peak learning rate at step `n` of `steps` (n from 0). */
export type Schedule = "constant" | "linear" | "cosine"

/**
 * Linear warm-up over `warmupSteps`: (n + 1) / warmupSteps. Then with p = (n − warmup) / (steps − warmup):
 * constant 1, linear 1 − p, cosine 0.1 + 0.9 · ½(1 + cos πp), which ends at 10 % (Ouyang et al. 2022, App. C).
 */
export const scheduled = (schedule: Schedule, n: number, steps: number, warmupSteps: number): number => {
  if (n < warmupSteps) return (n + 1) / warmupSteps
  const progress = steps > warmupSteps ? (n - warmupSteps) / (steps - warmupSteps) : 1
  switch (schedule) {
    case "constant":
      return 1
    case "linear":
      return 1 - progress
    case "cosine":
      return 0.1 + 0.45 * (1 + Math.cos(Math.PI * progress))
  }
}
