/**
 * Standard reinforcement learning, the first half of the chapter: PPO and REINFORCE balance a pole, by the losses that train language
 * models. Solved is a mean return of 475 or more over 100 episodes. The chapter's thermostat is solved at 90 of 100.
 *
 *     node examples/06-cartpole.ts                 # PPO, a few seconds; or: node examples/06-cartpole.ts reinforce, or thermostat
 *
 *     step 25   87635 moves   mean return 500.0   over 100 others 500.0
 *     Solved in 25 steps.
 */
import { Effect } from "effect"
import { Control } from "../dsl/index.ts"
import { control } from "../src/interpreters/control.ts"

export const ppo = Control.ppo("cartpole")
export const reinforce = Control.reinforce("cartpole")

/** Keeps a room within 2 °F of 70 °F. */
export const thermostat = Control.ppo(Control.thermostat({ target: 70, within: 2 }))

export default ppo

if (import.meta.main) {
  const description = ({ reinforce, thermostat } as Record<string, typeof ppo>)[process.argv[2] ?? ""] ?? ppo
  const { progress, solved } = await Effect.runPromise(control(description, {
    onProgress: ({ environmentSteps, evaluation, meanReturn, step }) => {
      const evaluated = evaluation === null
        ? ""
        : `   over ${description.evaluationEpisodes} others ${evaluation.toFixed(1)}`
      console.log(`step ${step}   ${environmentSteps} moves   mean return ${meanReturn.toFixed(1)}${evaluated}`)
    }
  }))
  console.log(solved ? `Solved in ${progress.length} steps.` : "Not solved.")
}
