/** Runs a description of standard reinforcement learning (`dsl/Control.ts`) until it is solved or its steps are used up. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Control } from "../../dsl/Control.ts"
import { scheduleMistakes } from "../../dsl/Training.ts"
import { Diverged } from "../../dsl/Errors.ts"
import { cartPole } from "../control/cartPole.ts"
import type { Environment } from "../control/environment.ts"
import { thermostat } from "../control/thermostat.ts"
import { learner } from "../control/train.ts"
import { Refused } from "./check.ts"

/** The progress so far. */
export interface Progress {
  /** Iterations done. */
  readonly step: number
  /** Environment steps that were used for learning. */
  readonly environmentSteps: number
  /** Mean return of the iteration's episodes, undiscounted. */
  readonly meanReturn: number
  /** Mean return over `evaluationEpisodes` other episodes, in iterations with an evaluation. */
  readonly evaluation: number | null
}

export interface Controlled {
  readonly solved: boolean
  readonly progress: ReadonlyArray<Progress>
  /** Parameters of the policy's network, layer by layer. */
  readonly policy: Float64Array
}

/** An environment of your own: pure, with its randomness in the argument. `discount` goes into its `setting`. */
export interface ControlEnvironment {
  readonly name: string
  // The states of an environment are its own affair.
  readonly make: (discount: number) => Environment<any>
}

const refused = (problem: string) => new Refused({ problems: [{ stage: "control", problem }] })

/** The described environment. */
export const environmentOf = (
  { discount, environment }: Control,
  given: ReadonlyArray<ControlEnvironment>
): Result.Result<Environment<any>, Refused> => {
  if (environment === "cartpole") return Result.succeed(cartPole(discount))
  if (environment._tag === "Thermostat") return Result.succeed(thermostat(environment, discount))
  const found = given.find(({ name }) => name === environment.name)
  return found === undefined
    ? Result.fail(refused(
      `environment: ${environment.name} has no implementation; export const environments = [{ name: ${
        JSON.stringify(environment.name)
      }, make: (discount) => … }], or give it to control`
    ))
    : Result.succeed(found.make(discount))
}

/** The description itself, or all of its mistakes. */
export const checked = (description: Control): Result.Result<Control, Refused> => {
  const params: unknown = JSON.parse(JSON.stringify(description))
  const decoded = Schema.decodeUnknownResult(Control)(params, { errors: "all", onExcessProperty: "error" })
  const refused = (problems: ReadonlyArray<string>) =>
    new Refused({ problems: problems.map((problem) => ({ stage: "control", problem })) })
  const control = Result.mapError(decoded, (error) => {
    const { issues } = SchemaIssue.makeFormatterStandardSchemaV1()(error.issue)
    return refused(issues.map(({ message, path }) => `${(path ?? []).map(String).join(".")}: ${message}`))
  })
  return Result.flatMap(control, (control) => {
    const mistakes = scheduleMistakes(control)
    return mistakes.length > 0 ? Result.fail(refused(mistakes)) : Result.succeed(control)
  })
}

/** Lets timers and signals through, because the work is synchronous. */
const breathe = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

export const control = Effect.fn("control")(function*(
  description: Control,
  { environments = [], onProgress }: {
    readonly environments?: ReadonlyArray<ControlEnvironment>
    readonly onProgress?: (progress: Progress) => void
  } = {}
) {
  const task = yield* Effect.fromResult(checked(description))
  const environment = yield* Effect.fromResult(environmentOf(task, environments))
  const { solvedAt = environment.solvedAt } = task
  const { evaluate, policy, step } = learner(environment, task, String(task.seed))
  const progress: Array<Progress> = []
  let [environmentSteps, solved] = [0, false]
  for (let n = 0; n < task.steps && !solved; n++) {
    const { loss, meanReturn, steps } = step(n)
    if (!Number.isFinite(loss)) {
      return yield* new Diverged({ stage: "control", step: n, quantity: "loss", value: String(loss), kept: "nothing" })
    }
    environmentSteps += steps
    const due = (n + 1) % task.evaluateEvery === 0 || n + 1 === task.steps
    const evaluation = due ? evaluate(String(n), task.evaluationEpisodes) : null
    solved = evaluation !== null && solvedAt !== undefined && evaluation >= solvedAt
    const now = { step: n + 1, environmentSteps, meanReturn, evaluation }
    progress.push(now)
    onProgress?.(now)
    yield* breathe
  }
  return { solved, progress, policy: policy.parameters } satisfies Controlled
})
