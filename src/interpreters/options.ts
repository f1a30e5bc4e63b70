import * as Effect from "effect/Effect"
import { meant } from "../../dsl/Spelling.ts"
import { Refused } from "./check.ts"

/** Refuses options that `of` does not have: a misspelt one would be ignored. */
export const known = <O extends object>(
  of: string,
  options: O,
  names: Readonly<Record<keyof O, true>>
): Effect.Effect<void, Refused> => {
  const all = Object.keys(names)
  const problems = Object.keys(options).filter((name) => !Object.hasOwn(names, name)).map((name) => ({
    stage: of,
    problem: `there is no option ${name}, only ${all.join(", ")}${meant(name, all)}`
  }))
  return problems.length === 0 ? Effect.void : Effect.fail(new Refused({ problems }))
}
