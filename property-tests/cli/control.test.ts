import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { keel } from "./keel.ts"

const [file, here] = ["examples/06-cartpole.ts", fileURLToPath(new URL("../../", import.meta.url))]
const short = ["--set", "steps=1", "--set", "evaluationEpisodes=2"]

describe("a description of standard reinforcement learning", () => {
  it("is checked, shown, planned and run; other commands and fields are refused by name", async () => {
    const [checked, shown, planned, ran, simulated, misspelt] = await Promise.all([
      keel(["check", file], here),
      keel(["show", file], here),
      keel(["plan", file, ...short], here),
      keel(["run", file, ...short], here),
      keel(["simulate", file], here),
      keel(["run", file, "--set", "lerningRate=3"], here)
    ])
    assert.strictEqual(checked.stdout, `${file}: control of cartpole, no mistakes\n`)
    assert.match(shown.stdout, /^control of cartpole\n.*γ.*\n[^]*learningRate=0.003/u)
    assert.match(planned.stdout, /at most 1 steps of 16 episodes of at most 500 moves\n {2}at most 8,000 moves/u)
    assert.match(ran.stdout, /^Not solved in 1 steps/u)
    assert.match(simulated.stderr, /it describes standard reinforcement learning/u)
    assert.match(misspelt.stderr, /lerningRate/u)
    assert.deepStrictEqual([ran.code, simulated.code, misspelt.code], [0, 1, 1])
  })
})
