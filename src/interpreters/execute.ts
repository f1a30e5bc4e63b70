/**
 * Makes the artefact at the root of a description: one exhaustive match over the stages, on whatever engine, data, judge,
 * store and log are provided. `run` and `simulate` are this with different services.
 *
 * A node is made at most once, after its inputs, and only when something that is not finished yet needs it: what the store
 * has under the node's key is taken from there.
 */
import { Effect, FileSystem, Option, type PlatformError } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  type BudgetExceeded,
  type Diverged,
  type GateFailed,
  type KlBudgetExceeded,
  OutOfMemory,
  type Unmergeable,
  type UnusableData
} from "../../dsl/Errors.ts"
import type { Extension } from "../../dsl/Extension.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf, Stage } from "../../dsl/Stage.ts"
import { modelsOf as mergedBy } from "../../dsl/stages/Merge.ts"
import type { BadData } from "../data/badData.ts"
import { type Dataset, Datasets, type RowsOf } from "../data/dataset.ts"
import type { Chat } from "../data/formats.ts"
import { unpaired } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { CurrentMicroBatches, inMicroBatches } from "../engine/microBatches.ts"
import { ensembleOf } from "../engine/ensemble.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { Judge } from "../rewards/judge.ts"
import { bestOfN } from "../stages/bestOfN.ts"
import { compare } from "../stages/compare.ts"
import { data } from "../stages/data.ts"
import { distill } from "../stages/distill.ts"
import { dpo } from "../stages/dpo.ts"
import { evaluate } from "../stages/evaluate.ts"
import { gate } from "../stages/gate.ts"
import { grpo } from "../stages/grpo.ts"
import { kto } from "../stages/kto.ts"
import { merge, type Parent } from "../stages/merge.ts"
import { onPolicyDistill } from "../stages/onPolicyDistill.ts"
import { pair } from "../stages/pair.ts"
import { ppo } from "../stages/ppo.ts"
import { pretrain } from "../stages/pretrain.ts"
import { rewardModeling } from "../stages/rewardModeling.ts"
import { sample } from "../stages/sample.ts"
import { score } from "../stages/score.ts"
import { select } from "../stages/select.ts"
import { sft } from "../stages/sft.ts"
import type { Made } from "../store/made.ts"
import { type Event, RunLog } from "../store/runLog.ts"
import type { Spent } from "../store/spent.ts"
import { Store, type StoreError } from "../store/store.ts"
import { hold } from "../training/budgets.ts"
import type { Metered } from "../training/meter.ts"
import type { Scope } from "../training/scope.ts"
import { check, Refused } from "./check.ts"
import { Checkpoints, codecOf } from "./checkpoints.ts"
import { counted } from "./counted.ts"
import { type Extensions, lackingExtensions } from "./extensions.ts"
import { finishedIn, keyOf, spentIn, transparent } from "./keys.ts"
import { limitsIn } from "./limits.ts"
import { lackingPrecisions } from "./precisions.ts"

export interface ExecuteOptions extends Pick<Extensions, "stages"> {
  /** What serves for a node, once its inputs are there, without making it: a plan has made another like it. */
  readonly twinOf?: (artifact: Artifact.Any) => Made | undefined
  /** What of the pipeline is made, under the caps of all of it; its root when left out. */
  readonly only?: ReadonlyArray<Artifact.Any>
}

/** All that making a pipeline can end with. */
export type ExecuteError =
  | Refused
  | KlBudgetExceeded
  | BudgetExceeded
  | Diverged
  | GateFailed
  | UnusableData
  | Unmergeable
  | OutOfMemory
  | BadData
  | BadCheckpoint
  | StoreError
  | PlatformError.PlatformError

export type ExecuteServices = CurrentEngine | Datasets | Judge | Store | RunLog | Checkpoints | FileSystem.FileSystem

/** The models an evaluation reports on, a model before those made from it: an order that JSON cannot change. */
const modelsOf = (evaluation: Artifact.Any): ReadonlyArray<readonly [name: string, of: Artifact.Any]> =>
  Object.entries(evaluation.node.wires)
    .filter(([wire]) => wire.startsWith("models."))
    .map(([wire, of]) => ({ name: wire.slice("models.".length), of, depth: Artifact.lineage(of).length }))
    .sort((a, b) => a.depth - b.depth || (a.name < b.name ? -1 : 1))
    .map(({ name, of }) => [name, of])

/** What a backend throws when its device is full, as the error that it is for whoever runs the pipeline. */
const fullDevice = (stage: string) => (defect: unknown): Effect.Effect<never, OutOfMemory> => {
  const { shortage } = defect as { readonly shortage?: Pick<OutOfMemory, "phase" | "needed" | "available"> }
  return shortage === undefined ? Effect.die(defect) : Effect.fail(new OutOfMemory({ stage, ...shortage, terms: [] }))
}

const making = Effect.fnUntraced(
  function*(root: Artifact.Any, { only = [], stages = [], twinOf = () => undefined }: ExecuteOptions, meter: Metered) {
    yield* Effect.fromResult(check(root))
    const unknown = lackingExtensions(root, { stages }, { rewards: false })
    if (unknown.length > 0) return yield* new Refused({ problems: unknown })
    const [store, log, datasets, checkpoints] = [yield* Store, yield* RunLog, yield* Datasets, yield* Checkpoints]
    const engine = yield* CurrentEngine
    const microBatches = yield* CurrentMicroBatches
    const lacking = lackingPrecisions(root, engine)
    if (lacking.length > 0) return yield* new Refused({ problems: lacking })
    const limits = limitsIn(root)
    const made = new Map<string, Made>()
    // Of finished artefacts only: what an unfinished one has spent is in the meter as soon as it goes on.
    const spent = new Map<string, Spent>()

    /** The caps on resources that hold for an artefact. */
    const held = (artifact: Artifact.Any) => {
      const { kl: _, totals, ...own } = limits(artifact)
      return {
        label: label(artifact),
        limits: {
          ...own,
          totals: totals.map(({ limits, of }) => ({
            limits,
            others: () => [...spent].flatMap(([id, one]) => id !== artifact.id && of.has(id) ? [one] : [])
          }))
        }
      }
    }
    const kept = Effect.succeed("what it made, in the store")

    const weightsOf = (artifact: Artifact.Any): Effect.Effect<Weights, ExecuteError, ExecuteServices> =>
      Effect.map(make(artifact), (value) => {
        if (value._tag === "Model") return value.weights
        throw new Error(`${label(artifact)} made no model`)
      })
    /** The rows on a wire; conversations are rendered by the template of the model that reads them. */
    const datasetOf = Effect.fnUntraced(function*(artifact: Artifact.Any, reader?: Weights) {
      const source = stageOf(artifact)
      const chat: Chat = (messages) => {
        if (reader === undefined) {
          throw new Error("these rows are conversations, and no model with a chat template reads them")
        }
        return engine.codec(reader).chat(messages)
      }
      const value = source._tag === "Source"
        ? { _tag: "Data" as const, dataset: yield* datasets.load(source.role, source.origin, chat) }
        : yield* make(artifact)
      if (value._tag === "Data") return value.dataset
      throw new Error(`${label(artifact)} made no data`)
    })
    const dataOf = <R extends Dataset["role"]>(artifact: Artifact.Any, role: R, reader?: Weights) =>
      Effect.map(datasetOf(artifact, reader), (dataset) => {
        if (dataset.role === role) return dataset as Extract<Dataset, { readonly role: R }>
        throw new Error(`${label(artifact)} made no ${role}`)
      })
    const rowsOf = <R extends Dataset["role"]>(artifact: Artifact.Any, role: R, reader?: Weights) =>
      Effect.map(dataOf(artifact, role, reader), (dataset) => dataset.rows as RowsOf<R>)

    const optional = (wire: Artifact.Any | undefined) =>
      wire === undefined ? Effect.succeed(undefined) : weightsOf(wire)

    const scopeOf = Effect.fnUntraced(function*(artifact: Artifact.Any) {
      const own = limits(artifact)
      const kl: Array<Scope["limits"]["kl"][number]> = []
      for (const { from, ...cap } of own.kl) kl.push({ ...cap, from: label(from), initial: yield* weightsOf(from) })
      const { lora } = artifact.node.params as Pick<Scope, "lora">
      return {
        key: keyOf(artifact, own),
        label: label(artifact),
        limits: { ...held(artifact).limits, kl },
        ...(lora === undefined ? {} : { lora })
      } satisfies Scope
    })

    /** A model with the key under which it was made. */
    const known = (artifact: Artifact.Any) => {
      const of = initialOf(artifact)
      return Effect.map(weightsOf(of), (weights) => ({ key: keyOf(of, limits(of)), weights }))
    }

    const model = (weights: Weights): Made => ({ _tag: "Model", weights })

    /** What an operation from outside means: its implementation, given what is on its wires. */
    const outside = Effect.fnUntraced(
      function*(artifact: Artifact.Any, { definition, params }: Extension, scope: Scope) {
        const { wires } = artifact.node
        const holdsWeights = ({ node }: Artifact.Any) => Artifact.modelKinds.includes(node.kind)
        const main = wires[definition.main]
        const reader = main !== undefined && holdsWeights(main) ? yield* weightsOf(main) : undefined
        const inputs: Record<string, unknown> = {}
        for (const [name, of] of Object.entries(wires)) {
          inputs[name] = holdsWeights(of)
            ? yield* weightsOf(of)
            : (yield* dataOf(of, of.node.kind as Dataset["role"], reader)).rows
        }
        const { make } = stages.find((one) => one.definition.op === definition.op)!
        // Its errors are its own: `FailureOf` adds them to the type of whoever passed it.
        return yield* make(params, inputs, scope) as Effect.Effect<Made, ExecuteError, ExecuteServices>
      }
    )

    const demonstrations = (rows: RowsOf<"Demonstrations">): Made => ({
      _tag: "Data",
      dataset: { role: "Demonstrations", rows }
    })
    /** Rows out of rows, whatever their kind. */
    const dataMade = Effect.fnUntraced(
      function*(stage: Parameters<typeof data>[0], artifact: Artifact.Any, scope: Scope) {
        const wires: Record<string, Dataset> = {}
        for (const [name, of] of Object.entries(artifact.node.wires)) wires[name] = yield* datasetOf(of)
        return { _tag: "Data", dataset: yield* data(stage, wires, scope) } satisfies Made
      }
    )

    /** What each operation means. */
    const meaning = Effect.fnUntraced(function*(artifact: Artifact.Any) {
      const { wires } = artifact.node
      const wire = (name: string) => wires[name]!
      const scope = yield* scopeOf(artifact)
      const stage = stageOf(artifact)
      if (stage._tag === "Extension") return yield* outside(artifact, stage, scope)
      return yield* Stage.match(stage, {
        Input: ({ name }) => Effect.die(new Error(`input ${name} is open`)),
        Cap: () => make(wire("of")),
        Source: ({ role }): Effect.Effect<Made, ExecuteError, ExecuteServices> =>
          Effect.map(dataOf(artifact, role), (dataset) => ({ _tag: "Data", dataset })),
        Checkpoint: Effect.fnUntraced(function*({ adapter, path }) {
          const weights = yield* checkpoints.load(path, adapter)
          yield* codecOf(engine, weights, path)
          return model(weights)
        }),
        Pretrain: Effect.fnUntraced(function*(stage) {
          return model(yield* pretrain(stage, { text: yield* dataOf(wire("text"), "Text") }, scope))
        }),
        Sft: Effect.fnUntraced(function*(stage) {
          const base = yield* weightsOf(wire("base"))
          const demonstrations = yield* rowsOf(wire("demonstrations"), "Demonstrations", base)
          return model(yield* sft(stage, { base, demonstrations }, scope))
        }),
        Compare: Effect.fnUntraced(function*(stage) {
          const policy = yield* weightsOf(wire("policy"))
          const prompts = yield* rowsOf(wire("prompts"), "Prompts", policy)
          const rows = yield* compare(stage, { policy, prompts }, scope)
          return { _tag: "Data", dataset: { role: "Preferences", rows } } as const
        }),
        RewardModeling: Effect.fnUntraced(function*(stage) {
          const init = yield* weightsOf(wire("init"))
          const preferences = yield* dataOf(wire("preferences"), wire("preferences").node.kind as Dataset["role"], init)
          return model(yield* rewardModeling(stage, { init, preferences }, scope))
        }),
        Ensemble: Effect.fnUntraced(function*({ rule }) {
          const members: Array<Weights> = []
          for (let i = 0; i < Object.keys(wires).length; i++) members.push(yield* weightsOf(wire(`members.${i}`)))
          return model(ensembleOf(members, rule))
        }),
        Ppo: Effect.fnUntraced(function*(stage) {
          const init = yield* weightsOf(wire("init"))
          return model(
            yield* ppo(stage, {
              init,
              reference: yield* optional(wires["reference"]),
              reward: yield* weightsOf(wire("reward")),
              value: yield* weightsOf(wire("value")),
              prompts: yield* rowsOf(wire("prompts"), "Prompts", init),
              held: yield* rowsOf(wire("held"), "Prompts", init),
              pretraining: wires["pretraining"] === undefined
                ? undefined
                : yield* rowsOf(wires["pretraining"], "Text", init)
            }, scope)
          )
        }),
        Grpo: Effect.fnUntraced(function*(stage) {
          const init = yield* weightsOf(wire("init"))
          return model(
            yield* grpo(stage, {
              init,
              reference: yield* optional(wires["reference"]),
              reward: yield* optional(wires["reward"]),
              prompts: yield* rowsOf(wire("prompts"), "Prompts", init),
              held: yield* rowsOf(wire("held"), "Prompts", init)
            }, scope)
          )
        }),
        Merge: Effect.fnUntraced(function*(stage) {
          const models: Record<string, Parent> = {}
          for (const [name, of] of Object.entries(mergedBy(wires))) {
            models[name] = { label: label(initialOf(of)), weights: yield* weightsOf(of) }
          }
          const { base, held, preferences, reward } = wires
          const first = Object.values(models)[0]!.weights
          const made = {
            models,
            base: base === undefined ? undefined : yield* weightsOf(base),
            held: held === undefined ? undefined : yield* rowsOf(held, "Prompts", first),
            reward: reward === undefined ? undefined : yield* weightsOf(reward),
            preferences: preferences === undefined ? undefined : yield* rowsOf(preferences, "Preferences", first)
          }
          return model(yield* merge(stage, made, scope))
        }),
        Dpo: Effect.fnUntraced(function*(stage) {
          const init = yield* weightsOf(wire("init"))
          return model(
            yield* dpo(stage, {
              init,
              reference: stage.loss.reference ? yield* known(wire("reference")) : null,
              preferences: yield* rowsOf(wire("preferences"), "Preferences", init),
              held: yield* rowsOf(wire("held"), "Prompts", init)
            }, scope)
          )
        }),
        Kto: Effect.fnUntraced(function*(stage) {
          const init = yield* weightsOf(wire("init"))
          return model(
            yield* kto(stage, {
              init,
              reference: yield* known(wire("reference")),
              preferences: wire("preferences").node.kind === "Preferences"
                ? unpaired(yield* rowsOf(wire("preferences"), "Preferences", init))
                : yield* rowsOf(wire("preferences"), "UnpairedPreferences", init),
              held: yield* rowsOf(wire("held"), "Prompts", init)
            }, scope)
          )
        }),
        Distill: Effect.fnUntraced(function*(stage) {
          const { demonstrations, prompts } = wires
          const student = yield* weightsOf(wire("student"))
          const answers = demonstrations === undefined
            ? { prompts: yield* rowsOf(prompts!, "Prompts", student) }
            : { demonstrations: yield* rowsOf(demonstrations, "Demonstrations", student) }
          return model(yield* distill(stage, { student, teacher: yield* weightsOf(wire("teacher")), answers }, scope))
        }),
        OnPolicyDistill: Effect.fnUntraced(function*(stage) {
          const { demonstrations } = wires
          const student = yield* weightsOf(wire("student"))
          return model(
            yield* onPolicyDistill(stage, {
              student,
              teacher: yield* weightsOf(wire("teacher")),
              prompts: yield* rowsOf(wire("prompts"), "Prompts", student),
              held: yield* rowsOf(wire("held"), "Prompts", student),
              demonstrations: demonstrations === undefined
                ? undefined
                : yield* rowsOf(demonstrations, "Demonstrations", student)
            }, scope)
          )
        }),
        Evaluate: Effect.fnUntraced(function*(stage) {
          const models: Record<string, Weights> = {}
          for (const [name, of] of modelsOf(artifact)) models[name] = yield* weightsOf(of)
          const { preferences, reward } = wires
          const initial = yield* weightsOf(wire("initial"))
          const report = yield* evaluate(stage, {
            initial,
            models,
            prompts: yield* rowsOf(wire("prompts"), "Prompts", initial),
            reward: reward === undefined ? undefined : yield* weightsOf(reward),
            preferences: preferences === undefined ? undefined : yield* rowsOf(preferences, "Preferences", initial)
          }, scope)
          return { _tag: "Report", report } as const
        }),
        Sample: Effect.fnUntraced(function*(stage) {
          const policy = yield* weightsOf(wire("policy"))
          const rows = yield* sample(
            stage,
            { policy, prompts: yield* rowsOf(wire("prompts"), "Prompts", policy) },
            scope
          )
          return { _tag: "Data", dataset: { role: "Completions", rows } } as const
        }),
        Score: Effect.fnUntraced(function*(stage) {
          const completions = yield* rowsOf(wire("completions"), "Completions")
          const reward = wires["reward"] === undefined ? undefined : yield* weightsOf(wires["reward"])
          const rows = yield* score(stage, { completions, reward }, scope)
          return { _tag: "Data", dataset: { role: "ScoredCompletions", rows } } as const
        }),
        Select: Effect.fnUntraced(function*(stage) {
          const completions = yield* rowsOf(wire("completions"), "ScoredCompletions")
          return demonstrations(yield* select(stage, { completions }, scope))
        }),
        Pair: Effect.fnUntraced(function*(stage) {
          const rows = yield* pair(
            stage,
            { completions: yield* rowsOf(wire("completions"), "ScoredCompletions") },
            scope
          )
          return { _tag: "Data", dataset: { role: "Preferences", rows } } as const
        }),
        BestOfN: Effect.fnUntraced(function*(stage) {
          const completions = yield* rowsOf(wire("completions"), "ScoredCompletions")
          return { _tag: "Report", report: yield* bestOfN(stage, { completions }, scope) } as const
        }),
        Mix: (stage) => dataMade(stage, artifact, scope),
        Filter: (stage) => dataMade(stage, artifact, scope),
        Split: (stage) => dataMade(stage, artifact, scope),
        Deduplicate: (stage) => dataMade(stage, artifact, scope),
        Decontaminate: (stage) => dataMade(stage, artifact, scope),
        Gate: Effect.fnUntraced(function*(stage) {
          const candidate = yield* weightsOf(wire("candidate"))
          const { initial, reward } = wires
          return model(
            yield* gate(stage, {
              candidate,
              previous: yield* weightsOf(wire("previous")),
              initial: initial === undefined ? undefined : yield* weightsOf(initial),
              reward: reward === undefined ? undefined : yield* weightsOf(reward),
              held: yield* rowsOf(wire("held"), "Prompts", candidate)
            }, scope)
          )
        })
      })
    })

    const make = (artifact: Artifact.Any): Effect.Effect<Made, ExecuteError, ExecuteServices> =>
      Effect.suspend(() => {
        const done = made.get(artifact.id)
        return done === undefined ? makeOnce(artifact) : Effect.succeed(done)
      })

    const makeOnce: (artifact: Artifact.Any) => Effect.Effect<Made, ExecuteError, ExecuteServices> = Effect.fnUntraced(
      function*(artifact) {
        const own = !transparent.has(artifact.node.op)
        const key = keyOf(artifact, limits(artifact))
        const name = label(artifact)
        const found = own ? yield* store.find(key, name) : Option.none<Made>()
        if (Option.isSome(found)) {
          yield* log.emit({ _tag: "Cached", stage: name })
          made.set(artifact.id, found.value)
          return found.value
        }
        const twin = own ? twinOf(artifact) : undefined
        if (twin !== undefined) {
          for (const wire of Object.values(artifact.node.wires)) if (wire.node.op !== "Source") yield* make(wire)
        }
        const finished = Effect.tap(
          (twin === undefined ? meaning(artifact) : Effect.succeed(twin)).pipe(
            Effect.provideService(CurrentEngine, inMicroBatches(engine, microBatches.get(name))),
            Effect.map((value) => ({ value, endedBy: [] as ReadonlyArray<Event> })),
            // Nothing about it is a failure: the stage made what it had kept.
            Effect.catchTag(
              "EndedEarly",
              ({ because, weights }) => Effect.succeed({ value: model(weights), endedBy: because })
            )
          ),
          ({ endedBy, value }) =>
            own ? Effect.flatMap(meter.spent, (spent) => store.finish(key, name, value, spent, endedBy)) : Effect.void
        )
        const { value } = yield* (own ? meter.making(finished) : finished).pipe(
          Effect.catchDefect(fullDevice(name)),
          Effect.tapError((error) =>
            own && !alreadyTold.has(error)
              ? Effect.andThen(
                Effect.sync(() => alreadyTold.add(error)),
                // A full disk must not hide the error that it is about.
                Effect.ignore(log.emit({ _tag: "Failed", stage: name, error: error._tag, message: error.message }))
              )
              : Effect.void
          )
        )
        made.set(artifact.id, value)
        if (own) {
          const took = yield* store.spent(key, name)
          if (Option.isSome(took)) yield* settle(artifact, took.value)
        }
        return value
      }
    )
    const alreadyTold = new WeakSet<object>()

    /** What a finished artefact took counts from now on, against its own caps and every total. */
    const settle = (artifact: Artifact.Any, took: Spent) => {
      spent.set(artifact.id, took)
      return hold(held(artifact), took, kept)
    }
    // What was made earlier for this pipeline was spent on it, whether it is looked at again or not.
    const before = yield* spentIn(root)
    const there = finishedIn(root)
    for (const artifact of Artifact.lineage(root)) {
      if (!(yield* there(artifact))) continue
      // Nor is it forgotten that a stage ended early: what is made here rests on the policy that it went back to.
      for (const told of yield* store.endedBy(keyOf(artifact, limits(artifact)), label(artifact))) yield* log.emit(told)
      const took = before.get(artifact.id)
      if (took !== undefined) yield* settle(artifact, took)
    }
    for (const artifact of only) yield* make(artifact)
    return yield* make(only.at(-1) ?? root)
  }
)

/**
 * Makes `root`. Refuses it first when `check` finds anything wrong, or when a stage from outside is not among `stages`; what
 * those fail with comes through as it is. What it takes is counted, and held against the caps on resources.
 */
export const execute: (
  root: Artifact.Any,
  options?: ExecuteOptions
) => Effect.Effect<Made, ExecuteError, ExecuteServices> = Effect.fn("execute")(
  function*(root: Artifact.Any, options: ExecuteOptions = {}) {
    return yield* counted((meter) => making(root, options, meter))
  }
)
