import * as Context from "effect/Context"
import { aroundEngine } from "./around.ts"
import type { Computing, Engine, MicroBatches } from "./engine.ts"

/** Micro-batches of the models of a stage, by its label; a stage without an entry uses the engine's own. */
export const CurrentMicroBatches = Context.Reference<ReadonlyMap<string, MicroBatches>>("keel/MicroBatches", {
  defaultValue: () => new Map()
})

/** The engine that opens every model like this, unless it is asked otherwise. */
export const opening = (engine: Engine, how: Computing): Engine =>
  Object.keys(how).length === 0 ? engine : aroundEngine(engine, { computing: (own) => ({ ...how, ...own }) })
