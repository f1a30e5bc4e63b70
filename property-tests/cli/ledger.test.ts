import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  BestOfN,
  Checkpoint,
  Evaluate,
  Gold,
  Kl,
  Merge,
  MergeMethod,
  Pipeline,
  Sample,
  Score,
  Select,
  Sft
} from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { capsIn } from "../../src/interpreters/capsOf.ts"
import { ledgerOf } from "../../src/report/ledger.ts"
import { openRun } from "../../src/store/runDirectory.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folderIn, runs, succeeded, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { golden, keel } from "./keel.ts"

const folder = folders("ledger")
const { base, held, policy, prompts, reward, rl, root, sft } = tiny()

const measured = (step: number, mean: number): Event => ({
  _tag: "Measured",
  measurement: {
    stage: label(rl),
    step,
    from: label(sft),
    estimator: "k1",
    direction: "reverse",
    temperature: 1,
    mean,
    standardError: 0.125,
    perToken: mean / 5,
    samples: 8,
    cap: 15,
    ...(step === 2 ? {} : { prompts: 2, p95: 2 * mean, max: 3 * mean })
  }
})

/** The folder of a run of `of` with these events. */
const ran = async (of: Artifact.Any, events: ReadonlyArray<Event>, store?: string): Promise<string> => {
  const at = folder()
  await Effect.runPromise(
    Effect.gen(function*() {
      const append = yield* openRun(at, toJson(of), { backend: "native", store: store ?? at })
      for (const event of events) yield* append(event)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
  return at
}
/** Ids change with the language: not what this is about. */
const anonymous = (text: string): string => text.replaceAll(/-[0-9a-f]{8}/gu, "-00000000")

describe("keel ledger", () => {
  it("says what was allowed and what was measured, in text, JSON and SVG, and sets two runs side by side", async () => {
    const [at, other] = [await ran(root, [measured(2, 0.5), measured(4, 1)]), await ran(policy, [])]
    const [said, json, two] = await Promise.all([
      keel(["ledger", at, "--svg", join(at, "kl.svg")], at),
      keel(["ledger", at, "--json"], at),
      keel(["ledger", "compare", at, other], at)
    ])
    assert.strictEqual(said.code, 0, said.stderr)
    golden("keel-ledger.txt", anonymous(said.stdout))
    golden("keel-ledger-compare.txt", anonymous(two.stdout))
    const { stages: [entry] } = JSON.parse(json.stdout)
    assert.deepStrictEqual([entry.stage, entry.allowance, entry.caps], [label(rl), 1, [{
      _tag: "Cap",
      from: label(sft),
      mnats: 15_000,
      whenSpent: "stop"
    }]])
    assert.deepStrictEqual(entry.measured.map(({ mean, max }: any) => [mean, max]), [[0.5, undefined], [1, 3]])
    assert.match(readFileSync(join(at, "kl.svg"), "utf8"), /^<svg[^]*ppo-[^]*<\/svg>/u)
  })

  it("of a real run: what is handed on, learned and merged, from where each counts, and every measurement", async () => {
    const completions = Sample.make({ policy, prompts }, {
      completionsPerPrompt: 8,
      temperature: 0.9,
      topP: 0.9,
      maxNewTokens: 6
    })
    const scored = Score.byReward({ completions, reward })
    const [best, good] = [Select.perPrompt(1), Select.accept(0)].map((rule) =>
      Select.make({ completions: scored }, { rule })
    )
    const again = Sft.make({ base, demonstrations: best! }, { batchSize: 4, learningRate: 1e-3 })
    const on = Sft.make({ base: policy, demonstrations: good! }, { batchSize: 4, learningRate: 1e-3 })
    const merged = Merge.make({ held }, { again, on }, {
      method: MergeMethod.linear({ again: 0.5, on: 0.5 }),
      maxNewTokens: 6,
      measureSamples: 16
    })
    const capped = Pipeline.cap(merged, { kl: Kl.mnatsPerSequence(20_000), from: base, whenSpent: "warn" })
    const whole = Evaluate.make({ initial: sft, prompts: held }, { merged: capped }, {
      gold: Gold.tales,
      maxNewTokens: 6
    })
    const store = folder()
    const { events } = succeeded(await runs(whole, store))
    const at = await ran(whole, events, store)
    const said = await keel(["ledger", at, "--svg", join(at, "kl.svg")], at)
    assert.strictEqual(said.code, 0, said.stderr)
    golden("keel-ledger-run.txt", anonymous(said.stdout))
    // A panel for each stage that was measured, an interval and its middle for each measurement.
    const drawn = readFileSync(join(at, "kl.svg"), "utf8")
    for (const  of of[rl, merged]) assert.include(drawn, label(of))

    // The vocabulary that the bound rests on: of the model that was made, of a checkpoint, and nobody's where neither is.
    const greedy = async (model: Artifact.Any, where: string): Promise<number | null> => {
      const sample = Sample.make({ policy: model as typeof sft, prompts }, {
        completionsPerPrompt: 1,
        temperature: 0,
        maxNewTokens: 1
      })
      const { stdout } = await keel(["ledger", await ran(sample, [], where), "--json"], where)
      return JSON.parse(stdout).stages.find(({ stage }: any) => stage === label(sample)).known[0].known.bound.mnats
    }
    const made = join(await folderIn(store, sft, whole), "model")
    const { vocab_size: vocabulary } = JSON.parse(readFileSync(join(made, "config.json"), "utf8"))
    const checkpoint = Checkpoint.huggingFace("elsewhere", made)
    assert.deepStrictEqual(
      await Promise.all([greedy(sft, store), greedy(checkpoint, folder()), greedy(sft, folder())]),
      [Math.ceil(1000 * Math.log(vocabulary)), Math.ceil(1000 * Math.log(vocabulary)), null]
    )
  })

  it("of a run without KL says so; where no run is, it says so and exits with 1", async () => {
    const [at, empty] = [await ran(sft, []), folder()]
    mkdirSync(empty)
    const [without, nowhere, file] = await Promise.all([
      keel(["ledger", at], at),
      keel(["ledger", empty], empty),
      keel(["ledger", "compare", join(at, "run.json"), at], at)
    ])
    assert.match(file.stderr, /BadRunFolder: .*run\.json: there is no run there/u)
    assert.strictEqual(without.code, 0, without.stderr)
    assert.match(without.stdout, /No stage of this description[^]*No KL was measured in this run\./u)
    assert.deepStrictEqual([nowhere.code, nowhere.stdout], [1, ""])
    assert.match(
      nowhere.stderr,
      /BadRunFolder: .*: there is no run there\. Start a run with keel run, or give the folder of one/u
    )
    rmSync(join(at, "description.json"))
    const half = await keel(["ledger", at], at)
    assert.match(
      half.stderr,
      /BadRunFolder: .*description\.json: this file of the run is gone\. .*keel run FILE --out/u
    )
  })

  it("knows the bound of a choice and says why there is none, and adds nothing up", () => {
    const scored = Score.byReward({
      completions: Sample.make({ policy: sft, prompts }, { completionsPerPrompt: 4, maxNewTokens: 4 }),
      reward
    })
    const bounds = (of: Artifact.Any, events: ReadonlyArray<Event> = []) =>
      ledgerOf(of, events, (artifact) => capsIn(of)(artifact).kl).at(-1)!.known.map(({ known }) => known.bound.mnats)
    assert.deepStrictEqual(
      bounds(BestOfN.make({ completions: scored }, { gold: Gold.tales, sizes: [1, 4] })),
      [0, Math.ceil(1000 * Math.log(4))]
    )
    const best = Select.make({ completions: scored }, { rule: Select.perPrompt(1) })
    assert.deepStrictEqual(bounds(best), [1387])
    // Two of its prompts are equal: one with eight candidates.
    const metrics = { max_divergence: Math.log(8) }
    const step: Event = { _tag: "Step", stage: label(best), step: 1, steps: 1, tokens: 0, metrics }
    assert.deepStrictEqual(bounds(best, [step]), [2080])
    assert.deepStrictEqual(bounds(policy), [null])
  })
})
