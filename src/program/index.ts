/** Everything that the command line does, for your program. */
export { check, type Problem, problems, Refused } from "../interpreters/check.ts"
export { type Environment } from "../control/environment.ts"
export { thermostat } from "../control/thermostat.ts"
export { stream } from "../sampling/random.ts"
export { control, type ControlEnvironment, type Controlled, type Progress } from "../interpreters/control.ts"
export { type Attainable, type Optimum } from "../interpreters/exactPolicy.ts"
export { type ExecuteError } from "../interpreters/execute.ts"
export { type Extensions } from "../interpreters/extensions.ts"
export {
  defaultWorld,
  type ExactPolicy,
  simulate,
  type Simulated,
  type SimulateOptions
} from "../interpreters/simulate.ts"
export { type Planned, type PlanOptions, type StagePlan } from "../planning/plan.ts"
export { type Prepared } from "../planning/prepare.ts"
export { BadRunFolder } from "../store/runDirectory.ts"
export { type BackendName, BackendUnavailable, engine } from "./backend.ts"
export { ledger } from "./ledger.ts"
export { generate, type Generated, type GenerateOptions, type ModelOptions, score } from "./model.ts"
export { plan, prepare, type Ran, run, type RunError, type RunOptions } from "./run.ts"
