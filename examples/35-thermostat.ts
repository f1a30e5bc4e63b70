/**
 * Standard reinforcement learning in the chapter's three equations (rlhfbook.com, "Training Overview"), on its thermostat: a trajectory has the
 * probability p(τ) = ρ(s₀) Π π(a|s) p(s′|s, a), its return is R(τ) = Σ γ^t r(s, a), and the objective is J(π) = E R(τ), a mean over rollouts.
 * The room is an environment of your own; PPO learns what the rule "heat if it is colder than 70 °F" does.
 *
 *     node examples/35-thermostat.ts        # the learner alone: npx keel run examples/35-thermostat.ts
 *
 *     J of a coin 43.294, of the rule 97.8
 *     J of PPO after 5 steps 93.46
 */
import { Effect } from "effect"
import { Control } from "../dsl/index.ts"
import { thermostat } from "../src/control/thermostat.ts"
import { control } from "../src/interpreters/control.ts"
import { stream } from "../src/sampling/random.ts"

/** ρ, p and r: `start`, `step` and its `reward`. */
const room = (discount: number) => thermostat(Control.thermostat({ target: 70, within: 2 }), discount)
export const environments = [{ name: "room", make: room }]

const learnt = Control.ppo(Control.own("room"))
export default learnt

/** J of a policy by 1,000 rollouts with γ = 1: how many of 100 steps the room is within 2 °F of 70 °F. */
const objective = (policy: (degrees: number, u: number) => number): number => {
  const { setting, start, step } = room(1)
  const rollout = (_: unknown, i: number): number => {
    const random = stream(`rollout/${i}`)
    let [degrees, total] = [start(random), 0]
    for (let t = 0; t < setting.horizon; t++) {
      const { reward, state } = step(degrees, policy(degrees, random.next()), random)
      ;[degrees, total] = [state, total + reward]
    }
    return total
  }
  return Array.from({ length: 1000 }, rollout).reduce((sum, x) => sum + x, 0) / 1000
}

if (import.meta.main) {
  console.log(`J of a coin ${objective((_, u) => u < 0.5 ? 0 : 1)}, of the rule ${objective((t) => t < 70 ? 1 : 0)}`)
  const onProgress = ({ evaluation, step }: { readonly evaluation: number | null; readonly step: number }) =>
    evaluation === null || console.log(`J of PPO after ${step} steps ${evaluation}`)
  await Effect.runPromise(control(learnt, { environments, onProgress }))
}
