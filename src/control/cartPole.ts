import type { Environment } from "./environment.ts"

/** Cart position (m), its velocity (m/s), pole angle from upright (rad), its velocity (rad/s). */
export type CartPoleState = readonly [x: number, xDot: number, theta: number, thetaDot: number]

/** Gymnasium's `CartPole-v1`: SI units. */
export const constants = {
  gravity: 9.8,
  massCart: 1,
  massPole: 0.1,
  /** Half the pole's length. */
  length: 0.5,
  force: 10,
  /** Seconds a step. */
  tau: 0.02,
  xLimit: 2.4,
  /** 12°. */
  thetaLimit: 12 * 2 * Math.PI / 360,
  horizon: 500
} as const

/**
 * Balancing a pole on a cart by pushing it left (0) or right (1): Barto, Sutton and Anderson 1983, with the equations of
 * Florian 2007 without friction, as Gymnasium steps them: explicit Euler, positions advance with the old velocities.
 *
 *     q = (F + m_p l θ̇² sin θ) / (m_c + m_p)
 *     θ̈ = (g sin θ − cos θ q) / (l (4/3 − m_p cos² θ / (m_c + m_p)))        ẍ = q − m_p l θ̈ cos θ / (m_c + m_p)
 *
 * Reward 1 for every step, the last step included. Terminates when |x| > 2.4 or |θ| > 12°.
 */
export const step = ([x, xDot, theta, thetaDot]: CartPoleState, action: number): {
  readonly state: CartPoleState
  readonly reward: number
  readonly terminated: boolean
} => {
  const { force, gravity, length, massCart, massPole, tau, thetaLimit, xLimit } = constants
  const [total, moment] = [massCart + massPole, massPole * length]
  const [cos, sin] = [Math.cos(theta), Math.sin(theta)]
  const push = ((action === 1 ? force : -force) + moment * thetaDot ** 2 * sin) / total
  const thetaAcc = (gravity * sin - cos * push) / (length * (4 / 3 - massPole * cos ** 2 / total))
  const xAcc = push - moment * thetaAcc * cos / total
  const state = [x + tau * xDot, xDot + tau * xAcc, theta + tau * thetaDot, thetaDot + tau * thetaAcc] as const
  return {
    state,
    reward: 1,
    terminated: Math.abs(state[0]) > xLimit || Math.abs(state[2]) > thetaLimit
  }
}

/** Each number of the first state is uniform in [−0.05, 0.05). */
export const cartPole = (discount: number): Environment<CartPoleState> => ({
  setting: { horizon: constants.horizon, transition: "environment", reward: "step", discount },
  solvedAt: 475,
  actions: 2,
  features: 4,
  start: ({ next }) => [next() / 10 - 0.05, next() / 10 - 0.05, next() / 10 - 0.05, next() / 10 - 0.05],
  step,
  observe: (state) => state
})
