/**
 * By recipe and operation, in the small copy: why a stage does not improve, or which metric shows that it does where the metric that it
 * optimises cannot (`improvement.ts`); and why an ordering does not hold by enumeration (`orderings.ts`).
 */
export interface Reason {
  readonly metric?: string
  readonly reason?: string
  readonly ordering?: string
}

/** A mean of logits is not a mean of laws, which alone lies between its parents. */
const merged: Reason = {
  ordering: "weights are averaged, and the law of averaged logits need not lie between the laws of its parents"
}

export const reasons: Readonly<Record<string, Readonly<Record<string, Reason>>>> = {
  "instruct-gpt": {
    ppo: {
      ordering:
        "the gradient of pretraining text, which counts 27.8 times, pulls the tabular policy to the law of that text"
    }
  },
  "hh-rlhf": {
    distill: {
      reason: "its teacher is its start with a context of a few words, so that there is little to learn",
      ordering: "prompts of a world have no context: its teacher is its start, and its samples are few"
    }
  },
  // A whitened score has mean 0 in each step by definition; this is the reward before it is whitened.
  "llama-2-chat": { ppo: { metric: "rewards/otherwise/mean" } },
  "llama-3.1": { merge: merged },
  "olmo-2-13b": { ppo: { ordering: "it begins within 2 % of the most that its reward can be" } },
  "branch-train-merge": { merge: merged },
  warp: { merge: merged }
}
