/** What each operation means: one exhaustive match over the stages. */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import type { Extension } from "../../dsl/Extension.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf, match } from "../../dsl/Stage.ts"
import { modelsOf as mergedBy } from "../../dsl/stages/Merge.ts"
import type { Dataset, RowsOf } from "../data/dataset.ts"
import { unpaired } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { ensembleOf } from "../engine/ensemble.ts"
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
import type { Scope } from "../training/scope.ts"
import { Checkpoints, codecOf } from "./checkpoints.ts"
import type { Extensions } from "./extensions.ts"
import type { ExecuteError, ExecuteServices, Make, Wired } from "./inputs.ts"

/** The models an evaluation reports on, a model before those made from it: an order that JSON cannot change. */
const modelsOf = (evaluation: Artifact.Any): ReadonlyArray<readonly [name: string, of: Artifact.Any]> =>
  Object.entries(evaluation.node.wires)
    .filter(([wire]) => wire.startsWith("models."))
    .map(([wire, of]) => ({ name: wire.slice("models.".length), of, depth: Artifact.lineage(of).length }))
    .sort((a, b) => a.depth - b.depth || (a.name < b.name ? -1 : 1))
    .map(({ name, of }) => [name, of])

export const model = (weights: Weights): Made => ({ _tag: "Model", weights })

/** How an artefact is made, whose inputs `make` makes; `stages` are the implementations from outside. */
export const meanings = Effect.fnUntraced(function*(
  make: Make,
  { dataOf, datasetOf, known, optional, rowsOf, weightsOf }: Wired,
  stages: NonNullable<Extensions["stages"]>
) {
  const checkpoints = yield* Checkpoints
  const engine = yield* CurrentEngine

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

  const meaning = Effect.fnUntraced(function*(artifact: Artifact.Any, scope: Scope) {
    const { wires } = artifact.node
    const wire = (name: string) => wires[name]!
    const stage = stageOf(artifact)
    if (stage._tag === "Extension") return yield* outside(artifact, stage, scope)
    return yield* match(stage, {
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
  return meaning
})
