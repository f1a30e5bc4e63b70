import type { Thermostat } from "../../dsl/Control.ts"
import type { Environment } from "./environment.ts"

/** Temperatures in °F; a step is a few minutes. The book gives the target and the reward; the room is ours. */
export const constants = {
  outside: 50,
  /** Of the difference to the outside, lost in a step. */
  leak: 0.05,
  /** Added in a step by the heater. */
  heat: 2,
  coldest: 60,
  warmest: 80,
  horizon: 100
} as const

/**
 * A heater that is off (0) or on (1) in a room that loses heat: T′ = T + leak (outside − T) + heat a, so at 70 °F it loses or gains 1 °F a
 * step. Reward 1 where |T′ − target| ≤ within, else 0. The rule "heat if and only if T < target" is optimal at the default numbers.
 */
export const step = ({ target, within }: Thermostat) => (degrees: number, action: number) => {
  const { heat, leak, outside } = constants
  const state = degrees + leak * (outside - degrees) + heat * action
  return { state, reward: Math.abs(state - target) <= within ? 1 : 0, terminated: false }
}

/** The first temperature is uniform in [60, 80). A network sees the distance to the target in units of 10 °F. */
export const thermostat = (description: Thermostat, discount: number): Environment<number> => ({
  setting: { horizon: constants.horizon, transition: "environment", reward: "step", discount },
  solvedAt: 90,
  actions: 2,
  features: 1,
  start: ({ next }) => constants.coldest + next() * (constants.warmest - constants.coldest),
  step: step(description),
  observe: (degrees) => [(degrees - description.target) / 10]
})
