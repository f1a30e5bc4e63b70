import * as Context from "effect/Context"
import { aroundEngine } from "./around.ts"
import type { Engine, MicroBatches } from "./engine.ts"

/** How much the models of a stage, by its label, do at once; as the engine does by itself where it says nothing. */
export const CurrentMicroBatches = Context.Reference<ReadonlyMap<string, MicroBatches>>("keel/MicroBatches", {
  defaultValue: () => new Map()
})

/** The engine, every model of which does no more at once than this. */
export const inMicroBatches = (engine: Engine, most: MicroBatches | undefined): Engine =>
  most === undefined ? engine : aroundEngine(engine, { computing: (own) => ({ ...most, ...own }) })
