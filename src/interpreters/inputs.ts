/** The inputs on the wires of a stage: weights and rows, made on demand. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Artifact from "../../dsl/Artifact.ts"
import type {
  BrokenExtension,
  BudgetExceeded,
  Diverged,
  GateFailed,
  JudgeFailed,
  KlBudgetExceeded,
  NoSandbox,
  OutOfMemory,
  Unmergeable,
  UnusableData
} from "../../dsl/Errors.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf } from "../../dsl/Stage.ts"
import type { Wires } from "../../dsl/Wires.ts"
import type { BadData } from "../data/badData.ts"
import { type Dataset, Datasets, type RowsOf } from "../data/dataset.ts"
import type { Chat } from "../data/messages.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import type { Inputs } from "../outside/implementation.ts"
import { type Composed, plain } from "../rewards/composed.ts"
import type { Judge } from "../rewards/judge.ts"
import type { Made } from "../store/made.ts"
import type { RunLog } from "../store/runLog.ts"
import type { Store, StoreError } from "../store/store.ts"
import type { Refused } from "./check.ts"
import type { Checkpoints } from "./checkpoints.ts"

/** All errors of making a pipeline. */
export type ExecuteError =
  | Refused
  | KlBudgetExceeded
  | BudgetExceeded
  | Diverged
  | GateFailed
  | JudgeFailed
  | UnusableData
  | Unmergeable
  | OutOfMemory
  | BrokenExtension
  | NoSandbox
  | BadData
  | BadCheckpoint
  | StoreError
  | PlatformError.PlatformError

export type ExecuteServices = CurrentEngine | Datasets | Judge | Store | RunLog | Checkpoints | FileSystem.FileSystem

/** Makes an artefact, or returns its earlier result. */
export type Make = (artifact: Artifact.Any) => Effect.Effect<Made, ExecuteError, ExecuteServices>

/** A reward with its models, which `weightsOf` gives; the same artefact is the same leaf. */
export const rewardOf = <E, R>(
  root: Artifact.Any,
  weightsOf: (artifact: Artifact.Any) => Effect.Effect<Weights, E, R>
): Effect.Effect<Composed<Weights>, E, R> => {
  const known = new Map<string, Composed<Weights>>()
  const make: (artifact: Artifact.Any) => Effect.Effect<Composed<Weights>, E, R> = Effect.fnUntraced(
    function*(artifact) {
      const of = initialOf(artifact)
      const found = known.get(of.id)
      if (found !== undefined) return found
      const stage = stageOf(of)
      let made: Composed<Weights>
      if (stage._tag !== "Reward") made = plain(yield* weightsOf(of))
      else if (stage.rule._tag === "Verify") made = { _tag: "Verify", verifier: stage.rule.verifier }
      else if (stage.rule._tag === "ByJudge" || stage.rule._tag === "ByPairs") {
        const policy = of.node.wires["judge"]
        const weights = policy === undefined ? undefined : yield* weightsOf(policy)
        made = { _tag: "Judge", how: stage.rule, policy: weights, ask: null }
      } else if (stage.rule._tag === "Of") {
        made = { _tag: "Model", model: yield* weightsOf(of.node.wires["of"]!), after: stage.rule.after }
      } else {
        const parts: Record<string, Composed<Weights>> = {}
        for (const [wire, part] of Object.entries(of.node.wires)) parts[wire] = yield* make(part)
        made = { _tag: "Ruled", rule: stage.rule, parts }
      }
      known.set(of.id, made)
      return made
    }
  )
  return make(root)
}

const unread: Chat = () => {
  throw new Error("these rows are conversations, and no model with a chat template reads them")
}

/** `keyOf` gives the key of a result that was made. */
export const wired = Effect.fnUntraced(function*(make: Make, keyOf: (artifact: Artifact.Any) => string) {
  const datasets = yield* Datasets
  const engine = yield* CurrentEngine
  const weightsOf = (artifact: Artifact.Any): Effect.Effect<Weights, ExecuteError, ExecuteServices> =>
    Effect.map(make(artifact), (value) => {
      if (value._tag === "Model") return value.weights
      throw new Error(`${label(artifact)} made no model`)
    })
  /** The rows on a wire; conversations are rendered by the template of the model that reads them. */
  const datasetOf = Effect.fnUntraced(function*(artifact: Artifact.Any, reader?: Weights) {
    const source = stageOf(artifact)
    const value = source._tag === "Source"
      ? {
        _tag: "Data" as const,
        dataset: yield* datasets.load(
          source.role,
          source.origin,
          reader === undefined ? unread : engine.codec(reader).chat
        )
      }
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

  /** All that is on the wires `S` of a stage: its main model first, which reads the rows, and the others as the definition names them. */
  const inputsOf = Effect.fnUntraced(
    function*<S extends Wires>(artifact: Artifact.Any, main: string, spec: S) {
      const { [main]: read, ...wires } = artifact.node.wires
      const isModel = ({ node }: Artifact.Any) => Artifact.modelKinds.includes(node.kind)
      // Score's main wire is its reward, which reads completions and renders no conversation.
      const reader = read !== undefined && isModel(read) && read.node.kind !== "Reward"
        ? yield* weightsOf(read)
        : undefined
      const found: Record<string, unknown> = {}
      for (const name of Object.keys(spec)) {
        const of = name === main ? read : wires[name]
        if (of === undefined) continue
        found[name] = spec[name]!.kinds.includes("Reward")
          ? yield* rewardOf(of, weightsOf)
          : isModel(of)
          ? yield* weightsOf(of)
          : yield* rowsOf(of, of.node.kind as Dataset["role"], reader)
      }
      return found as Inputs<S>
    }
  )

  /** A model with the key under which it was made. */
  const known = (artifact: Artifact.Any) => {
    const of = initialOf(artifact)
    return Effect.map(weightsOf(of), (weights) => ({ key: keyOf(of), weights }))
  }

  return { weightsOf, datasetOf, dataOf, rowsOf, inputsOf, known }
})

export type Wired = Effect.Success<ReturnType<typeof wired>>
