import { Effect, Exit } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Control } from "../../dsl/index.ts"
import type { Environment } from "../../src/control/environment.ts"
import { constants, thermostat } from "../../src/control/thermostat.ts"
import { control } from "../../src/interpreters/control.ts"
import { stream } from "../../src/sampling/random.ts"

const room = thermostat(Control.thermostat(), 0.99)

/** Rewards of a whole episode from this temperature under a rule. */
const returnOf = (start: number, rule: (degrees: number) => number): number => {
  let [degrees, total] = [start, 0]
  for (let i = 0; i < constants.horizon; i++) {
    const { reward, state } = room.step(degrees, rule(degrees), stream("unused"))
    degrees = state
    total += reward
  }
  return total
}

describe("the thermostat", () => {
  it("gains or loses 1 °F a step at 70 °F, and is rewarded within 2 °F of the target", () => {
    const at = (degrees: number, action: number) => room.step(degrees, action, stream("unused"))
    assert.deepStrictEqual(at(70, 1), { state: 71, reward: 1, terminated: false })
    assert.deepStrictEqual(at(70, 0), { state: 69, reward: 1, terminated: false })
    assert.strictEqual(at(75, 1).reward, 0)
  })

  it("no sequence of actions has a higher return than the book's rule: heat if and only if T < 70", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 60, max: 80, noNaN: true }),
        fc.array(fc.integer({ min: 0, max: 1 }), { minLength: constants.horizon, maxLength: constants.horizon }),
        (start, actions) => {
          let i = 0
          const best = returnOf(start, (degrees) => degrees < 70 ? 1 : 0)
          assert.isAtLeast(best, returnOf(start, () => actions[i++]!))
          // Straight to the band is the fastest way, and the rule never leaves it.
          assert.isAtLeast(best, 90)
        }
      )
    )
  })

  it("is solved by PPO and by REINFORCE, for three seeds", async () => {
    for (const name of ["ppo", "reinforce"] as const) {
      for (const seed of [0, 1, 2]) {
        const { progress, solved } = await Effect.runPromise(control(Control[name](Control.thermostat(), { seed })))
        assert.isTrue(solved, `${name} ${seed}: ${progress.at(-1)!.evaluation}`)
      }
    }
  })

  it("another target is another task", async () => {
    const cold = await Effect.runPromise(control(Control.ppo(Control.thermostat({ target: 62, within: 1 }))))
    assert.isTrue(cold.solved)
    const impossible = Control.ppo(Control.thermostat({ target: 100 }), { steps: 1 })
    assert.isFalse((await Effect.runPromise(control(impossible))).solved)
  })
})

describe("an environment of one's own", () => {
  const coin: Environment<number> = {
    setting: { horizon: 1, transition: "environment", reward: "step", discount: 1 },
    actions: 2,
    features: 1,
    start: () => 1,
    step: (state, action) => ({ state, reward: action, terminated: true }),
    observe: (state) => [state]
  }

  it("is trained on by its name; without an implementation the name is said", async () => {
    const description = Control.ppo(Control.own("coin"), { steps: 40, solvedAt: 0.95 })
    const environments = [{ name: "coin", make: () => coin }]
    assert.isTrue((await Effect.runPromise(control(description, { environments }))).solved)
    const exit = await Effect.runPromiseExit(control(description))
    assert.isTrue(Exit.isFailure(exit))
    assert.match(String((exit as { cause?: unknown }).cause), /coin has no implementation/u)
  })
})
