import { Context } from "effect"
import type { Engine } from "./engine.ts"

/** The engine that stages run on: `simulate` provides a tabular one, `run` a transformer. */
export class CurrentEngine extends Context.Service<CurrentEngine, Engine>()("keel/CurrentEngine") {}
