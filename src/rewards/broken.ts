/** Calls of functions from outside Keel that break their contract. */
import type { BrokenExtension } from "../../dsl/Errors.ts"

type Kind = BrokenExtension["kind"]

/** Thrown where Keel called the function; `execute` adds the stage and fails with `BrokenExtension`. */
export class Broken extends Error {
  readonly of: { readonly kind: Kind; readonly name: string; readonly problem: string }
  constructor(kind: Kind, name: string, problem: string, options?: ErrorOptions) {
    super(`the ${kind} ${name} ${problem}`, options)
    this.of = { kind, name, problem }
  }
}

/** The first line of whatever was thrown. */
export const thrown = (cause: unknown): string =>
  `threw ${(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)).split("\n")[0]!}`

/** The result of `call`, if it does not throw and `problem` finds none in it. */
export const unbroken = <A>(kind: Kind, name: string, call: () => A, problem: (result: A) => string | null): A => {
  let result: A
  try {
    result = call()
  } catch (cause) {
    throw new Broken(kind, name, thrown(cause), { cause })
  }
  const found = problem(result)
  if (found !== null) throw new Broken(kind, name, found)
  return result
}
