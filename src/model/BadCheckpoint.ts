import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A problem quotes the file, whose values may have any length. */
const cut = (problem: string): string => problem.length <= 2000 ? problem : `${problem.slice(0, 2000)}…`

/** A model folder that cannot be used as it is: the file, its problem, and the remedy. */
export class BadCheckpoint extends Schema.TaggedError<BadCheckpoint>()("BadCheckpoint", {
  /** The file or folder at fault. */
  path: Schema.String,
  /** Everything found wrong with it. */
  problem: Schema.String,
  /** Advice to the user. */
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${cut(this.problem)}. ${this.remedy}`
  }
}

/** Runs a function that throws `BadCheckpoint`. Anything else it throws is a bug. */
export const attempt = <A>(read: () => A): Effect.Effect<A, BadCheckpoint> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(read())
    } catch (error) {
      if (error instanceof BadCheckpoint) return Effect.fail(error)
      throw error
    }
  })
