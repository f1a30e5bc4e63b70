import type { Random } from "../../sampling/random.ts"
import type { PromptRow } from "../rows.ts"

/**
 * Tasks whose answers a program can check (`Verifier.letterCount`, `Verifier.countdown`), for reinforcement learning with verifiable rewards
 * on a model that learns them from nothing. Everything is a pure function of a seed.
 */
export interface Puzzle {
  /** The prompt of an instruction; a text has it under another heading. */
  readonly asked: string
  readonly told: string
  /** The columns that its verifier reads. */
  readonly columns: NonNullable<PromptRow["columns"]>
  /** An answer in the words of the task: right, or with one slip. */
  readonly answer: (random: Random, right: boolean) => string
}

export interface Task {
  /** A puzzle, and whether it is held out. */
  readonly puzzle: (random: Random) => Puzzle & { readonly held: boolean }
  readonly words: ReadonlyArray<string>
}
