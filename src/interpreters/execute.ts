/**
 * Makes the artefact at the root of a description: one exhaustive match over the stages, on whatever engine, data, judge,
 * store and log are provided. `run` and `simulate` are this with different services.
 *
 * A node is made at most once, after its inputs, and only when something that is not finished yet needs it: what the store
 * has under the node's key is taken from there.
 */
import { Effect, FileSystem, Option, type PlatformError } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { canonical } from "../../dsl/Canonical.ts"
import { sha256 } from "../../dsl/Digest.ts"
import {
  type BudgetExceeded,
  type Diverged,
  type KlBudgetExceeded,
  OutOfMemory,
  type UnusableData
} from "../../dsl/Errors.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { Stage } from "../../dsl/Stage.ts"
import type { BadData } from "../data/badData.ts"
import { type Dataset, Datasets, type Role } from "../data/dataset.ts"
import type { Chat } from "../data/formats.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { Judge } from "../rewards/judge.ts"
import { compare } from "../stages/compare.ts"
import { evaluate } from "../stages/evaluate.ts"
import { ppo } from "../stages/ppo.ts"
import { pretrain } from "../stages/pretrain.ts"
import { rewardModeling } from "../stages/rewardModeling.ts"
import { sft } from "../stages/sft.ts"
import type { Made } from "../store/made.ts"
import { RunLog } from "../store/runLog.ts"
import { Store, type StoreError } from "../store/store.ts"
import type { Scope } from "../training/scope.ts"
import { check, Refused } from "./check.ts"
import { type Limits, limitsIn } from "./limits.ts"
import { Checkpoints, codecOf } from "./checkpoints.ts"
import { lackingPrecisions } from "./precisions.ts"

/** All that making a pipeline can end with. */
export type ExecuteError =
  | Refused
  | KlBudgetExceeded
  | BudgetExceeded
  | Diverged
  | UnusableData
  | OutOfMemory
  | BadData
  | BadCheckpoint
  | StoreError
  | PlatformError.PlatformError

export type ExecuteServices = CurrentEngine | Datasets | Judge | Store | RunLog | Checkpoints | FileSystem.FileSystem

/**
 * The key of a node under its limits. Limits are part of it because they can end a stage early; a node without any has its
 * own id as key.
 */
export const keyOf = (artifact: Artifact.Any, limits: Limits): string => {
  const caps = {
    kl: limits.kl.map(({ from, mnats }) => ({ mnats, from: from.id })),
    tokens: String(limits.tokens),
    memory: String(limits.memory),
    seconds: String(limits.seconds)
  }
  const none = limits.kl.length === 0 && [limits.tokens, limits.memory, limits.seconds].every((cap) => cap === Infinity)
  return none ? artifact.id : sha256(canonical({ id: artifact.id, caps }))
}

/** The models an evaluation reports on, a model before those made from it: an order that JSON cannot change. */
const modelsOf = (evaluation: Artifact.Any): ReadonlyArray<readonly [name: string, of: Artifact.Any]> =>
  Object.entries(evaluation.node.wires)
    .filter(([wire]) => wire.startsWith("models."))
    .map(([wire, of]) => ({ name: wire.slice("models.".length), of, depth: Artifact.lineage(of).length }))
    .sort((a, b) => a.depth - b.depth || (a.name < b.name ? -1 : 1))
    .map(({ name, of }) => [name, of])

/** Operations that make nothing of their own. */
const transparent = new Set(["Cap", "Input", "Source", "Checkpoint"])

/** Whether the store has what a node of the pipeline `root` makes. */
export const finishedIn = (root: Artifact.Any) => {
  const limits = limitsIn(root)
  return (artifact: Artifact.Any) =>
    transparent.has(artifact.node.op)
      ? Effect.succeed(false)
      : Effect.flatMap(Store, (store) => store.has(keyOf(artifact, limits(artifact)), label(artifact)))
}

/** What a backend throws when its device is full, as the error that it is for whoever runs the pipeline. */
const fullDevice = (stage: string) => (defect: unknown): Effect.Effect<never, OutOfMemory> => {
  const { shortage } = defect as { readonly shortage?: Pick<OutOfMemory, "phase" | "needed" | "available"> }
  return shortage === undefined ? Effect.die(defect) : Effect.fail(new OutOfMemory({ stage, ...shortage, terms: [] }))
}

/** Makes `root`. Refuses it first when `check` finds anything wrong. */
export const execute: (root: Artifact.Any) => Effect.Effect<Made, ExecuteError, ExecuteServices> = Effect.fn("execute")(
  function*(root) {
    yield* Effect.fromResult(check(root))
    const [store, log, datasets, checkpoints] = [yield* Store, yield* RunLog, yield* Datasets, yield* Checkpoints]
    const engine = yield* CurrentEngine
    const lacking = lackingPrecisions(root, engine)
    if (lacking.length > 0) return yield* new Refused({ problems: lacking })
    const limits = limitsIn(root)
    const made = new Map<string, Made>()

    const weightsOf = (artifact: Artifact.Any): Effect.Effect<Weights, ExecuteError, ExecuteServices> =>
      Effect.map(make(artifact), (value) => {
        if (value._tag === "Model") return value.weights
        throw new Error(`${label(artifact)} made no model`)
      })
    /** The rows on a wire; conversations are rendered by the template of the model that reads them. */
    const dataOf = Effect.fnUntraced(function*<R extends Role>(artifact: Artifact.Any, role: R, reader?: Weights) {
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
      if (value._tag === "Data" && value.dataset.role === role) {
        return value.dataset as Extract<Dataset, { readonly role: R }>
      }
      throw new Error(`${label(artifact)} made no ${role}`)
    })
    const rowsOf = <R extends Role>(artifact: Artifact.Any, role: R, reader: Weights) =>
      Effect.map(
        dataOf(artifact, role, reader),
        (dataset) => dataset.rows as Extract<Dataset, { readonly role: R }>["rows"]
      )

    const scopeOf = Effect.fnUntraced(function*(artifact: Artifact.Any) {
      const own = limits(artifact)
      const kl: Array<Scope["limits"]["kl"][number]> = []
      for (const { from, mnats } of own.kl) kl.push({ mnats, from: label(from), initial: yield* weightsOf(from) })
      return { key: keyOf(artifact, own), label: label(artifact), limits: { ...own, kl } } satisfies Scope
    })

    const model = (weights: Weights): Made => ({ _tag: "Model", weights })

    /** What each operation means. */
    const meaning = Effect.fnUntraced(function*(artifact: Artifact.Any) {
      const { wires } = artifact.node
      const wire = (name: string) => wires[name]!
      const scope = yield* scopeOf(artifact)
      return yield* Stage.match(stageOf(artifact), {
        Input: ({ name }) => Effect.die(new Error(`input ${name} is open`)),
        Cap: () => make(wire("of")),
        Source: ({ role }): Effect.Effect<Made, ExecuteError, ExecuteServices> =>
          Effect.map(dataOf(artifact, role), (dataset) => ({ _tag: "Data", dataset })),
        Checkpoint: Effect.fnUntraced(function*({ path }) {
          const weights = yield* checkpoints.load(path)
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
          const preferences = yield* rowsOf(wire("preferences"), "Preferences", init)
          return model(yield* rewardModeling(stage, { init, preferences }, scope))
        }),
        Ppo: Effect.fnUntraced(function*(stage) {
          const init = yield* weightsOf(wire("init"))
          return model(
            yield* ppo(stage, {
              init,
              reference: yield* weightsOf(wire("reference")),
              reward: yield* weightsOf(wire("reward")),
              value: yield* weightsOf(wire("value")),
              prompts: yield* rowsOf(wire("prompts"), "Prompts", init),
              held: yield* rowsOf(wire("held"), "Prompts", init)
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
        const value: Made = yield* meaning(artifact).pipe(
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
        if (own) yield* store.finish(key, name, value)
        return value
      }
    )
    const alreadyTold = new WeakSet<object>()

    return yield* make(root)
  }
)
