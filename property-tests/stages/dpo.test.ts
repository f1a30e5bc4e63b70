/** The stages of direct alignment: on both engines, cached, resumed, and each better at its own objective. */
import { Effect } from "effect"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Dpo,
  Evaluate,
  Gold,
  Kl,
  Kto,
  Pair,
  Pipeline,
  PreferenceLoss,
  Sample,
  Score,
  Source
} from "../../dsl/index.ts"
import { encodePairs } from "../../src/data/encode.ts"
import type { PreferenceRow } from "../../src/data/rows.ts"
import { label } from "../../dsl/Render.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { sumRows } from "../../src/losses/ragged.ts"
import { load } from "../../src/model/checkpoint.ts"
import type { Event } from "../../src/store/runLog.ts"
import { rowId } from "../../src/training/referenceLogps.ts"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { contents, engine, runs, succeeded } from "../interpreters/tiny.ts"
import { named } from "../losses/dpoNames.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { start, tinyDpo, tinyKto } from "./alignment.ts"

const folder = folders("dpo")

const metrics = (events: ReadonlyArray<Event>, op: string): ReadonlyArray<Readonly<Record<string, number>>> =>
  events.flatMap((event) => event._tag === "Step" && event.stage.startsWith(`${op}-`) ? [event.metrics] : [])

const simulated = async (root: Artifact.Any) => (await Effect.runPromise(simulate(root))).events

/** A store with everything before the stage. */
const stocked = folder()
const started = runs(tinyDpo(PreferenceLoss.dpo(), { learningRate: 1e-9 }), stocked)

describe("two steps", () => {
  it.each(Object.entries(named))("of %s, in the simulator", async (_, loss) => {
    const root = tinyDpo(loss, { epochs: 4 })
    assert.deepStrictEqual(problems(root), [])
    const seen = metrics(await simulated(root), "dpo")
    assert.isAtLeast(seen.length, 2)
    for (const one of seen) {
      assert.isTrue(Object.values(one).every(Number.isFinite))
      assert.isAbove(one["grad_norm"]!, 0)
      assert.includeMembers(Object.keys(one), ["loss", "rewards/chosen", "rewards/margins", "logps/rejected"])
    }
  })

  it.each(Object.entries(named))("of %s, on a transformer", async (_, loss) => {
    await started
    const { events } = succeeded(await runs(tinyDpo(loss), stocked))
    assert.isAtLeast(metrics(events, "dpo").length, 2)
    assert.isTrue(events.some((event) => event._tag === "Measured"))
  })

  it.each(["kto", "apo-zero"] as const)("of %s from pairs and from labels, on both engines", async (loss) => {
    await started
    const fromPairs = tinyKto({ loss })
    assert.isAtLeast(metrics(await simulated(fromPairs), "kto").length, 2)
    const { events } = succeeded(await runs(fromPairs, stocked))
    const [first] = metrics(events, "kto")
    assert.strictEqual(first!["kl"], 0)
    assert.closeTo(first!["loss"]!, 0.5, 1e-6)
    const base = Checkpoint.huggingFace("tales", "anywhere")
    const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
    const preferences = Source.unpairedPreferences(Source.file("answers.jsonl", { limit: 12 }))
    const rl = Kto.make({ init: base, reference: base, preferences, held }, {
      loss,
      batchSize: 6,
      learningRate: 1e-3,
      maxNewTokens: 3,
      allowance: Kl.mnatsPerSequence(1)
    })
    const seen = await simulated(Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(5_000), from: base }))
    assert.strictEqual(metrics(seen, "kto").length, 2)
  })
})

describe("CoPG trains on margins", () => {
  const of = (pairs: Artifact.Of<"Preferences">) => tinyDpo(PreferenceLoss.copg(), {}, pairs)

  it("a pair without one ends the stage, with the number of such pairs and the remedy", async () => {
    const path = `${folder()}.jsonl`
    const pair = { prompt: "Once", chosen: " upon", rejected: " a" }
    const rows = [{ margin: 1 }, {}, { margin: 0 }, {}].map((margin) => JSON.stringify({ ...pair, ...margin }))
    writeFileSync(path, rows.join("\n"))
    await started
    const run = await runs(of(Source.preferences(Source.file(path))), stocked)
    assert.match(JSON.stringify(run), /2 of 4 pairs have no margin.*margins: true/u)
  })

  it("and pairs that can have none are a mistake before anything runs", () => {
    const prompts = Source.prompts(Source.tales({ count: 4 }))
    const completions = Score.byJudge({
      completions: Sample.make({ policy: start.sft, prompts }, { completionsPerPrompt: 2, maxNewTokens: 3 })
    }, { gold: Gold.tales })
    const mistakes = (pairs: Artifact.Of<"Preferences">) => problems(of(pairs)).map(({ problem }) => problem).join()
    for (const without of [start.compared, Pair.make({ completions })]) {
      assert.match(mistakes(without), /its loss is of margins/u)
    }
    assert.strictEqual(mistakes(Pair.make({ completions }, { margins: true })), "")
  })
})

describe("improves its own objective, the same way every time", () => {
  const last = (xs: ReadonlyArray<number>) => xs.slice(-3).reduce((sum, x) => sum + x, 0) / 3
  const improves = async (root: Artifact.Any, op: string) => {
    await started
    const seen = metrics(succeeded(await runs(root, stocked)).events, op)
    const at = (name: string) => seen.map((one) => one[name]!)
    return { margins: at("rewards/margins"), losses: at("loss") }
  }

  it("DPO: the margin grows from 0 and the loss falls from log 2", async () => {
    const root = tinyDpo(PreferenceLoss.dpo({ beta: 0.5 }), { epochs: 16, learningRate: 3e-3, measureEvery: 100 })
    const { losses, margins } = await improves(root, "dpo")
    assert.closeTo(losses[0]!, Math.LN2, 1e-6)
    assert.closeTo(margins[0]!, 0, 1e-6)
    assert.isBelow(last(losses), 0.4)
    assert.isAbove(last(margins), 1)
    const [one, two] = [folder(), folder()]
    for (const at of [one, two]) succeeded(await runs(tinyDpo(), at))
    assert.deepStrictEqual(contents(one), contents(two))
  })

  it("KTO", async () => {
    const { losses, margins } = await improves(
      tinyKto({ epochs: 8, learningRate: 3e-3, beta: 0.5, measureEvery: 100 }),
      "kto"
    )
    assert.isBelow(last(losses), losses[0]! - 0.1)
    assert.isAbove(last(margins.filter(Number.isFinite)), 1)
  })

  it("SimPO and ORPO, which have no reference", async () => {
    for (const loss of [PreferenceLoss.simPo(), PreferenceLoss.orpo()]) {
      const { losses } = await improves(tinyDpo(loss, { epochs: 16, learningRate: 3e-3, measureEvery: 100 }), "dpo")
      assert.isBelow(last(losses), last(losses.slice(0, 3)) - 0.1)
    }
  })
})

describe("log-probabilities under the reference", () => {
  const cached = (store: string): ReadonlyArray<string> =>
    readdirSync(store).filter((name) => name.startsWith("logps-"))

  it("invariant 28: are computed once, serve another loss and beta, and equal recomputation", async () => {
    const store = folder()
    succeeded(await runs(tinyDpo(), store))
    assert.strictEqual(cached(store).length, 1)
    let opened = 0
    const counting = {
      ...engine(),
      policy: (...args: Parameters<ReturnType<typeof engine>["policy"]>) => (opened++, engine().policy(...args))
    }
    succeeded(await runs(tinyDpo(PreferenceLoss.ipo({ beta: 0.4 })), store, { engine: counting }))
    // The policy, and the initial model of the cap; no reference.
    assert.strictEqual(opened, 2)
    assert.strictEqual(cached(store).length, 1)
    // Without a reference there is nothing to compute.
    succeeded(await runs(tinyDpo(PreferenceLoss.simPo()), store))
    assert.strictEqual(cached(store).length, 1)

    const at = (prefix: string, file: string) =>
      join(store, readdirSync(store).find((name) => name.startsWith(prefix))!, file)
    const { logps: kept } = JSON.parse(readFileSync(at("logps-", "logps.json"), "utf8")) as {
      readonly logps: Readonly<Record<string, number>>
    }
    const weights = await Effect.runPromise(Effect.provide(load(at("sft-", "model")), NodeFileSystem.layer))
    const pairs = readFileSync(at("compare-", "rows.jsonl"), "utf8").trim().split("\n")
      .map((line): PreferenceRow => JSON.parse(line))
    const policy = engine().policy(weights)
    const codec = engine().codec(weights)
    const rows = Effect.runSync(encodePairs({ stage: "test", codec, context: policy.context }, pairs))
      .flatMap(({ chosen, rejected }) => [chosen, rejected])
    for (const row of rows) {
      const { logps, offsets } = policy.logprobs([row])
      assert.closeTo(kept[rowId(row)]!, sumRows(logps, offsets)[0]!, 1e-9)
    }
    assert.strictEqual(Object.keys(kept).length, new Set(rows.map(rowId)).size)
  })

  it("survive an interruption, after which DPO and KTO end in the same bytes", async () => {
    for (const [op, root] of [["dpo", tinyDpo(PreferenceLoss.dpo(), { epochs: 2 })], ["kto", tinyKto()]] as const) {
      const [whole, halved] = [folder(), folder()]
      succeeded(await runs(root, whole))
      await runs(root, halved, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith(`${op}-`) && event.step === 3
      })
      assert.strictEqual(cached(halved).length, 1)
      const { events } = succeeded(await runs(root, halved))
      assert.isTrue(events.some((event) => event._tag === "Started" && event.from === 3))
      assert.deepStrictEqual(contents(halved), contents(whole))
    }
  })

  it("are counted once, also when a crash came before the first checkpoint", async () => {
    const root = tinyKto()
    const spentOn = (store: string) => {
      const name = readdirSync(store).find((one) => /^kto-[0-9a-f]+$/u.test(one))!
      const { flops, generated, trained } = JSON.parse(readFileSync(join(store, name, "spent.json"), "utf8"))
      return { flops, generated, trained }
    }
    const [whole, crashed] = [folder(), folder()]
    succeeded(await runs(root, whole))
    await runs(root, crashed, { stopAt: (event) => event._tag === "Step" && event.stage.startsWith("kto-") })
    for (const name of readdirSync(crashed)) {
      if (name.startsWith("kto-")) rmSync(join(crashed, name), { recursive: true })
    }
    assert.strictEqual(cached(crashed).length, 1)
    succeeded(await runs(root, crashed))
    assert.deepStrictEqual(spentOn(crashed), spentOn(whole))
  })

  it("that are not finite end the stage before it starts", async () => {
    await started
    const real = engine()
    const broken = {
      ...real,
      policy: (...args: Parameters<typeof real.policy>) => {
        const policy = real.policy(...args)
        return {
          ...policy,
          logprobs: (...of: Parameters<typeof policy.logprobs>) => {
            const all = policy.logprobs(...of)
            return { ...all, logps: all.logps.map(() => -Infinity) }
          }
        }
      }
    }
    const { exit } = await runs(tinyKto({ seed: 5, batchSize: 2 }), stocked, { engine: broken })
    assert.include(String(exit), "log-probability under the reference is -Infinity")
  })
})

describe("check", () => {
  const base = Checkpoint.huggingFace("tales", "anywhere")
  const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
  const preferences = Source.preferences(Source.file("pairs.jsonl"))
  const params = { allowance: Kl.mnatsPerSequence(1), batchSize: 2, learningRate: 1e-3, maxNewTokens: 3 } as const
  const found = (of: Artifact.Any) => problems(of).map(({ problem }) => problem)

  it("wants a reference exactly where the loss has one, whatever the compiler has seen", () => {
    const free = { init: base, preferences, held }
    assert.isEmpty(
      found(Dpo.make(free, { ...params, loss: PreferenceLoss.simPo() })).filter((problem) =>
        problem.includes("reference")
      )
    )
    assert.include(
      found(Dpo.make(free as never, { ...params, loss: PreferenceLoss.dpo() })),
      "Dpo.reference is missing: connect the policy that log-ratios are taken against, e.g. reference: sft"
    )
    const extra = { init: base, reference: base, preferences, held }
    assert.include(
      found(Dpo.make(extra as never, { ...params, loss: PreferenceLoss.simPo() })),
      "Dpo.reference needs no reference, because its loss has none: leave that wire out, not a BaseModel"
    )
  })

  it("refuses combinations that are no loss", () => {
    const of = (loss: object) =>
      found(Dpo.make({ init: base, reference: base, preferences, held }, { ...params, loss: loss as never })).join("\n")
    assert.include(of({ ...PreferenceLoss.orpo(), reference: true }), "OddsRatio is of mean log-probabilities")
    assert.include(of({ ...PreferenceLoss.dpo(), terms: [] }), "nothing would be learnt")
    assert.include(of(PreferenceLoss.robustDpo({ labelSmoothing: 0.5 })), "must be 0 or more and below 1/2")
    assert.include(of(PreferenceLoss.exo({ labelSmoothing: 0 })), "must be between 0 and 1, neither of them")
    assert.include(of(PreferenceLoss.dpo({ beta: -1 })), "must be above 0")
  })

  it("two names with the same data are one description", () => {
    const id = (loss: PreferenceLoss.Loss<true>) =>
      Dpo.make({ init: base, reference: base, preferences, held }, { ...params, loss }).id
    assert.strictEqual(id(PreferenceLoss.cDpo({ labelSmoothing: 0 })), id(PreferenceLoss.dpo()))
    assert.strictEqual(id(PreferenceLoss.dpoNll({ nll: 0 })), id(PreferenceLoss.dpo()))
    assert.notStrictEqual(id(PreferenceLoss.dpoNorm({ beta: 0.1 })), id(PreferenceLoss.dpo()))
  })
})

describe("two caps whose initial models are each other's references", () => {
  it("wait for no one: KL is measured from what a stage descends from", async () => {
    const base = Checkpoint.huggingFace("world", "anywhere")
    const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
    const preferences = Source.preferences(Source.tales({ count: 8 }))
    const params = {
      loss: PreferenceLoss.dpo(),
      batchSize: 8,
      learningRate: 1e-4,
      maxNewTokens: 3,
      measureSamples: 4,
      allowance: Kl.mnatsPerSequence<number>(1)
    }
    const a = Dpo.make({ init: base, reference: base, preferences, held }, { ...params, seed: 1 })
    const b = Dpo.make({ init: base, reference: base, preferences, held }, { ...params, seed: 2 })
    const kl = Kl.mnatsPerSequence<number>(50_000)
    const c = Dpo.make({ init: a, reference: b, preferences, held }, { ...params, seed: 3 })
    const d = Dpo.make({ init: b, reference: a, preferences, held }, { ...params, seed: 4 })
    const models = {
      c: Pipeline.cap(Pipeline.cap(c, { kl, from: a }), { kl, from: base }),
      d: Pipeline.cap(Pipeline.cap(d, { kl, from: b }), { kl, from: base })
    }
    const root = Evaluate.make({ initial: base, prompts: held }, models, { gold: Gold.tales, maxNewTokens: 3 })
    assert.deepStrictEqual(problems(root), [])
    const { policies } = await Effect.runPromise(simulate(root))
    const from = (stage: string) =>
      new Set(policies.find((policy) => policy.stage === stage)!.kl.map(({ from }) => from))
    for (const  of of[a, b]) assert.deepStrictEqual([...from(label(of))], [label(base)])
    for (const  of of[c, d]) assert.strictEqual(from(label(of)).size, 2)
  })
})
