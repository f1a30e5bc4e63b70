/**
 * By recipe and operation, in the small copy: why a stage does not improve, or which metric shows that it does where the metric that it
 * optimises cannot (`improvement.ts`); and why an ordering does not hold by enumeration (`orderings.ts`).
 */
export interface Reason {
  readonly metric?: string
  readonly reason?: string
  readonly ordering?: string
}

/** Labels of people are drawn by Bradley–Terry with tastes and tosses of a coin (`src/rewards/labeler.ts`). */
const labeled: Reason = {
  reason:
    "its labels err by design, so that the loss of new pairs stays near log 2, and noise hides gains of a few hundredths"
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
    },
    rewardmodeling: {
      reason:
        "it starts from a preference model that is right of 4 pairs in 5, and few new pairs a week add little to that"
    }
  },
  // A whitened score has mean 0 in each step by definition; this is the reward before it is whitened.
  "llama-2-chat": { ppo: { metric: "rewards/otherwise/mean" }, rewardmodeling: labeled },
  "llama-3.1": {
    rewardmodeling: labeled,
    dpo: labeled,
    sft: { reason: "its 19 steps of the first round are few, and its start has learned the same toy rows" },
    merge: merged
  },
  "deepseek-r1": {
    rewardmodeling: { reason: "of single stories, labelled safe or not: a tiny model finds nothing in such labels" }
  },
  "qwen-3": {
    sft: { reason: "its 13 steps of the cold start imitate answers of its start, all of which are accepted" }
  },
  "olmo-2-13b": { ppo: { ordering: "it begins within 2 % of the most that its reward can be" } },
  "command-a": {
    sft: { reason: "its experts are tuned on more rows of the one toy task that the model before them has learned" },
    rewardmodeling: { reason: "its second pass starts from a reward model of pairs of the same kind, right of 4 in 5" }
  },
  "branch-train-merge": { merge: merged },
  warp: {
    grpo: {
      reason:
        "each run has steps of 8 answers: the gain from the first run to the last is beyond noise, that of one is not"
    },
    merge: merged
  }
}
