/** Values and gradients of reward losses equal TRL's (`trl/rewardModeling.py`), and the fixtures are what TRL says when it is here. */
import { Effect } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import * as RewardLoss from "../../dsl/RewardLoss.ts"
import { encodeWithin } from "../../src/data/encode.ts"
import { steps as stepsBy } from "../../src/data/encodeJudged.ts"
import type { Codec } from "../../src/engine/engine.ts"
import { offsetsOf } from "../../src/engine/engine.ts"
import { bradleyTerry } from "../../src/losses/bradleyTerry.ts"
import { rewardObjective } from "../../src/rewards/objective.ts"
import { assertClose, f64 } from "./gradients.ts"

interface Golden {
  readonly pairs: ReadonlyArray<{
    readonly chosen: ReadonlyArray<number>
    readonly rejected: ReadonlyArray<number>
    readonly margin: ReadonlyArray<number> | null
    readonly center: number
    readonly loss: number
    readonly gradient: ReadonlyArray<number>
    readonly metrics: Readonly<Record<string, number>>
  }>
  readonly steps: ReadonlyArray<{
    readonly prompt: string
    readonly completions: ReadonlyArray<string>
    readonly labels: ReadonlyArray<boolean>
    readonly separator: string
    readonly input_ids: ReadonlyArray<number>
    readonly token_labels: ReadonlyArray<number>
    readonly logits: ReadonlyArray<readonly [number, number]>
    readonly loss: number
    readonly gradient: ReadonlyArray<readonly [number, number]>
  }>
}

const fixture = (name: string): string => readFileSync(join(import.meta.dirname, `../golden/trl-${name}.json`), "utf8")
const golden = JSON.parse(fixture("rewardModeling")) as Golden

/** A token for every character. */
const ids = (text: string): Int32Array => Int32Array.from(text, (c) => c.charCodeAt(0))
const codec: Codec = {
  encodePrompt: (text) => Int32Array.of(1, ...ids(text)),
  encodeCompletion: (text, { end }) => Int32Array.of(...ids(text), ...(end ? [2] : [])),
  decode: (tokens) => String.fromCharCode(...Array.from(tokens)),
  chat: () => "",
  stop: [2],
  vocab: 256
}
const use = { stage: "reward", codec, context: 100 }

describe("TRL's reward losses", () => {
  it("RewardTrainer: value, gradient and metrics, with margin and centring", () => {
    assert.isAtLeast(golden.pairs.length, 6)
    for (const { center, chosen, gradient, loss, margin, metrics, rejected } of golden.pairs) {
      const own = bradleyTerry(f64(...chosen), f64(...rejected), {
        centerRewardsCoefficient: center,
        ...(margin === null ? {} : { margin: f64(...margin) })
      })
      assert.closeTo(own.loss, loss, 1e-12)
      assertClose([...own.gradients.chosen, ...own.gradients.rejected], gradient, 1e-12)
      assert.sameMembers(Object.keys(metrics), Object.keys(own.metrics))
      // TRL's accuracy is a float32.
      for (const [name, value] of Object.entries(metrics)) assert.closeTo(own.metrics[name]!, value, 1e-7, name)
    }
  })

  it("PRMTrainer: the tokens, which of them end a step, and the loss of two logits is that of their difference", async () => {
    assert.isAtLeast(golden.steps.length, 3)
    for (const one of golden.steps) {
      const { labels, separator } = one
      const loss = RewardLoss.process({ separator, aggregation: "min" })
      const { encoded: [steps] } = await Effect.runPromise(
        encodeWithin(use, [one], stepsBy(codec, codec.encodeCompletion(separator, { end: false }), "binary"))
      )
      const { completion, prompt } = steps!.row
      assert.deepStrictEqual([...prompt, ...completion], one.input_ids)
      const expected = one.input_ids.map(() => -100)
      steps!.ends.forEach((t, i) => (expected[prompt.length + t] = Number(labels[i])))
      assert.deepStrictEqual(expected, one.token_labels)

      const objective = await Effect.runPromise(rewardObjective(
        loss,
        use,
        { role: "Stepwise", rows: [one] },
        (rows, encoding) => encodeWithin(use, rows, encoding)
      ))
      const { loss: lossOf, rows } = objective.batch([0])
      // Position t is the state after token t of prompt + completion, from the last prompt token on.
      const seen = one.logits.slice(prompt.length - 1)
      const own = lossOf(Float64Array.from(seen, ([wrong, right]) => right - wrong), offsetsOf(rows, 0))
      // transformers computes this loss in float32.
      assert.closeTo(own.loss, one.loss, 1e-6)
      assertClose(own.gradient, one.gradient.slice(prompt.length - 1).map(([, right]) => right), 1e-6)
      assertClose(own.gradient, one.gradient.slice(prompt.length - 1).map(([wrong]) => -wrong), 1e-6)
    }
  })

  const there =
    spawnSync("python3", ["-c", "import importlib.util as u; raise SystemExit(not u.find_spec('trl'))"]).status === 0
  if (!there) console.warn("skipped: python3 with trl is not there, so the fixtures of its losses are not made again")
  it.runIf(there)("the fixtures are what TRL says today", { timeout: 300_000 }, () => {
    // One process for both: importing TRL takes longer than running it.
    const names = ["rewardModeling", "distill"]
    const scripts = names.map((name) => join(import.meta.dirname, "trl", `${name}.py`))
    const made = execFileSync("python3", [
      "-c",
      "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path)",
      ...scripts
    ], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"]
    }).trim().split("\n")
    const flat = (value: unknown): ReadonlyArray<number> =>
      typeof value === "number"
        ? [value]
        : typeof value === "object" && value !== null
        ? Object.values(value).flatMap(flat)
        : []
    names.forEach((name, i) => {
      // The last digits depend on the machine's vector instructions.
      assertClose(flat(JSON.parse(made[i]!)), flat(JSON.parse(fixture(name))), 1e-12)
    })
  })
})
