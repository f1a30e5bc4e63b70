/** Plain rows of text, before any tokenizer: what a stage reads, whoever made them. */

/** Text to pretrain on: TRL's "language modeling". */
export interface TextRow {
  readonly text: string
}

/** Something to answer: TRL's "prompt-only". */
export interface PromptRow {
  readonly prompt: string
  /** What a verifier holds a completion against, where there is something to. */
  readonly answer?: string
}

/** A prompt and an answer to imitate: TRL's "prompt-completion". */
export interface DemonstrationRow {
  readonly prompt: string
  readonly completion: string
}

/** Two answers to one prompt, the better one first: TRL's "preference". */
export interface PreferenceRow {
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
  /** How much better `chosen` is, in the units of whoever scored it (Llama 2, arXiv 2307.09288, eq. 2). */
  readonly margin?: number
  /** Whether each ended by itself; one cut off by a length limit gets no end token. Default: true. */
  readonly ended?: { readonly chosen: boolean; readonly rejected: boolean }
}
