import * as Context from "effect/Context"
import type { Engine } from "./engine.ts"

/** The engine that stages run on: `simulate` provides a tabular one, `run` a transformer. */
export class CurrentEngine extends Context.Service<CurrentEngine, Engine>()("keel/CurrentEngine") {}
