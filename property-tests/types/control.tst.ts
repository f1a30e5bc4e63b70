/** Where standard reinforcement learning and RLHF part, as the compiler sees it (Table 1 of the chapter). */
import { describe, expect, test } from "tstyche"
import type { Bandit, Environment } from "../../src/control/environment.ts"

describe("a bandit", () => {
  test("has one action, no transition, a reward of the response, and no discount", () => {
    expect<Bandit<string>["setting"]>().type.toBe<{
      readonly horizon: 1
      readonly transition: "none"
      readonly reward: "response"
      readonly discount: 1
    }>()
    expect<Bandit<string>>().type.not.toBeAssignableTo<Environment<string>>()
    expect<keyof Bandit<string>>().type.not.toBeAssignableTo<keyof Environment<string>>()
  })
})

describe("an environment", () => {
  test("has a horizon, a discount, and a transition with a reward of each step", () => {
    expect<Environment<number>["setting"]["horizon"]>().type.toBe<number>()
    expect<ReturnType<Environment<number>["step"]>["reward"]>().type.toBe<number>()
    expect<Environment<string>>().type.not.toBeAssignableTo<Bandit<string>>()
  })
})
