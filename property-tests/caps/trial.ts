/** One capped simulation with everything drawn from its number, judged by enumeration: no policy may end beyond its cap. */
import { Effect, Exit } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Distill,
  Distillation,
  Dpo,
  Grpo,
  Kl,
  Kto,
  OnPolicyDistill,
  Pipeline,
  Ppo,
  PreferenceLoss,
  RewardModeling,
  Sft,
  Source
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import { kl, logDistribution } from "../../src/engine/tabular/exact.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { capsIn } from "../../src/interpreters/capsOf.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { rank95 } from "../../src/ledger/measure.ts"
import { stream } from "../../src/sampling/random.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import type { Event } from "../../src/store/runLog.ts"
import { Store } from "../../src/store/store.ts"

export interface Held {
  readonly stage: string
  readonly statistic: "mean" | "p95" | "max"
  /** KL by enumeration over its cap. */
  readonly share: number
}

export interface Trial {
  /** The error that it ended with. */
  readonly error: string | null
  readonly held: ReadonlyArray<Held>
  /** Completions of each measurement. */
  readonly samples: ReadonlyArray<number>
  readonly stages: ReadonlyArray<string>
  readonly rolledBack: number
}

type Policy = Artifact.Artifact<"Policy", "f", never, number, any, any>

/** A pipeline of one to three stages after one another, under caps of their own or of all. */
const drawn = (seed: string) => {
  const random = stream(seed)
  const between = (from: number, to: number): number => from + random.int(to - from + 1)
  const logarithmic = (from: number, to: number): number => from * (to / from) ** random.next()
  const one = <A>(all: ReadonlyArray<A>): A => all[random.int(all.length)]!
  const world = makeWorld({ prompts: between(1, 8), vocab: between(3, 5), horizon: between(2, 3), seed })
  const base = Checkpoint.huggingFace("f", "anywhere")
  const demonstrations = (count: number, at: number) =>
    Source.demonstrations({ _tag: "Tales", count, seed: at, split: "train" } as never)
  const held = Source.prompts({ _tag: "Tales", count: 8, seed: 0, split: "held" } as never)
  const prompts = Source.prompts({ _tag: "Tales", count: 8, seed: 0, split: "train" } as never)
  const measured = () => ({
    maxNewTokens: world.horizon,
    measureEvery: between(1, 6),
    measureSamples: Math.round(logarithmic(2, 256)),
    measureError: logarithmic(0.02, 0.5),
    measureMost: Math.round(logarithmic(33, 4096))
  })
  const training = () => ({
    learningRate: logarithmic(1e-4, 0.03),
    seed: between(0, 1000),
    checkpointEvery: between(1, 20)
  })
  const sft = Sft.make({ base, demonstrations: demonstrations(32, 0) }, { ...training(), batchSize: 8 })
  const reward = RewardModeling.make({
    init: sft,
    preferences: Source.preferences({ _tag: "Tales", count: 64, seed: 0, split: "train" } as never)
  }, { batchSize: 16, learningRate: 1e-3 })
  const preferences = Source.preferences({ _tag: "Tales", count: between(8, 64), seed: 1, split: "train" } as never)
  const stage = (init: Policy, mnats: number): Policy => {
    const allowance = Kl.mnatsPerSequence<number>(mnats)
    const moving = { ...measured(), ...training(), allowance }
    const beta = logarithmic(1e-3, 0.3)
    switch (one(["sft", "distill", "online", "dpo", "kto", "grpo", "ppo"] as const)) {
      case "sft":
        return Sft.make({ base: init, demonstrations: demonstrations(between(8, 64), between(1, 9)) }, {
          ...training(),
          batchSize: between(2, 8),
          epochs: between(1, 3)
        }) as never
      case "distill":
        return Distill.make({ student: init, teacher: base, prompts }, {
          ...training(),
          objective: Distillation.generalizedJsd({ beta: random.next(), temperature: 1 }),
          batchSize: between(2, 8),
          completionsPerPrompt: between(1, 8),
          maxNewTokens: world.horizon
        }) as never
      case "online":
        return OnPolicyDistill.make({ student: init, teacher: base, prompts, held }, {
          ...moving,
          objective: Distillation.reverseKl(),
          batchSize: between(2, 8),
          steps: between(2, 20)
        }) as never
      case "dpo":
        return Dpo.make({ init, reference: init, preferences, held }, {
          ...moving,
          loss: PreferenceLoss.dpo({ beta: one([0.1, 0.5]) }),
          batchSize: between(2, 8),
          epochs: between(1, 3)
        }) as never
      case "kto":
        return Kto.make({ init, reference: init, preferences, held }, { ...moving, batchSize: between(2, 8) }) as never
      case "grpo":
        return Grpo.make({ init, reference: init, reward, prompts, held }, {
          ...moving,
          beta,
          batchSize: 4,
          groupSize: between(2, 4),
          steps: between(2, 20)
        } as never) as never
      case "ppo":
        return Ppo.make({ init, reference: init, reward, value: reward, prompts, held }, {
          ...moving,
          beta,
          batchSize: between(4, 16),
          steps: between(2, 20)
        } as never) as never
    }
  }
  const cap = (of: Policy, mnats: number): Policy =>
    (Pipeline.cap as unknown as (of: Policy, limits: object) => Policy)(of, {
      kl: Kl.mnatsPerSequence<number>(mnats),
      ...(random.next() < 0.2 ? { klP95: Kl.mnatsPerSequence<number>(3 * mnats) } : {}),
      ...(random.next() < 0.2 ? { klMax: Kl.mnatsPerSequence<number>(4 * mnats) } : {}),
      from: sft,
      whenSpent: one(["stop", "rollback", "rollback"] as const),
      ...(needs(of) ? { ...measured(), held } : {})
    })
  /** Whether a stage under the cap has no prompts of its own. */
  const needs = (of: Policy): boolean =>
    Artifact.lineage(of).some(({ id, node: { op } }) => (op === "Sft" || op === "Distill") && id !== sft.id)
  const each = random.next() < 0.5
  let policy: any = sft
  let mnats = Math.round(logarithmic(5, 2000))
  const count = between(1, 3)
  for (let i = 0; i < count; i++) {
    policy = stage(policy, Math.floor(mnats / 3))
    if (each || i === count - 1) policy = cap(policy, mnats)
    mnats = Math.round(mnats * logarithmic(1, 2))
  }
  return { root: policy as Artifact.Any, world, learningRateScale: logarithmic(3, 100) }
}

export const trial = async (seed: string): Promise<Trial> => {
  const { learningRateScale, root, world } = drawn(seed)
  const made = Effect.runSync(Effect.provide(Store, MemoryStore.layer))
  const events: Array<Event> = []
  const limits = capsIn(root)
  const stages = new Map(Artifact.lineage(root).map((artifact) => [label(artifact), artifact]))
  const held: Array<Held> = []
  const finished = new Map<string, Weights>()
  const judge = (artifact: Artifact.Any, weights: Weights): void => {
    for (const { from, max, mnats, p95 } of limits(artifact).kl) {
      const exact = kl(logDistribution(world, weights), logDistribution(world, finished.get(label(from))!))
      const sorted = Float64Array.from(exact.prompts).sort()
      const found = { mean: exact.mean, p95: sorted[rank95(sorted.length) - 1]!, max: sorted.at(-1)! }
      for (const [statistic, cap] of Object.entries({ mean: mnats, p95, max })) {
        if (cap === undefined) continue
        const share = found[statistic as keyof typeof found] * 1000 / cap
        held.push({ stage: label(artifact), statistic: statistic as Held["statistic"], share })
      }
    }
  }
  // Every policy that was found within its caps is judged, also on the way.
  const store: Store["Service"] = {
    ...made,
    keep: (key, stage, name, weights) => {
      if (name.startsWith("within-cap")) judge(stages.get(stage)!, weights)
      return made.keep(key, stage, name, weights)
    },
    finish: (key, stage, value, ...rest) => {
      if (value._tag === "Model") {
        finished.set(stage, value.weights)
        judge(stages.get(stage)!, value.weights)
      }
      return made.finish(key, stage, value, ...rest)
    }
  }
  const exit = await Effect.runPromiseExit(
    simulate(root, { world, learningRateScale, store, onEvent: (event) => events.push(event) })
  )
  const failure = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (failure !== undefined && (failure._tag !== "Fail" || failure.error._tag === "Refused")) {
    throw new Error(
      `${seed}: ${String(failure._tag === "Fail" ? failure.error : "defect" in failure && failure.defect)}`
    )
  }
  return {
    error: failure === undefined ? null : failure.error._tag,
    held,
    samples: events.flatMap((event) => event._tag === "Measured" ? [event.measurement.samples] : []),
    stages: Artifact.lineage(root).map(({ node }) => node.op),
    rolledBack: events.filter((event) => event._tag === "OverBudget" && event.kept !== null).length
  }
}
