import * as Schema from "effect/Schema"

/** A model folder that cannot be used as it is: what is wrong with which file, and what to do about it. */
export class BadCheckpoint extends Schema.TaggedError<BadCheckpoint>()("BadCheckpoint", {
  /** The file or folder at fault. */
  path: Schema.String,
  /** Everything found wrong with it. */
  problem: Schema.String,
  /** What the user can do. */
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}. ${this.remedy}`
  }
}
