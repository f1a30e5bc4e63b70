import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Optimizer, Weights } from "../engine/engine.ts"
import type { TakenOver } from "./takenOver.ts"
import type { Made } from "./made.ts"
import type { Event } from "./runLog.ts"
import type { Spent } from "./spent.ts"

/** A checkpoint inside a stage: all that going on from `step` needs. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number
  readonly models: Readonly<Record<string, { readonly weights: Weights; readonly optimizer: Optimizer }>>
  /** Other state that the stage carries from step to step, as JSON. */
  readonly state: Schema.Json
}

/** Rows that an unfinished stage has made since the chunk before: see `training/chunks.ts`. */
export interface Chunk {
  readonly part: string
  /** The items of the part that the rows were made of. */
  readonly items: number
  readonly rows: ReadonlyArray<Schema.Json>
  /** Spending since the chunk before. */
  readonly spent: Spent
}

/** The answer of an endpoint, and what was paid for it. */
export const Answer = Schema.Struct({
  text: Schema.String,
  tokens: Schema.Natural,
  /** Millionths of the currency of the endpoint's price. */
  fees: Schema.Natural,
  /** Whether the tokens are an estimate, four characters each, because the endpoint did not count them. */
  estimated: Schema.Boolean,
  /** The key of the stage that paid for it, and its how many-th payment it was. */
  payer: Schema.String,
  nth: Schema.Natural
})
export type Answer = typeof Answer.Type

/** A file of the store that cannot be read back: written by something else, or damaged on disk. */
export class StoreDamaged extends Schema.TaggedError<StoreDamaged>()("StoreDamaged", {
  path: Schema.String,
  problem: Schema.String,
  /** The whole result or checkpoint that it is part of. */
  folder: Schema.optionalKey(Schema.String),
  /** Instead of removing the folder. */
  remedy: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const remedy = this.remedy ?? `Remove ${this.folder ?? "that folder"}; its contents will be made again.`
    return `${this.path}: ${this.problem}. ${remedy}`
  }
}

export type StoreError = StoreDamaged | TakenOver | PlatformError.PlatformError

/** A process that makes a node. */
export interface Maker {
  readonly pid: number
  readonly host: string
}

/**
 * Results by key. A key is the content hash of a node and the limits it ran under, so a finished key never
 * changes and never has to be made again. Everything is written atomically: a crash loses at most the work since the last
 * `save`. Of several processes one makes a node: the first to finish it wins.
 */
export class Store extends Context.Service<Store, {
  /**
   * Owns the unfinished node `partial` (default: `key`) until the scope closes, unless `key` is finished: another process that would
   * make it waits. It waits itself while another process owns the node, and calls `waiting` once; an owner that ended is replaced at once, an owner
   * that stands still after a while, and `replaced` is called.
   */
  readonly claim: (
    key: string,
    label: string,
    on: {
      readonly waiting: (maker: Maker) => Effect.Effect<void, PlatformError.PlatformError>
      readonly replaced: (maker: Maker) => Effect.Effect<void, PlatformError.PlatformError>
    },
    partial?: string
  ) => Effect.Effect<void, StoreError, Scope.Scope>
  readonly find: (key: string, label: string) => Effect.Effect<Option.Option<Made>, StoreError>
  /** Whether it is finished, without reading it. */
  readonly has: (key: string, label: string) => Effect.Effect<boolean, StoreError>
  /**
   * `spent` has the resources except disk, which is counted here; unknown when left out. The checkpoints of the node `partial` (default:
   * `key`) are removed, unless it `stays`. A node that is finished already stays as it is.
   */
  readonly finish: (
    key: string,
    label: string,
    made: Made,
    spent?: Spent,
    told?: ReadonlyArray<Event>,
    partial?: string,
    stays?: boolean
  ) => Effect.Effect<void, StoreError>
  /** The events of a finished stage that are kept with it: see `interpreters/told.ts`. */
  readonly told: (key: string, label: string) => Effect.Effect<ReadonlyArray<Event>, StoreError>
  /** The resources that it took, of an unfinished stage until its last checkpoint; none if not counted. */
  readonly spent: (key: string, label: string) => Effect.Effect<Option.Option<Spent>, StoreError>
  /** Bytes kept under this key. */
  readonly size: (key: string, label: string) => Effect.Effect<number, StoreError>
  /** The last checkpoint of an unfinished stage. */
  readonly latest: (key: string, label: string) => Effect.Effect<Option.Option<Snapshot>, StoreError>
  /** Replaces the last checkpoint; returns where it is. */
  readonly save: (key: string, label: string, snapshot: Snapshot) => Effect.Effect<string, StoreError>
  /** Adds a chunk to those of an unfinished stage, at a cost that does not grow with their number; returns where they are. */
  readonly append: (key: string, label: string, chunk: Chunk) => Effect.Effect<string, StoreError>
  /** The chunks of an unfinished stage, in order; a chunk that a crash cut off is none. */
  readonly chunks: (key: string, label: string) => Effect.Effect<ReadonlyArray<Chunk>, StoreError>
  /** Keeps a model under a name beside the checkpoints; returns where it is. */
  readonly keep: (key: string, label: string, name: string, weights: Weights) => Effect.Effect<string, StoreError>
  /** The answer of a judge to a question, by the digest of the question. */
  readonly answer: (question: string) => Effect.Effect<Option.Option<Answer>, StoreError>
  /** Keeps it; the first answer to a question stays. */
  readonly keepAnswer: (question: string, answer: Answer) => Effect.Effect<void, StoreError>
  /** The last model kept under a name. */
  readonly kept: (key: string, label: string, name: string) => Effect.Effect<Option.Option<Weights>, StoreError>
}>()("keel/Store") {}
