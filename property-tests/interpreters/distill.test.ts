/** The distilling stages as users run them, on both engines: two steps of every variant, and what they are for. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { afterAll, assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Distill, Distillation, Kl, OnPolicyDistill, Pipeline, Pretrain, Sft, Source } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import { problems } from "../../src/interpreters/check.ts"
import { defaultWorld, simulate } from "../../src/interpreters/simulate.ts"
import { CurrentEngine } from "../../src/engine/current.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { distill } from "../../src/stages/distill.ts"
import { onPolicyDistill } from "../../src/stages/onPolicyDistill.ts"
import * as Judge from "../../src/rewards/judge.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { type Event, RunLog } from "../../src/store/runLog.ts"
import type { Store } from "../../src/store/store.ts"
import { runs, succeeded } from "./tiny.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"

const store = mkdtempSync(join(tmpdir(), "keel-distill-"))
afterAll(() => rmSync(store, { recursive: true }))

const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ count: 4, split: "held" }))
const demonstrations = Source.demonstrations(Source.tales({ count: 6 }))
const text = Source.text(Source.tales({ count: 12 }))
const pretrained = (dim: number, layers: number, steps: number) =>
  Pretrain.make({ text }, {
    family: "tales",
    model: { dim, layers, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
    steps,
    batchSize: 2,
    learningRate: 3e-3
  })
// Of different sizes.
const student = pretrained(8, 1, 1)
const teacher = Sft.make({ base: pretrained(16, 2, 6), demonstrations }, { batchSize: 2, learningRate: 3e-3 })

const { generalizedJsd, reverseKl, sequenceLevel, wordLevel } = Distillation
const off = { batchSize: 3, epochs: 1, learningRate: 3e-3 }
const maxNewTokens = 5

const offPolicy: Readonly<Record<string, Artifact.Any>> = {
  "sequence-level on the teacher's samples": Distill.make({ student, teacher, prompts }, {
    ...off,
    objective: sequenceLevel,
    completionsPerPrompt: 2,
    maxNewTokens
  }),
  "sequence-level on given samples": Distill.make({ student, teacher, demonstrations }, {
    ...off,
    objective: sequenceLevel
  }),
  "word-level": Distill.make({ student, teacher, demonstrations }, { ...off, objective: wordLevel }),
  "JSD on the teacher's samples": Distill.make({ student, teacher, prompts }, {
    ...off,
    objective: generalizedJsd({ beta: 0.5, temperature: 0.9 }),
    maxNewTokens
  })
}

const on = (
  objective: OnPolicyDistill.OnPolicyDistill["objective"],
  more: { readonly lambda?: number; readonly steps?: number } = {}
) =>
  ({
    allowance: Kl.mnatsPerSequence(100_000),
    objective,
    steps: 2,
    batchSize: 4,
    learningRate: 3e-3,
    maxNewTokens,
    measureEvery: 1,
    measureSamples: 4,
    ...more
  }) as const
const capped = <A extends Artifact.Artifact<"Policy", string, never, number, any, unknown>>(of: A) =>
  Pipeline.cap(of, { kl: Kl.mnatsPerSequence<number>(100_000), from: student })

const onPolicy: Readonly<Record<string, Artifact.Any>> = {
  "reverse KL as a reward": capped(OnPolicyDistill.make({ student, teacher, prompts, held }, on(reverseKl()))),
  "reverse KL as a reward, discount 1": capped(
    OnPolicyDistill.make({ student, teacher, prompts, held }, on(reverseKl({ discount: 1 })))
  ),
  "reverse KL over the vocabulary": capped(
    OnPolicyDistill.make({ student, teacher, prompts, held }, on(generalizedJsd({ beta: 1 })))
  ),
  "GKD, half of the steps off-policy, from the teacher": capped(
    OnPolicyDistill.make({ student, teacher, prompts, held }, on(generalizedJsd({ beta: 0.5 }), { lambda: 0.5 }))
  ),
  "GKD, half of the steps off-policy, from demonstrations": capped(
    OnPolicyDistill.make(
      { student, teacher, prompts, held, demonstrations },
      on(generalizedJsd({ beta: 0.1 }), { lambda: 0.5 })
    )
  )
}

const lossesOf = (events: ReadonlyArray<Event>, of: Artifact.Any): ReadonlyArray<number> =>
  events.flatMap((event) => event._tag === "Step" && event.stage === label(of) ? [event.metrics["loss"]!] : [])

describe.each(Object.entries({ ...offPolicy, ...onPolicy }))("%s", (name, root) => {
  it("has no mistakes and runs on both engines; only on-policy variants are measured", async () => {
    assert.deepStrictEqual(problems(root), [])
    const { events } = succeeded(await runs(root, join(store, "smoke")))
    const simulated = await Effect.runPromise(simulate(root))
    for (const seen of [events, simulated.events]) {
      assert.strictEqual(seen.some(({ _tag }) => _tag === "Measured"), name in onPolicy)
      const of = root.node.op === "Cap" ? root.node.wires["of"]! : root
      const losses = lossesOf(seen, of)
      assert.isAtLeast(losses.length, 2)
      assert.isTrue(losses.every(Number.isFinite))
    }
  })
})

describe("distillation", () => {
  it("improves its own objective on the transformer, reproducibly", async () => {
    const trained = Distill.make({ student, teacher, demonstrations }, {
      ...off,
      epochs: 8,
      learningRate: 1e-2,
      objective: generalizedJsd({ beta: 0.5 })
    })
    const [a, b] = [
      lossesOf(succeeded(await runs(trained, join(store, "a"))).events, trained),
      lossesOf(succeeded(await runs(trained, join(store, "b"))).events, trained)
    ]
    assert.deepStrictEqual(a, b)
    assert.isBelow(a.at(-1)!, 0.7 * a[0]!)
  })

  it("on-policy too", async () => {
    const trained = OnPolicyDistill.make({ student, teacher, prompts, held }, {
      ...on(generalizedJsd({ beta: 1 }), { steps: 30 }),
      batchSize: 8,
      learningRate: 1e-2
    })
    const losses = lossesOf(succeeded(await runs(capped(trained), join(store, "a"))).events, trained)
    assert.isBelow(
      losses.slice(-3).reduce((sum, x) => sum + x, 0),
      0.7 * losses.slice(0, 3).reduce((sum, x) => sum + x, 0)
    )
  })

  it("every variant brings a tabular student to its teacher", async () => {
    const world = defaultWorld
    const engine = tabular(world)
    const [from, to] = [engine.initial({} as never), language(world)]
    const rows = world.prompts.map((prompt) => ({ prompt }))
    const services = Layer.mergeAll(
      Layer.succeed(CurrentEngine, engine),
      Layer.succeed(RunLog, { emit: () => Effect.void }),
      Judge.layer(),
      MemoryStore.layer
    )
    const scope = {
      key: "k",
      stream: "k",
      label: "distill",
      limits: { kl: [], tokens: Infinity, memory: Infinity, seconds: Infinity }
    }
    type Services = CurrentEngine | Judge.Judge | RunLog | Store
    const distance = async (trained: Effect.Effect<Weights, unknown, Services>) =>
      kl(
        logDistribution(world, await Effect.runPromise(Effect.provide(trained, services, { local: true }))),
        logDistribution(world, to)
      ).mean
    const rate = { learningRate: 0.3, schedule: "linear" as const }
    const once = (params: Partial<ConstructorParameters<typeof Distill.Distill>[0]>) =>
      distill(
        new Distill.Distill({ ...rate, objective: wordLevel, batchSize: 100, maxNewTokens: 3, ...params }),
        { student: from, teacher: to, answers: { prompts: rows } },
        scope
      )
    const online = (params: Partial<ConstructorParameters<typeof OnPolicyDistill.OnPolicyDistill>[0]>) =>
      onPolicyDistill(
        new OnPolicyDistill.OnPolicyDistill({
          ...on(generalizedJsd({ beta: 1 })),
          ...rate,
          batchSize: 64,
          steps: 60,
          measureEvery: 1000,
          maxNewTokens: 3,
          ...params
        }),
        { student: from, teacher: to, prompts: rows, held: rows, demonstrations: undefined },
        scope
      )
    const before = kl(logDistribution(world, from), logDistribution(world, to)).mean
    const after = {
      "word-level": await distance(once({ completionsPerPrompt: 100, epochs: 12 })),
      "sequence-level": await distance(once({ objective: sequenceLevel, completionsPerPrompt: 2000, epochs: 1 })),
      "JSD": await distance(once({ objective: generalizedJsd({ beta: 0.5 }), completionsPerPrompt: 100, epochs: 12 })),
      "reverse KL": await distance(online({})),
      "GKD": await distance(online({ objective: generalizedJsd({ beta: 0.5 }), lambda: 0.5 })),
      "reward": await distance(online({ objective: reverseKl({ discount: 1 }), steps: 150 })),
      "reward, no discount": await distance(online({ objective: reverseKl(), steps: 150 }))
    }
    for (const [name, nats] of Object.entries(after)) assert.isBelow(nats, 0.05 * before, name)
  })

  it("says at once what is wrong with a description", () => {
    const bad = (of: Artifact.Any) => problems(of).map(({ problem }) => problem).join("\n")
    assert.match(
      bad(Distill.make({ student, teacher } as never, { ...off, objective: wordLevel })),
      /connect prompts, for the teacher/
    )
    assert.match(
      bad(Distill.make({ student, teacher, prompts }, { ...off, objective: wordLevel })),
      /maxNewTokens is missing/
    )
    assert.match(
      bad(OnPolicyDistill.make({ student, teacher, prompts, held }, on(reverseKl(), { lambda: 0.5 }))),
      /lambda 0.5 needs a divergence/
    )
    assert.match(bad(OnPolicyDistill.make({ student, teacher, prompts, held }, on(reverseKl()))), /nobody capped it/)
    assert.match(
      bad(Distill.make({ student, teacher, demonstrations }, { ...off, objective: generalizedJsd({ beta: 2 }) })),
      /between 0 and 1/
    )
  })
})
