/**
 * Keeps the prompts that are neither too easy nor too hard for the policy that answered them: its solve rate, the share of a prompt's
 * completions that score at least `solved`, lies from `atLeast` to `atMost` (20 % to 80 % of 16 samples; book chapter 7). MiMo drops what is
 * solved more than 90 % of the time (arXiv 2505.07608, section 3.1): `{ atLeast: 0, atMost: 0.9 }`. Equal prompts are one prompt, whose
 * answer and columns are those of its first completion. Done by `src/stages/difficulty.ts`.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Fraction, or } from "../Training.ts"
import { data } from "../Wires.ts"

export class Difficulty extends Schema.TaggedClass<Difficulty>()("Difficulty", {
  /** Solve rates, both included. */
  atLeast: Fraction,
  atMost: Fraction,
  /** The score of a solved prompt: the sum of the weights of verifiers that pass. */
  solved: or(Schema.Finite, 1)
}) {}

export const definition = define(Difficulty, {
  completions: data("ScoredCompletions", "scored completions, e.g. Score.byVerifier(…)")
}, {
  compares: ({ atLeast, atMost }) => atLeast > 0 || atMost < 1 ? ["a solve rate between 0 and 1", 2] : ["", 0],
  makes: "Prompts",
  rows: "completions",
  mistakes: ({ atLeast, atMost }) => [
    atLeast > atMost && `atLeast ${atLeast} is more than atMost ${atMost}`,
    atLeast === 0 && atMost === 1 && "it keeps everything: give atLeast or atMost between 0 and 1"
  ]
})

export const make = constructs(definition)
