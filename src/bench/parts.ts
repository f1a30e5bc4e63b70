/** What can be asked for by name: what work costs (`rates`, which plan estimates time by), the cases, the memory of training, and whether the results agree with PyTorch's. */
export const parts: ReadonlyArray<string> = [
  "rates",
  "train-tiny",
  "logprobs-tiny",
  "generate-tiny",
  "train-mid",
  "logprobs-mid",
  "generate-mid",
  "gemm",
  "copy",
  "sft",
  "dpo",
  "grpo",
  "memory",
  "agreement"
]

/** The parts whose name begins with one of `only`, on a word: "train" is train-tiny and train-mid. */
export const selected = (only: ReadonlyArray<string>): ReadonlyArray<string> =>
  only.length === 0 ? parts : parts.filter((part) => only.some((name) => part === name || part.startsWith(`${name}-`)))

/** Those of `only` that are no part. */
export const unknownParts = (only: ReadonlyArray<string>): ReadonlyArray<string> =>
  only.filter((name) => selected([name]).length === 0)
