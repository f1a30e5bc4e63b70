/** Runs a description of standard reinforcement learning (`dsl/Control.ts`) until it is solved or its steps are used up. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Control } from "../../dsl/Control.ts"
import { Diverged } from "../../dsl/Errors.ts"
import { cartPole } from "../control/cartPole.ts"
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

const environments = { cartpole: cartPole }

/** The description itself, or all of its mistakes. */
const checked = (description: Control): Result.Result<Control, Refused> => {
  const params: unknown = JSON.parse(JSON.stringify(description))
  const decoded = Schema.decodeUnknownResult(Control)(params, { errors: "all", onExcessProperty: "error" })
  return Result.mapError(decoded, (error) => {
    const { issues } = SchemaIssue.makeFormatterStandardSchemaV1()(error.issue)
    return new Refused({
      problems: issues.map(({ message, path }) => ({
        stage: "control",
        problem: `${(path ?? []).map(String).join(".")}: ${message}`
      }))
    })
  })
}

/** Lets timers and signals through, because the work is synchronous. */
const breathe = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

export const control = Effect.fn("control")(function*(
  description: Control,
  { onProgress }: { readonly onProgress?: (progress: Progress) => void } = {}
) {
  const task = yield* Effect.fromResult(checked(description))
  const { evaluate, policy, step } = learner(environments[task.environment](task.discount), task, String(task.seed))
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
    solved = evaluation !== null && evaluation >= task.solvedAt
    const now = { step: n + 1, environmentSteps, meanReturn, evaluation }
    progress.push(now)
    onProgress?.(now)
    yield* breathe
  }
  return { solved, progress, policy: policy.parameters } satisfies Controlled
})
