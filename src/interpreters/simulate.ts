/**
 * Runs a description on a small finite world where everything is exact: the same stage code, the tabular engine, the world's
 * data and gold reward. Shows the results in seconds and compares them with enumeration: the exact gold reward, the
 * exact KL from any model, and of each RL stage the most reward attainable at its KL, and its optimum where it has one (`exactPolicy.ts`).
 *
 * A tabular parameter is a logit, which AdamW moves by about the learning rate per update; a transformer's rates are made for
 * thousands of shared parameters. So learning rates are multiplied by `learningRateScale`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Artifact from "../../dsl/Artifact.ts"
import type { Environment as Described } from "../../dsl/Environment.ts"
import type { Environment, Implemented, Reward, Verifier } from "../../dsl/Extension.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { rowsIn } from "../../dsl/Source.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf } from "../../dsl/Stage.ts"
import { Datasets } from "../data/dataset.ts"
import { completed, unpaired } from "../data/rows.ts"
import { aroundEngine, unchanged } from "../engine/around.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { ensembleOf } from "../engine/ensemble.ts"
import { language } from "../engine/tabular/checkpoint.ts"
import * as data from "../engine/tabular/data.ts"
import * as judged from "../engine/tabular/judgedRows.ts"
import { expectedReward, kl, logDistribution, rewardTable } from "../engine/tabular/exact.ts"
import { tabular } from "../engine/tabular/tabular.ts"
import { type World, world as makeWorld } from "../engine/tabular/world.ts"
import type { Acts } from "../rewards/environment.ts"
import { atOnce, Judge } from "../rewards/judge.ts"
import * as MemoryStore from "../store/memory.ts"
import { type Event, RunLog } from "../store/runLog.ts"
import { Store, type StoreError } from "../store/store.ts"
import { type Asking, CurrentAsking } from "../training/asking.ts"
import { Checkpoints } from "./checkpoints.ts"
import {
  type Attainable,
  attainable,
  kindIn,
  type Optimum,
  optimumOf,
  scoresOf,
  withoutOptimum
} from "./exactPolicy.ts"
import { execute, type ExecuteError } from "./execute.ts"
import type { Extensions, FailureOf, Met } from "./extensions.ts"
import { rewardOf } from "./inputs.ts"
import { known } from "./options.ts"
import { keysIn } from "./storeKeys.ts"
import { capsIn } from "./capsOf.ts"

export interface SimulateOptions extends Pick<Extensions, "losses" | "stages"> {
  readonly world?: World
  readonly learningRateScale?: number
  readonly onEvent?: (event: Event) => void
  /** The store of results; by default they are not kept. */
  readonly store?: Store["Service"]
}

/** A world of so many prompts, 85 completions each. */
export const worldOf = (prompts: number): World => makeWorld({ prompts, vocab: 5, horizon: 3, seed: "keel" })
/** The world that `simulate` takes when none is given. */
export const defaultWorld: World = worldOf(4)

/** The exact values of a policy of the pipeline. */
export interface ExactPolicy {
  readonly stage: string
  /** E[gold], the mean over prompts. */
  readonly gold: number
  /** KL from the initial model of each cap, nats per sequence; the cap is null where KL is only measured. */
  readonly kl: ReadonlyArray<{ readonly from: string; readonly nats: number; readonly cap: number | null }>
  /** β of a stage that learns from a reward. */
  readonly beta: number | null
  /** Of such a stage: its own reward, and the most that is attainable as far away. */
  readonly attainable: Attainable | null
  /** The optimum that such a stage aims at, if it does. */
  readonly optimum: Optimum | null
  /** Why it aims at none; empty where there is an optimum, and for other stages. */
  readonly noOptimum: ReadonlyArray<string>
}

export interface Simulated {
  readonly world: string
  readonly events: ReadonlyArray<Event>
  /** Policies in the order in which they are made. */
  readonly policies: ReadonlyArray<ExactPolicy>
}

const datasets = (world: World) =>
  Layer.succeed(Datasets, {
    load: (role, origin) =>
      Effect.sync(() => {
        const count = "count" in origin || origin._tag === "Rows"
          ? rowsIn(origin)
          : Math.min(rowsIn(origin), "limit" in origin ? origin.limit ?? 256 : 256)
        const options = { count, seed: JSON.stringify({ ...origin }) }
        switch (role) {
          case "Text":
            return { role, rows: data.text(world, options).map((text) => ({ text })), vocabulary: [] }
          case "Prompts":
            return { role, rows: data.answered(world) }
          case "Demonstrations":
            return { role, rows: data.demonstrations(world, { ...options, temperature: 2 }) }
          case "Completions":
            return { role, rows: data.demonstrations(world, { ...options, temperature: 2 }).map(completed) }
          case "ScoredCompletions":
            return {
              role,
              rows: data.demonstrations(world, { ...options, temperature: 2 })
                .map((row) => ({ ...completed(row), score: world.gold(row.prompt, row.completion) }))
            }
          case "Preferences":
            return { role, rows: data.preferences(world, options) }
          case "Rankings":
            return { role, rows: judged.rankings(world, options) }
          case "Stepwise":
            return { role, rows: judged.stepwise(world, options) }
          case "UnpairedPreferences":
            return { role, rows: unpaired(data.preferences(world, { ...options, count: Math.ceil(count / 2) })) }
        }
      })
  })

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * The world as an environment: it answers a turn with a letter, by the length of the text so far, and rewards the last turn with the gold
 * reward of the whole text, unless the environment gives no reward itself.
 */
const worldly = (world: World, { _tag, maxTurns }: Described): Acts => ({
  tools: [],
  step: (_, situations) =>
    Effect.sync(() =>
      situations.map(({ row: { prompt }, turns }) => {
        const said = turns.flatMap(({ replies, text }) => [text, ...replies.map(({ content }) => content)])
          .filter((text) => text !== "").join(" ")
        const length = said === "" ? 0 : said.split(" ").length
        const goesOn = !turns.at(-1)!.ended && turns.length < maxTurns && length + 1 < world.horizon
        const content = world.vocabulary[length % (world.vocabulary.length - 1)]!
        return {
          replies: goesOn ? [{ role: "user", content }] : [],
          reward: goesOn || _tag === "Calculator" ? 0 : world.gold(prompt, said)
        }
      })
    )
})

const judge = (world: World) => {
  const passes = data.passesChecks(world)
  return Layer.succeed(Judge, {
    gold: (_, prompt, completion) => world.gold(prompt, completion),
    prefers: (_, prompt, a, b, u) => u < logistic(world.gold(prompt, a) - world.gold(prompt, b)),
    verifies: atOnce(({ completion, prompt }) => passes(prompt, completion)),
    kindOf: kindIn(world),
    environment: (environment) => worldly(world, environment)
  })
}

/** A judge that sees the gold reward g: a score is the point σ(g) of its scale, a preference σ(g(A) − g(B)). */
const asking = (world: World) => () =>
  Effect.succeed<Asking>((asked) =>
    Effect.succeed(asked.map(({ question: { completions: [a, b], prompt, verdicts } }) => {
      const [g, than] = [world.gold(prompt, a!), b === undefined ? 0 : world.gold(prompt, b)]
      const values = verdicts.map(({ value }) => value)
      const [least, most] = [Math.min(...values), Math.max(...values)]
      return least + (most - least) * logistic(g - than)
    }))
  )

/** The tabular engine with every learning rate multiplied. */
const scaled = (world: World, scale: number) =>
  aroundEngine(tabular(world), {
    model: () => ({
      ...unchanged,
      step: (own) => (update) => own({ ...update, learningRate: update.learningRate * scale })
    })
  })

/** The services of a simulation, with the events in `events`. */
const services = (world: World, { learningRateScale = 100, onEvent, store }: SimulateOptions, events: Array<Event>) =>
  Layer.mergeAll(
    Layer.succeed(CurrentEngine, scaled(world, learningRateScale)),
    datasets(world),
    judge(world),
    Layer.succeed(CurrentAsking, asking(world)),
    store === undefined ? MemoryStore.layer : Layer.succeed(Store, store),
    Layer.succeed(Checkpoints, { load: () => Effect.succeed(language(world)) }),
    Layer.succeed(RunLog, {
      emit: (event) =>
        Effect.sync(() => {
          events.push(event)
          onEvent?.(event)
        })
    }),
    NodeFileSystem.layer
  )

const optionNames = {
  world: true,
  learningRateScale: true,
  onEvent: true,
  store: true,
  losses: true,
  stages: true,
  // Not needed: every gold reward and verdict is the world's.
  rewards: true
} as const

const exactly = Effect.fn("simulate")(function*(root: Artifact.Any, options: SimulateOptions = {}) {
  yield* known("simulate", options, optionNames)
  const world = options.world ?? defaultWorld
  const events: Array<Event> = []
  const program = Effect.gen(function*() {
    yield* execute(root, options)
    const store = yield* Store
    const limits = capsIn(root)
    const keys = yield* keysIn(root)
    const gold = rewardTable(world, world.gold)
    // Artefacts that no stage needs, e.g. the `from` of a cap on tokens alone, are not made.
    const isMade = (artifact: Artifact.Any) => {
      const key = keys.result(artifact)
      if (artifact.node.op === "Checkpoint") return Effect.succeed(true)
      return key === undefined ? Effect.succeed(false) : store.has(key, label(artifact))
    }
    const weightsOf: (artifact: Artifact.Any) => Effect.Effect<Weights, StoreError> = Effect.fnUntraced(
      function*(artifact) {
        const of = initialOf(artifact)
        if (of.node.op === "Checkpoint") return language(world)
        const stage = stageOf(of)
        if (stage._tag === "Ensemble") {
          const { wires } = of.node
          const members: Array<Weights> = []
          for (let i = 0; i < Object.keys(wires).length; i++) members.push(yield* weightsOf(wires[`members.${i}`]!))
          return ensembleOf(members, stage.rule)
        }
        const found = yield* store.find(keys.result(of)!, label(of))
        if (found._tag === "Some" && found.value._tag === "Model") return found.value.weights
        throw new Error(`${label(of)} made no model`)
      }
    )
    const policies: Array<ExactPolicy> = []
    for (const artifact of Artifact.lineage(root)) {
      const { kind, op, wires } = artifact.node
      if ((kind !== "Policy" && kind !== "BaseModel") || op === "Cap" || !(yield* isMade(artifact))) continue
      const now = logDistribution(world, yield* weightsOf(artifact))
      const measured: Array<ExactPolicy["kl"][number]> = []
      for (const { from, mnats } of limits(artifact).kl) {
        const nats = kl(now, logDistribution(world, yield* weightsOf(from))).mean
        measured.push({ from: label(from), nats, cap: mnats === undefined ? null : mnats / 1000 })
      }
      const exact = { stage: label(artifact), gold: expectedReward(now, gold).mean, kl: measured }
      const stage = stageOf(artifact)
      if (stage._tag !== "Ppo" && stage._tag !== "Grpo") {
        policies.push({ ...exact, beta: null, attainable: null, optimum: null, noOptimum: [] })
        continue
      }
      const reward = yield* scoresOf(
        world,
        stage,
        wires["reward"] === undefined ? null : yield* rewardOf(wires["reward"], weightsOf)
      )
      const from = wires["reference"] ?? wires["init"]!
      const anchor = logDistribution(world, yield* weightsOf(from))
      const none = withoutOptimum(world, stage, wires["reward"])
      policies.push({
        ...exact,
        beta: stage.beta,
        attainable: stage.environment === undefined ? attainable(now, anchor, reward, label(initialOf(from))) : null,
        optimum: none.length > 0 ? null : optimumOf(now, anchor, reward, gold, stage.beta),
        noOptimum: none
      })
    }
    return { world: world.name, events, policies } satisfies Simulated
  })
  return yield* program.pipe(Effect.provide(services(world, options, events), { local: true }))
})

/**
 * Runs `root` and reports the exact values of every policy in it. A stage or a loss from outside Keel needs its
 * implementation in `stages` or `losses`; rewards and verifiers from outside do not, because their place is taken by the world's.
 */
export const simulate = <P extends Artifact.Any, const O extends SimulateOptions = SimulateOptions>(
  root: P & Implemented<P, Met<O> | Reward<string> | Verifier<string> | Environment<string>>,
  options?: O
): Effect.Effect<Simulated, ExecuteError | FailureOf<O>> => exactly(root as Artifact.Any, options)
