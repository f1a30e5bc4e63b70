import fc from "fast-check"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { cartPole, type CartPoleState, constants, step } from "../../src/control/cartPole.ts"
import { stream } from "../../src/sampling/random.ts"
import { shared } from "../model/shared.ts"

const within = (most: number) => fc.double({ min: -most, max: most, noNaN: true })
const states: fc.Arbitrary<CartPoleState> = fc.tuple(within(3), within(4), within(0.4), within(4))
const actions = fc.constantFrom(0, 1)

const close = (actual: CartPoleState, expected: ReadonlyArray<number>, tolerance: number) => {
  assert.strictEqual(expected.length, 4)
  actual.forEach((x, i) => assert.closeTo(x, expected[i]!, tolerance))
}

describe("invariant 50: CartPole", () => {
  it("steps from rest as RECIPES §1.0 has it, and always pushed right falls on step 9", () => {
    close(step([0, 0, 0, 0], 1).state, [0, 0.1951219512, 0, -0.2926829268], 1e-10)
    let state: CartPoleState = [0, 0, 0, 0]
    for (let n = 1; n <= 9; n++) {
      const next = step(state, 1)
      assert.strictEqual(next.terminated, n === 9)
      state = next.state
    }
    assert.closeTo(state[2], -0.215186, 1e-6)
  })

  it("is symmetric under reflection: step(−s, −a) = −step(s, a), bit for bit", () => {
    fc.assert(fc.property(states, actions, (state, action) => {
      const [x, xDot, theta, thetaDot] = state
      const right = step(state, action)
      const left = step([-x, -xDot, -theta, -thetaDot], 1 - action)
      close(left.state, right.state.map((y) => -y), 0)
      assert.strictEqual(left.terminated, right.terminated)
    }))
  })

  it("rewards every step with 1 and terminates iff a limit is passed", () => {
    let [ended, went] = [0, 0]
    fc.assert(fc.property(states, actions, (state, action) => {
      const next = step(state, action)
      const [x, , theta] = next.state
      const over = x < -2.4 || x > 2.4 || theta < -0.20943951023931953 || theta > 0.20943951023931953
      assert.strictEqual(next.terminated, over)
      assert.strictEqual(next.reward, 1)
      if (over) ended++
      else went++
    }))
    assert.isAbove(Math.min(ended, went), 5)
    assert.isFalse(step([2.4, 0, 0, 0], 1).terminated)
    assert.isFalse(step([0, 0, constants.thetaLimit, 0], 1).terminated)
    assert.isTrue(step([0, 0, constants.thetaLimit + 1e-15, 0], 1).terminated)
  })

  it("starts uniformly in [−0.05, 0.05) and is cut off after 500 steps", () => {
    const { setting, start } = cartPole(0.99)
    assert.strictEqual(setting.horizon, 500)
    const numbers = Array.from({ length: 500 }, (_, i) => [...start(stream(`start/${i}`))]).flat()
    assert.isTrue(numbers.every((x) => x >= -0.05 && x < 0.05))
    assert.isBelow(Math.abs(numbers.reduce((sum, x) => sum + x, 0) / numbers.length), 0.003)
    assert.closeTo(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length, 0.1 ** 2 / 12, 5e-5)
  })

  const path = shared("envs/cartpole.json")
  it.skipIf(path === null)("equals Gymnasium's trajectories to 1e-12", () => {
    const { constants: theirs, trajectories } = JSON.parse(readFileSync(path!, "utf8")) as {
      readonly constants: Readonly<Record<string, number>>
      readonly trajectories: ReadonlyArray<{
        readonly actions: ReadonlyArray<number>
        readonly rewards: ReadonlyArray<number>
        readonly states: ReadonlyArray<CartPoleState>
        readonly terminated: boolean
      }>
    }
    assert.strictEqual(theirs["theta_threshold_radians"], constants.thetaLimit)
    assert.strictEqual(theirs["max_steps"], constants.horizon)
    assert.isAbove(trajectories.length, 0)
    for (const { actions, rewards, states, terminated } of trajectories) {
      let state = states[0]!
      actions.forEach((action, t) => {
        const next = step(state, action)
        close(next.state, states[t + 1]!, 1e-12)
        assert.strictEqual(next.reward, rewards[t])
        assert.strictEqual(next.terminated, terminated && t === actions.length - 1)
        state = next.state
      })
    }
  })
})
