/**
 * By recipe and operation: why a stage does not improve in the small copy, or which metric says that it does where the metric that it
 * optimises cannot.
 */
export const reasons: Readonly<
  Record<string, Readonly<Record<string, { readonly metric?: string; readonly reason?: string }>>>
> = {
  "llama-2-chat": {
    // A whitened score has mean 0 in each step by definition.
    ppo: { metric: "rewards/otherwise/mean" }
  }
}
