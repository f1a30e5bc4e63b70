/** Standard reinforcement learning on the command line: `dsl/Control.ts`. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Control } from "../../dsl/Control.ts"
import { checked, control, environmentOf } from "../interpreters/control.ts"
import type { Overridden } from "./options.ts"
import { assigned, BadPipelineFile, type IsControl } from "./pipelineFile.ts"

const count = (n: number): string => Math.round(n).toLocaleString("en-US")

/** With the overrides, checked. */
const given = Effect.fnUntraced(function*({ description, environments }: IsControl, { base, seed, set }: Overridden) {
  if (Option.isSome(base)) {
    return yield* new BadPipelineFile({
      path: "--base",
      problem: "standard reinforcement learning has no base model",
      remedy: "Leave it out."
    })
  }
  const fields: Record<string, unknown> = { ...description }
  for (const override of set) {
    const { name, value } = yield* assigned(override, "learningRate=0.01")
    fields[name] = value
  }
  if (Option.isSome(seed)) fields["seed"] = seed.value
  const task = yield* Effect.fromResult(checked(fields as never))
  return { task, environments, environment: yield* Effect.fromResult(environmentOf(task, environments)) }
})

const nameOf = ({ environment }: Control): string =>
  environment === "cartpole" ? environment : environment._tag === "Thermostat" ? "thermostat" : environment.name

export const check = Effect.fn("control.check")(function*(file: IsControl, overridden: Overridden & { json: boolean }) {
  const { task } = yield* given(file, overridden)
  yield* Console.log(
    overridden.json ? JSON.stringify({ problems: [] }) : `${file.path}: control of ${nameOf(task)}, no mistakes`
  )
})

export const show = Effect.fn("control.show")(function*(file: IsControl, overridden: Overridden & { json: boolean }) {
  const { task } = yield* given(file, overridden)
  if (overridden.json) return yield* Console.log(JSON.stringify(task))
  const { environment, _tag, ...fields } = task
  const settings = typeof environment === "string"
    ? []
    : Object.entries(environment).filter(([name]) => name !== "_tag" && name !== "name")
  yield* Console.log([
    `control of ${nameOf(task)}${settings.map(([name, value]) => `  ${name}=${value}`).join("")}`,
    `  J = E Σ γ^t r(s_t, a_t), ${
      task.baseline === "value" ? "by PPO with a value function" : "by policy gradients without a baseline"
    }`,
    ...Object.entries(fields).map(([name, value]) => `  ${name}=${Array.isArray(value) ? value.join("×") : value}`)
  ].join("\n"))
})

/** An upper bound on the work; an episode may end before its horizon, and the whole when it is solved. */
export const plan = Effect.fn("control.plan")(function*(file: IsControl, overridden: Overridden & { json: boolean }) {
  const { environment: { features, actions, setting }, task } = yield* given(file, overridden)
  const weightsOf = (outputs: number) =>
    [features, ...task.hidden, outputs].reduce(
      ({ last, sum }, width) => ({ sum: sum + (last === 0 ? 0 : (last + 1) * width), last: width }),
      { sum: 0, last: 0 }
    ).sum
  const moves = task.steps * task.episodesPerStep * setting.horizon
  const evaluations = Math.ceil(task.steps / task.evaluateEvery) * task.evaluationEpisodes * setting.horizon
  const parameters = weightsOf(actions) + (task.baseline === "value" ? weightsOf(1) : 0)
  if (overridden.json) return yield* Console.log(JSON.stringify({ moves, evaluations, parameters }))
  yield* Console.log([
    `control of ${nameOf(task)}: at most ${count(task.steps)} steps of ${
      count(task.episodesPerStep)
    } episodes of at most ${count(setting.horizon)} moves`,
    `  at most ${count(moves)} moves are learnt from, each ${count(task.numPpoEpochs)} times, and ${
      count(evaluations)
    } are made to evaluate`,
    `  ${count(parameters)} parameters; no time is planned: seconds on one core`
  ].join("\n"))
})

export const run = Effect.fn("control.run")(function*(file: IsControl, overridden: Overridden & { json: boolean }) {
  const { environments, task } = yield* given(file, overridden)
  const { progress, solved } = yield* control(task, {
    environments,
    onProgress: ({ environmentSteps, evaluation, meanReturn, step }) => {
      if (overridden.json || evaluation === null) return
      console.error(
        `step ${step}   ${count(environmentSteps)} moves   mean return ${
          meanReturn.toFixed(1)
        }   over ${task.evaluationEpisodes} others ${evaluation.toFixed(1)}`
      )
    }
  })
  yield* Console.log(
    overridden.json
      ? JSON.stringify({ solved, progress })
      : `${solved ? "Solved" : "Not solved"} in ${progress.length} steps; nothing is stored, for it takes seconds.`
  )
})
