/** What gives descriptions meaning. */
export { check, type Problem, problems, Refused } from "./check.ts"
export { control, type Controlled, type Progress } from "./control.ts"
export { execute } from "./execute.ts"
export { type Extensions } from "./extensions.ts"
export { type ExecuteError } from "./making.ts"
export { run, type RunOptions } from "./run.ts"
export { defaultWorld, type ExactPolicy, simulate, type Simulated, type SimulateOptions } from "./simulate.ts"
