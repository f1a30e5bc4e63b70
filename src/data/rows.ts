/** Plain rows of text, before any tokenizer: what a stage reads, whoever made them. */

/** Text to pretrain on: TRL's "language modeling". */
export interface TextRow {
  readonly text: string
}

/** Something to answer: TRL's "prompt-only". */
export interface PromptRow {
  readonly prompt: string
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

/** An answer labelled by itself: TRL's "unpaired preference". */
export interface UnpairedPreferenceRow {
  readonly prompt: string
  readonly completion: string
  /** Whether it is desirable. */
  readonly label: boolean
  /** Whether it ended by itself; one cut off by a length limit gets no end token. Default: true. */
  readonly ended?: boolean
}

/** Each pair as two labelled answers, as TRL's `unpair_preference_dataset` makes them. */
export const unpaired = (rows: ReadonlyArray<PreferenceRow>): ReadonlyArray<UnpairedPreferenceRow> =>
  (["chosen", "rejected"] as const).flatMap((side) =>
    rows.map(({ ended, prompt, [side]: completion }) => ({
      prompt,
      completion,
      label: side === "chosen",
      ...(ended === undefined ? {} : { ended: ended[side] })
    }))
  )
