import * as Schema from "effect/Schema"

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
    return `${this.path}: ${this.problem}. ${this.remedy}`
  }
}
