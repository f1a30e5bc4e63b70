/** Which weights come out: each kind against the weights of the steps, which stages of fewer steps have. */
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Distill,
  Distillation,
  Dpo,
  Grpo,
  Keep,
  Kl,
  Kto,
  OnPolicyDistill,
  Pipeline,
  PreferenceLoss,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { problems } from "../../src/interpreters/check.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, runs, succeeded, tiny } from "./tiny.ts"
import { making } from "./worldly.ts"

const folder = folders("keep")
const base = Checkpoint.huggingFace("tales", "base")
const demonstrations = Source.demonstrations(Source.tales({ count: 12 }))
const validation = Source.demonstrations(Source.file("held.jsonl"))
const preferences = Source.preferences(Source.file("pairs.jsonl"))
const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
const world = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "keep" })
const reward = RewardModeling.make({ init: base, preferences }, { batchSize: 4, learningRate: 0.1 })

const made = async (root: Artifact.Any) => {
  const events: Array<Event> = []
  const result = await Effect.runPromise(
    making(root, { world, onEvent: (event) => events.push(event), repeated: 4 })
  ) as { readonly weights: Weights }
  const { data } = [...result.weights.tensors.values()][0]!
  const looked = events.flatMap((event) =>
    event._tag === "Observed" && Object.keys(event.observed)[0]!.startsWith("keep/")
      ? [[event.step, Object.values(event.observed)[0]!] as const]
      : []
  )
  return { weights: Array.from(data), looked }
}
const all = 6
type Kept = { readonly steps: number; readonly keep?: Keep.Keep }
const how = { batchSize: 4, learningRate: 0.4 }
const moved = { allowance: Kl.mnatsPerSequence(1), maxNewTokens: 2, measureEvery: 1000, measureSamples: 8 }
const cap = { kl: Kl.mnatsPerSequence(1_000_000), from: base }
const stages: Readonly<Record<string, (of: Kept) => Artifact.Any>> = {
  sft: (of) => Sft.make({ base, demonstrations }, { ...how, ...of }),
  reward: (of) => RewardModeling.make({ init: base, preferences }, { ...how, ...of }),
  dpo: ({ keep, ...of }) =>
    Pipeline.cap(
      Dpo.make({ init: base, reference: base, preferences, held }, {
        ...how,
        ...moved,
        ...of,
        loss: PreferenceLoss.dpo(),
        ...(keep === undefined || keep._tag === "Best" ? {} : { keep })
      }),
      cap
    ),
  grpo: (of) =>
    Pipeline.cap(
      Grpo.make({ init: base, prompts, held, reward }, { ...how, ...moved, ...of, beta: 0, groupSize: 4 }),
      cap
    )
}
const close = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
  a.forEach((x, i) => assert.closeTo(x, b[i]!, 1e-12))
/** The weights after each step: those of a stage of so many steps. */
const after = async (stage: (of: Kept) => Artifact.Any) => {
  const each: Array<ReadonlyArray<number>> = []
  for (let steps = 1; steps <= all; steps++) each.push((await made(stage({ steps }))).weights)
  return each
}

describe.each(Object.entries(stages))("keep in %s", (name, stage) => {
  it("is the average of the steps' weights from the start, their mean, or the last", async () => {
    const each = await after(stage)
    const start = each[0]!.map(() => 0)
    const decay = 0.8
    const average = await made(stage({ steps: all, keep: Keep.average({ decay }) }))
    const first = name === "reward" ? start : (await made(base)).weights
    close(average.weights, each.reduce((sum, one) => sum.map((x, i) => decay * x + (1 - decay) * one[i]!), first))
    const soup = await made(stage({ steps: all, keep: Keep.soup({ every: 4 }) }))
    close(soup.weights, each[3]!.map((x, i) => (x + each[5]![i]!) / 2))
    assert.deepStrictEqual((await made(stage({ steps: all }))).weights, each[5])
  })
})

describe("Keep.best", () => {
  const tuned = Sft.make({ base, demonstrations }, { ...how, learningRate: 3 })
  const bests = {
    "sft by loss": (of: Kept) => Sft.make({ base, demonstrations, validation }, { ...how, learningRate: 3, ...of }),
    "sft by proxy": (of: Kept) => Sft.make({ base, demonstrations, reward, held }, { ...how, learningRate: 3, ...of }),
    "reward by loss": (of: Kept) =>
      RewardModeling.make(
        { init: base, preferences, validation: Source.preferences(Source.file("held-pairs.jsonl")) },
        { ...how, learningRate: 3, ...of }
      ),
    "grpo by proxy": stages["grpo"]!,
    "dpo by proxy": (of: Kept) =>
      Pipeline.cap(
        Dpo.make({ init: base, reference: base, preferences, held, reward }, {
          ...how,
          ...moved,
          ...of,
          loss: PreferenceLoss.dpo()
        }),
        cap
      ),
    "kto by proxy": (of: Kept) =>
      Pipeline.cap(
        Kto.make({ init: base, reference: base, preferences, held, reward }, { ...how, ...moved, ...of }),
        cap
      ),
    "distill by proxy": (of: Kept) =>
      Distill.make({ student: base, teacher: tuned, demonstrations, held, reward }, {
        ...how,
        ...of,
        objective: Distillation.sequenceLevel
      }),
    "on-policy distillation by proxy": (of: Kept) =>
      Pipeline.cap(
        OnPolicyDistill.make({ student: base, teacher: tuned, prompts, held, reward }, {
          ...how,
          ...moved,
          ...of,
          objective: Distillation.reverseKl()
        }),
        cap
      )
  }
  it.each(Object.entries(bests))("keeps the weights of the step that was best: %s", async (name, stage) => {
    const by = name.endsWith("loss") ? "loss" : "proxy"
    const own = ["sft by proxy", "distill by proxy"].includes(name) ? { maxNewTokens: 2 } : {}
    const { looked, weights } = await made(stage({ steps: all, keep: Keep.best({ by, every: 2, ...own }) }))
    assert.deepStrictEqual(looked.map(([step]) => step), [2, 4, 6])
    const values = looked.map(([, value]) => by === "loss" ? -value : value)
    const [step] = looked[values.indexOf(Math.max(...values))]!
    // A single look keeps what it looks at.
    const single = stage({ steps: step, keep: Keep.best({ by, every: step, ...own }) })
    assert.deepStrictEqual(weights, (await made(single)).weights)
    // The rows that judge change no training.
    const plain: Readonly<Record<string, typeof stage>> = {
      "sft by loss": (of) => Sft.make({ base, demonstrations }, { ...how, learningRate: 3, ...of }),
      "reward by loss": (of) => RewardModeling.make({ init: base, preferences }, { ...how, learningRate: 3, ...of }),
      "grpo by proxy": stage
    }
    const same = plain[name]
    if (same !== undefined) assert.deepStrictEqual(weights, (await made(same({ steps: step }))).weights)
  })

  it("looks after each epoch", async () => {
    const root = Sft.make({ base, demonstrations, validation }, {
      ...how,
      epochs: 3,
      batchSize: 5,
      keep: Keep.best({ by: "loss", every: "epoch" })
    })
    // 12 rows in batches of 5: the epochs end in steps 3, 5 and 8.
    assert.deepStrictEqual((await made(root)).looked.map(([step]) => step), [3, 5, 8])
  })
})

describe("a stage that keeps other weights than its last", () => {
  it.each([Keep.average({ decay: 0.7 }), Keep.soup({ every: 2 }), Keep.best({ by: "proxy", every: 1 })])(
    "goes on to the same bytes after an interruption",
    async (keep) => {
      const { root } = tiny({ steps: 5, ppo: { keep } })
      const [whole, at] = [folder(), folder()]
      succeeded(await runs(root, whole))
      await runs(root, at, {
        stopAt: (event) => event._tag === "Step" && event.stage.startsWith("ppo-") && event.step === 4
      })
      succeeded(await runs(root, at))
      assert.deepStrictEqual(contents(at), contents(whole))
    }
  )

  it("is held against its caps: the weights that come out are measured too", async () => {
    const events: Array<Event> = []
    const root = stages["grpo"]!({ steps: all, keep: Keep.average({ decay: 0.8 }) })
    await Effect.runPromise(making(root, { world, onEvent: (event) => events.push(event), repeated: 4 }))
    const measured = events.flatMap((event) => event._tag === "Measured" ? [event.measurement.mean] : [])
    // After the last step the trained policy, then its average, which is nearer to the start.
    assert.lengthOf(measured, 2)
    assert.isTrue(measured[1]! > 0 && measured[1]! < measured[0]!, String(measured))
  })

  it("is refused where nothing can judge, or nothing is judged", () => {
    const said = (root: Artifact.Any) => problems(root).map(({ problem }) => problem).join("\n")
    const sft = (wires: object, keep: Keep.Keep | undefined) =>
      said(
        Sft.make({ base, demonstrations, ...wires } as never, {
          ...how,
          ...(keep === undefined ? {} : { keep })
        }) as Artifact.Any
      )
    assert.strictEqual(sft({ validation }, Keep.best({ by: "loss", every: 1 })), "")
    assert.include(sft({}, Keep.best({ by: "loss", every: 1 })), "keep: Sft.validation is missing")
    assert.include(sft({ held, reward }, Keep.best({ by: "proxy", every: 1 })), "keep: maxNewTokens is missing")
    const dpo = (wires: object, keep: Keep.Keep | undefined) =>
      said(
        Dpo.make({ init: base, reference: base, preferences, ...wires } as never, {
          ...how,
          loss: PreferenceLoss.dpo(),
          ...(keep === undefined ? {} : { keep })
        }) as Artifact.Any
      )
    assert.include(dpo({ held, reward }, Keep.best({ by: "loss", every: 1 })), "cannot be judged by loss: take proxy")
    assert.include(dpo({ held }, Keep.best({ by: "proxy", every: 1 })), "keep: Dpo.reward is missing")
    assert.include(dpo({ held, reward }, undefined), "Dpo.reward has no use: only keep reads it")
    assert.include(sft({ validation }, undefined), "Sft.validation has no use: only keep reads it")
    assert.include(
      said(stages["grpo"]!({ steps: 6, keep: Keep.soup({ every: 7 }) })),
      "keep: every 7 is more than steps 6"
    )
    assert.include(
      said(Pipeline.cap(
        Grpo.make({ init: base, prompts, held }, {
          ...how,
          ...moved,
          steps: 2,
          beta: 0,
          groupSize: 4,
          verifiers: [Verifier.format(["a"])],
          keep: Keep.best({ by: "proxy", every: "epoch" })
        }),
        cap
      )),
      "keep: Grpo has no epochs"
    )
  })
})
