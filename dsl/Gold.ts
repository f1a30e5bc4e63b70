/**
 * Gold rewards: the real goal, known only where a checker exists. A gold reward judges (`Compare`) and observes
 * (`Evaluate`); no stage can be trained on one, which is why over-optimisation of the proxy can be seen at all.
 * In `simulate` every gold reward is the one of the tabular world.
 */
import * as Schema from "effect/Schema"
import { type NamedReward, OwnReward } from "./Extension.ts"

/** The checker of the built-in `tales` task: does the story do what the instruction asked? */
export class TalesChecker extends Schema.TaggedClass<TalesChecker>()("TalesChecker", {}) {}

/** A checker of children's stories in ordinary English: continuity, dialogue, repetition, resolution. */
export class StoryChecker extends Schema.TaggedClass<StoryChecker>()("StoryChecker", {}) {}

export const Gold = Schema.Union([TalesChecker, StoryChecker, OwnReward]).pipe(Schema.toTaggedUnion("_tag"))
export type Gold = typeof Gold.Type

export const tales: TalesChecker = new TalesChecker()
export const stories: StoryChecker = new StoryChecker()

/** A checker of your own: you give its implementation to `run` (`rewards: […]`), with these parameters. */
export const own = <const Name extends string>(
  name: Name,
  params: Readonly<Record<string, Schema.Json>> = {}
): NamedReward<Name> => new OwnReward({ name, params }, { disableChecks: true }) as NamedReward<Name>
