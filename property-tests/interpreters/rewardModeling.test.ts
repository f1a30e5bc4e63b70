/** Reward models and SFT options as users run them, on both engines: two steps of every variant, and what they are for. */
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Ensemble, Kl, Pipeline, Ppo, Pretrain, RewardLoss, RewardModeling, Sft, Source } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import type { Dataset } from "../../src/data/dataset.ts"
import { CurrentEngine } from "../../src/engine/current.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { completions, logDistribution, rewardTable, type Table } from "../../src/engine/tabular/exact.ts"
import * as judged from "../../src/engine/tabular/judgedRows.ts"
import { rewardOf } from "../../src/engine/tabular/scores.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { problems } from "../../src/interpreters/check.ts"
import { defaultWorld, simulate } from "../../src/interpreters/simulate.ts"
import { rewardModeling } from "../../src/stages/rewardModeling.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { type Event, RunLog } from "../../src/store/runLog.ts"
import { failed, runs, succeeded } from "./tiny.ts"

const folder = mkdtempSync(join(tmpdir(), "keel-reward-"))
afterAll(() => rmSync(folder, { recursive: true }))
const store = join(folder, "store")

const base = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
  family: "tales",
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 160 },
  steps: 3,
  batchSize: 2,
  learningRate: 3e-3
})
const params = { batchSize: 2, learningRate: 3e-3 }
const rankings = Source.rankings(Source.tales({ count: 4 }))
const unpaired = Source.unpairedPreferences(Source.tales({ count: 4 }))
const stepwise = Source.stepwise(Source.tales({ count: 4 }))
const process = RewardLoss.process({ separator: " .", aggregation: "min" })

const lossesOf = (events: ReadonlyArray<Event>, of: Artifact.Any): ReadonlyArray<number> =>
  events.flatMap((event) => event._tag === "Step" && event.stage === label(of) ? [event.metrics["loss"]!] : [])

const variants = {
  "K-wise": RewardModeling.make({ init: base, preferences: rankings }, {
    ...params,
    loss: RewardLoss.kWise({ centerRewardsCoefficient: 0.01 })
  }),
  "Plackett–Luce": RewardModeling.make({ init: base, preferences: rankings }, {
    ...params,
    loss: RewardLoss.plackettLuce
  }),
  "outcome": RewardModeling.make({ init: base, preferences: unpaired }, { ...params, loss: RewardLoss.outcome }),
  "process": RewardModeling.make({ init: base, preferences: stepwise }, { ...params, loss: process }),
  "process, three labels": RewardModeling.make({ init: base, preferences: stepwise }, {
    ...params,
    loss: RewardLoss.process({ separator: " .", labels: "ternary", aggregation: "product" })
  })
}
const sfts = {
  "SFT by tokens": Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, {
    ...params,
    batchTokens: 160
  }),
  "SFT on everything, cut off": Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 4 })) }, {
    ...params,
    loss: "all",
    maxLength: 24,
    truncation: "keep-start"
  }),
  "SFT on assistant turns, summed": Sft.make({
    base,
    demonstrations: Source.demonstrations(Source.tales({ count: 4 }))
  }, {
    ...params,
    loss: "assistant",
    reduction: "sum"
  })
}

describe.each(Object.entries({ ...variants, ...sfts }))("%s", (_, root) => {
  it("has no mistakes and runs on both engines", async () => {
    assert.deepStrictEqual(problems(root), [])
    const { events } = succeeded(await runs(root, store))
    const simulated = await Effect.runPromise(simulate(root))
    for (const seen of [events, simulated.events]) {
      const losses = lossesOf(seen, root)
      assert.isAtLeast(losses.length, 2)
      assert.isTrue(losses.every(Number.isFinite))
    }
  })
})

const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ count: 4, split: "held" }))
const rl = {
  allowance: Kl.mnatsPerSequence<number>(50_000),
  beta: 0.1,
  steps: 2,
  batchSize: 4,
  learningRate: 1e-3,
  maxNewTokens: 5,
  measureSamples: 4
}
const ppo = (reward: Artifact.Artifact<"RewardModel", "tales", never, 0, any, unknown>, value = variants.outcome) =>
  Pipeline.cap(Ppo.make({ init: base, reference: base, reward, value, prompts, held }, rl), {
    kl: Kl.mnatsPerSequence<number>(50_000),
    from: base
  })
const { outcome, "process": steps } = variants

describe("where a reward is wanted", () => {
  for (
    const [name, rule] of Object.entries({
      mean: Ensemble.mean,
      "worst case": Ensemble.worstCase,
      "uncertainty-weighted": Ensemble.uncertaintyWeighted({ lambda: 0.1 })
    })
  ) {
    it(`an ensemble is one: ${name}`, async () => {
      const root = ppo(Ensemble.make([variants["K-wise"], variants["Plackett–Luce"], outcome], { rule }))
      assert.deepStrictEqual(problems(root), [])
      succeeded(await runs(root, store))
      const { policies } = await Effect.runPromise(simulate(root))
      assert.isNotNull(policies.at(-1)!.optimum)
    })
  }

  it("a process reward model is one, and a value model starts from it; its score is a probability", async () => {
    const root = ppo(steps, steps)
    const { events } = succeeded(await runs(root, store))
    const scores = events.flatMap((event) => event._tag === "Step" ? event.metrics["objective/scores"] ?? [] : [])
    assert.strictEqual(scores.length, 2)
    assert.isTrue(scores.every((score) => score > 0 && score < 1))
    await Effect.runPromise(simulate(root))
    // Trained further it is read as its new loss says.
    const again = RewardModeling.make({ init: steps, preferences: unpaired }, { ...params, loss: RewardLoss.outcome })
    succeeded(await runs(ppo(again), store))
  })

  it("every loss improves on the transformer, reproducibly", async () => {
    for (const [name, { node }] of Object.entries(variants)) {
      const longer = RewardModeling.make(node.wires as never, {
        ...(node.params as object),
        epochs: 15,
        learningRate: 1e-2
      } as never) as Artifact.Any
      const [a, b] = [await runs(longer, join(folder, "a")), await runs(longer, join(folder, "b"))]
        .map((ran) => lossesOf(succeeded(ran).events, longer))
      assert.deepStrictEqual(a, b)
      assert.isBelow(a!.slice(-2).reduce((sum, x) => sum + x, 0), 0.8 * (a![0]! + a![1]!), name)
    }
  })
})

/** Pearson correlation over completions, each prompt less its mean. */
const correlation = (a: Table, b: Table, mass: Table): number => {
  let [ab, aa, bb] = [0, 0, 0]
  a.forEach((row, p) => {
    const w = mass[p]!
    const mean = (of: Float64Array) => of.reduce((sum, x, n) => sum + w[n]! * x, 0) / w.reduce((sum, x) => sum + x, 0)
    const [ma, mb] = [mean(row), mean(b[p]!)]
    row.forEach((x, n) => {
      ab += w[n]! * (x - ma) * (b[p]![n]! - mb)
      aa += w[n]! * (x - ma) ** 2
      bb += w[n]! * (b[p]![n]! - mb) ** 2
    })
  })
  return ab / Math.sqrt(aa * bb)
}

describe("in a world where the judge follows the model that is assumed", () => {
  const world = defaultWorld
  const engine = tabular(world)
  const services = Layer.mergeAll(
    Layer.succeed(CurrentEngine, engine),
    Layer.succeed(RunLog, { emit: () => Effect.void }),
    MemoryStore.layer
  )
  const scope = {
    key: "k",
    stream: "k",
    label: "reward",
    limits: { kl: [], tokens: Infinity, memory: Infinity, seconds: Infinity }
  }
  const init = engine.initial({} as never)
  const train = (preferences: Dataset, loss: RewardLoss.RewardLoss): Promise<Weights> =>
    Effect.runPromise(
      Effect.provide(
        rewardModeling(
          new RewardModeling.RewardModeling({ loss, batchSize: 100, epochs: 6, learningRate: 0.1, schedule: "linear" }),
          { init, preferences },
          scope
        ),
        services,
        { local: true }
      )
    )
  const all = completions(world)
  /** What the data shows: finished completions that are not empty, as often as the language says them. */
  const mass = logDistribution(world, language(world))
    .map((row) => row.map((logp, n) => all[n]!.finished && all[n]!.text !== "" ? Math.exp(logp) : 0))
  const options = { count: 4000, seed: "data" }

  it("rankings teach the gold reward up to a constant, K-wise and Plackett–Luce; right and wrong answers teach its value", async () => {
    const gold = rewardTable(world)
    const ranked: Dataset = { role: "Rankings", rows: judged.rankings(world, options) }
    for (const loss of [RewardLoss.kWise(), RewardLoss.plackettLuce]) {
      assert.isAbove(correlation(rewardOf(world, await train(ranked, loss)), gold, mass), 0.9, loss._tag)
    }
    const orm = rewardOf(
      world,
      await train(
        // One bit each: more of them.
        { role: "UnpairedPreferences", rows: judged.unpaired(world, { ...options, count: 12_000 }) },
        RewardLoss.outcome
      )
    )
    // Its probabilities are σ(gold): far nearer to it than one number for all answers could be.
    const sigmoid = (z: number) => 1 / (1 + Math.exp(-z))
    const weighted = (of: (p: number, n: number) => number) =>
      mass.reduce((sum, row, p) => row.reduce((sum, w, n) => sum + w * of(p, n), sum), 0)
    const off = (said: (p: number, n: number) => number) =>
      weighted((p, n) => Math.abs(said(p, n) - sigmoid(gold[p]![n]!))) / weighted(() => 1)
    const constant = weighted((p, n) => sigmoid(gold[p]![n]!)) / weighted(() => 1)
    const [own, one] = [off((p, n) => sigmoid(orm[p]![n]!)), off(() => constant)]
    assert.isBelow(own, 0.5 * one, `${own} and ${one}`)
  })

  it("judged steps teach which of them are right", async () => {
    const rows = judged.stepwise(world, options)
    const prm = rewardOf(world, await train({ role: "Stepwise", rows }, RewardLoss.process({ aggregation: "min" })))
    const truth = new Map(
      rows.map(({ completions, labels, prompt }) => [`${prompt} ${completions.join(" ")}`, labels.every(Boolean)])
    )
    let [right, seen] = [0, 0]
    world.prompts.forEach((prompt, p) =>
      all.forEach(({ text }, n) => {
        const whole = truth.get(`${prompt} ${text}`)
        if (whole === undefined) return
        seen++
        if ((prm[p]![n]! > 0.5) === whole) right++
      })
    )
    assert.isAbove(seen, 20)
    assert.isAbove(right / seen, 0.95)
  })
})

describe("mistakes", () => {
  const bad = (of: Artifact.Any) => problems(of).map(({ problem }) => problem).join("\n")

  it("are said at once", () => {
    assert.match(
      bad(
        RewardModeling.make(
          { init: base, preferences: rankings },
          { ...params, loss: RewardLoss.bradleyTerry() } as never
        )
      ),
      /the loss BradleyTerry learns from Preferences, not from Rankings/
    )
    const ensemble = Ensemble.make([outcome, steps], { rule: Ensemble.mean })
    assert.match(
      bad(RewardModeling.make({ init: ensemble, preferences: unpaired }, { ...params, loss: RewardLoss.outcome })),
      /init is an ensemble, which has no weights/
    )
    assert.match(bad(ppo(outcome, ensemble as never)), /value is an ensemble/)
    assert.match(bad(Ensemble.make([outcome] as never, { rule: Ensemble.mean })), /two members or more/)
    assert.match(bad(Ensemble.make([outcome, base] as never, { rule: Ensemble.mean })), /members.1 needs a RewardModel/)
  })

  const file = (name: string, rows: ReadonlyArray<unknown>) => {
    const path = join(folder, name)
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"))
    return Source.file(path)
  }
  const answered = { prompt: "write a happy story about a dog and a ball ." }

  it("in rows are typed errors with a remedy", async () => {
    const error = async (preferences: Artifact.Any, loss: RewardLoss.RewardLoss) => {
      const root = RewardModeling.make({ init: base, preferences } as never, { ...params, loss } as never)
      return failed(await runs(root, store)).message
    }
    const completions = ["the dog", "the ball"]
    const tied = Source.rankings(file("tied.jsonl", [{ ...answered, completions, scores: [1, 1] }]))
    assert.match(await error(tied, RewardLoss.plackettLuce), /:1 has completions that tie.*kWise/su)
    const three = Source.stepwise(file("three.jsonl", [{ ...answered, completions, labels: [1, -1] }]))
    assert.match(await error(three, process), /:1: a step is labelled −1.*ternary/su)
    assert.match(await error(three, RewardLoss.process({ aggregation: "min" })), /the separator "\\n" is no token/)
    const short = Source.stepwise(file("short.jsonl", [{ ...answered, completions, labels: [true] }]))
    assert.match(await error(short, process), /"labels" is not a list of 2/)
    const nothing = Source.unpairedPreferences(file("nothing.jsonl", [{ ...answered, completion: "the dog" }]))
    assert.match(await error(nothing, RewardLoss.outcome), /no field "label"/)
    const alone = Source.rankings(file("alone.jsonl", [{ ...answered, completions: ["the dog"] }]))
    assert.match(await error(alone, RewardLoss.kWise()), /a ranking of one completion/)
  })

  it("a scored ranking is sorted, with its ties, wherever the scores stand", async () => {
    const scored = Source.rankings(Source.file(
      file("scored.jsonl", [{
        q: answered.prompt,
        completions: ["the dog", "a ball", "the ball"],
        s: { all: [1, 5, 1] }
      }]).path,
      { fields: { prompt: "q", scores: "s.all" } }
    ))
    const root = RewardModeling.make({ init: base, preferences: scored }, {
      ...params,
      loss: RewardLoss.kWise(),
      epochs: 30,
      learningRate: 1e-2
    })
    const { events } = succeeded(await runs(root, store))
    assert.isBelow(lossesOf(events, root).at(-1)!, 0.3)
  })
})
