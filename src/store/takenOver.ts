import * as Schema from "effect/Schema"

/** Another process owns what this one worked on: it counts as gone, because it stood still. */
export class TakenOver extends Schema.TaggedError<TakenOver>()("TakenOver", {
  /** What it worked on. */
  path: Schema.String,
  /** The process that has it now, if it still does. */
  by: Schema.NullOr(Schema.Struct({ pid: Schema.Natural, host: Schema.String }))
}) {
  override get message() {
    const by = this.by === null ? "another process" : `process ${this.by.pid} on ${this.by.host}`
    return `${this.path}: ${by} took over while this one stood still; what this one did since its last checkpoint is dropped. ` +
      "Nothing is lost: run it again when the other one has ended, to find its results."
  }
}
