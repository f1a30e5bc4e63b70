/** The implementation of a reward from outside Keel: the meaning of an `OwnReward` (`dsl/Extension.ts`). */
import type * as Schema from "effect/Schema"

export interface RewardImplementation<out Name extends string = string> {
  readonly name: Name
  /**
   * Pure, total and bounded, in units of its own: it never throws, and the same text has the same score. `params` come from the
   * description. `laws.reward` of `keel/testing` holds it to that.
   */
  readonly score: (prompt: string, completion: string, params: Readonly<Record<string, Schema.Json>>) => number
  /** Of the code: with another version, everything that it judged is made again. */
  readonly version?: string | undefined
}

/**
 * The implementation of the reward that descriptions call `name`. Change the `version` with the code; without it, the text of `score` itself
 * counts, which leaves out the code that it calls.
 */
export const reward = <const Name extends string>(
  name: Name,
  score: RewardImplementation["score"],
  { version }: { readonly version?: string } = {}
): RewardImplementation<Name> => ({ name, score, version })
