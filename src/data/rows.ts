/** Plain rows of text, before any tokenizer: what a stage reads, whoever made them. */

/** Text to pretrain on: TRL's "language modeling". */
export interface TextRow {
  readonly text: string
}

/** Something to answer: TRL's "prompt-only". */
export interface PromptRow {
  readonly prompt: string
}

/** One turn of an assistant: what has come since its last turn, rendered, and what it says. */
export interface Turn {
  readonly context: string
  readonly answer: string
}

/** A prompt and an answer to imitate: TRL's "prompt-completion". */
export interface DemonstrationRow {
  readonly prompt: string
  readonly completion: string
  /**
   * Every turn of the assistant, when it is a conversation; the last one is `completion`. Null when the chat template rewrites earlier
   * turns, so that where they end cannot be told.
   */
  readonly turns?: ReadonlyArray<Turn> | null
}

/** Several answers to one prompt, the better ones first. */
export interface RankingRow {
  readonly prompt: string
  readonly completions: ReadonlyArray<string>
  /** The place of each completion, from 1, in rising order; equal places tie. */
  readonly ranks: ReadonlyArray<number>
}

/** An answer that is right or wrong, good or bad: TRL's "unpaired preference". */
export interface UnpairedRow {
  readonly prompt: string
  readonly completion: string
  readonly label: boolean
}

/** An answer in steps: TRL's "stepwise supervision". Labels are right or wrong, or 1, 0 (neutral) and −1. */
export interface StepwiseRow {
  readonly prompt: string
  readonly completions: ReadonlyArray<string>
  readonly labels: ReadonlyArray<boolean | number>
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
