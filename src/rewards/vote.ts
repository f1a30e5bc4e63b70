import type { Verifier } from "../../dsl/Verifier.ts"
import { answerIn } from "./mathematics/extract.ts"
import { sameMeaning } from "./mathematics/mathematics.ts"
import { equal, lastNumber, lineAfter } from "./verifier.ts"

/** How completions vote for their answers. */
export interface Voting {
  /** The answer of a completion, as the verifier finds it; undefined where there is none. */
  readonly answer: (completion: string) => string | undefined
  readonly same: (a: string, b: string) => boolean
}

/** Null for a verifier that judges a completion as a whole, without an answer in it. */
export const votingOf = (verifier: Verifier): Voting | null => {
  switch (verifier._tag) {
    case "Mathematics":
      return { answer: (text) => answerIn(text, verifier.guess), same: sameMeaning }
    case "FinalAnswer":
      return { answer: (text) => lineAfter(verifier.marker, text), same: equal }
    case "LastNumber":
    case "LetterCount":
      return { answer: lastNumber, same: equal }
    default:
      return null
  }
}
