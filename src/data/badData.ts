import * as Schema from "effect/Schema"

/** A file of data that cannot be used; `line` is 1 for the first line, 0 when the whole file is meant. */
export class BadData extends Schema.TaggedError<BadData>()("BadData", {
  path: Schema.String,
  line: Schema.Natural,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.path}${this.line === 0 ? "" : `:${this.line}`}: ${this.problem}. ${this.remedy}`
  }
}
