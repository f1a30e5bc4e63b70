/**
 * The parts that `--only` can name: the costs of work (`rates`, from which plan estimates time), the cases, the memory of training, and
 * the agreement with PyTorch.
 */
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

/** The parts whose name begins with an element of `only`, by whole words: "train" means train-tiny and train-mid. */
export const selected = (only: ReadonlyArray<string>): ReadonlyArray<string> =>
  only.length === 0 ? parts : parts.filter((part) => only.some((name) => part === name || part.startsWith(`${name}-`)))

/** The elements of `only` that name no part. */
export const unknownParts = (only: ReadonlyArray<string>): ReadonlyArray<string> =>
  only.filter((name) => selected([name]).length === 0)
