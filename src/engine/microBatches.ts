import * as Context from "effect/Context"
import { aroundEngine } from "./around.ts"
import type { Engine, MicroBatches } from "./engine.ts"

/** Micro-batches of the models of a stage, by its label; a stage without an entry uses the engine's own. */
export const CurrentMicroBatches = Context.Reference<ReadonlyMap<string, MicroBatches>>("keel/MicroBatches", {
  defaultValue: () => new Map()
})

/** The engine with these limits on the micro-batches of every model. */
export const inMicroBatches = (engine: Engine, most: MicroBatches | undefined): Engine =>
  most === undefined ? engine : aroundEngine(engine, { computing: (own) => ({ ...most, ...own }) })
