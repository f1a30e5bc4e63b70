/** What gives descriptions meaning. */
export { check, type Problem, problems, Refused } from "./check.ts"
export { execute, type ExecuteError } from "./execute.ts"
export { type Extensions } from "./extensions.ts"
export { run, type RunOptions } from "./run.ts"
export { defaultWorld, type ExactPolicy, simulate, type Simulated, type SimulateOptions } from "./simulate.ts"
