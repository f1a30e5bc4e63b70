/** The meaning of each operation: one exhaustive match over the stages. */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import type { Extension } from "../../dsl/Extension.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { definitions, initialOf, match } from "../../dsl/Stage.ts"
import { modelsIn } from "../../dsl/stages/Reward.ts"
import { groupOf, type Wires } from "../../dsl/Wires.ts"
import type { Dataset, RowsOf } from "../data/dataset.ts"
import { unpaired } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { ensembleOf } from "../engine/ensemble.ts"
import type { Inputs } from "../outside/implementation.ts"
import { bestOfN } from "../stages/bestOfN.ts"
import { compare } from "../stages/compare.ts"
import { data as changed } from "../stages/data.ts"
import { difficulty } from "../stages/difficulty.ts"
import { distill } from "../stages/distill.ts"
import { dpo } from "../stages/dpo.ts"
import { evaluate } from "../stages/evaluate.ts"
import { gate } from "../stages/gate.ts"
import { grpo } from "../stages/grpo.ts"
import { judge } from "../stages/judge.ts"
import { kto } from "../stages/kto.ts"
import { merge, type Parent } from "../stages/merge.ts"
import { onPolicyDistill } from "../stages/onPolicyDistill.ts"
import { pair } from "../stages/pair.ts"
import { ppo } from "../stages/ppo.ts"
import { pretrain } from "../stages/pretrain.ts"
import { rewardModeling } from "../stages/rewardModeling.ts"
import { sample, samplePrompts } from "../stages/sample.ts"
import { score } from "../stages/score.ts"
import { select } from "../stages/select.ts"
import { sft } from "../stages/sft.ts"
import type { Made } from "../store/made.ts"
import type { Report } from "../store/report.ts"
import { heldAtEnd } from "../training/heldAtEnd.ts"
import type { Scope } from "../training/scope.ts"
import { Checkpoints, spoken } from "./checkpoints.ts"
import type { Extensions } from "./extensions.ts"
import type { ExecuteError, ExecuteServices, Make, Wired } from "./inputs.ts"

/** The models of an evaluation in its order, else each before its descendants: an order that JSON cannot change. */
const modelsOf = (
  evaluation: Artifact.Any,
  order: ReadonlyArray<string> = []
): ReadonlyArray<readonly [name: string, of: Artifact.Any]> =>
  Object.entries(groupOf("models", evaluation.node.wires))
    .map(([name, of]) => ({ name, of, depth: Artifact.lineage(of).length, place: order.indexOf(name) }))
    .sort((a, b) => a.place - b.place || a.depth - b.depth || (a.name < b.name ? -1 : 1))
    .map(({ name, of }) => [name, of])

export const model = (weights: Weights): Made => ({ _tag: "Model", weights })
const report = (report: Report): Made => ({ _tag: "Report", report })
const data = <R extends Dataset["role"]>(role: R) => (rows: RowsOf<R>) =>
  ({ _tag: "Data", dataset: { role, rows } as Dataset }) satisfies Made

/** How an artefact is made, whose inputs `make` makes; `stages` are the implementations from outside. */
export const meanings = Effect.fnUntraced(function*(
  make: Make,
  { dataOf, datasetOf, inputsOf, known, rowsOf, weightsOf }: Wired,
  stages: NonNullable<Extensions["stages"]>
) {
  const checkpoints = yield* Checkpoints
  const engine = yield* CurrentEngine

  /** The meaning of an operation from outside: its implementation, given the inputs on its wires. */
  const outside = Effect.fnUntraced(
    function*(artifact: Artifact.Any, { definition, params }: Extension, scope: Scope) {
      const { definition: { main, wires, wiresOf }, make } = stages.find((one) => one.definition.op === definition.op)!
      const { node } = artifact
      const inputs = yield* inputsOf(artifact, main, wiresOf?.(node.wires, node.params as object) ?? wires)
      // Its errors are its own: `FailureOf` adds them to the type of whoever passed it.
      const made = yield* make(params, inputs, scope) as Effect.Effect<Made, ExecuteError, ExecuteServices>
      const { measured } = scope.limits
      if (made._tag === "Model" && measured !== undefined) {
        yield* heldAtEnd(scope, made.weights, { held: measured.held, measured, kept: "its inputs" })
      }
      return made
    }
  )

  /** Rows out of rows, whatever their kind. */
  const dataMade = Effect.fnUntraced(
    function*(stage: Parameters<typeof changed>[0], artifact: Artifact.Any, scope: Scope) {
      const { tokenizer, ...data } = artifact.node.wires
      const reader = tokenizer === undefined ? undefined : yield* weightsOf(tokenizer)
      const wires: Record<string, Dataset> = {}
      for (const [name, of] of Object.entries(data)) wires[name] = yield* datasetOf(of, reader)
      const codec = reader === undefined ? undefined : engine.codec(reader)
      return { _tag: "Data", dataset: yield* changed(stage, wires, scope, codec) } satisfies Made
    }
  )

  const meaning = Effect.fnUntraced(function*(artifact: Artifact.Any, scope: Scope) {
    const { wires } = artifact.node
    const wire = (name: string) => wires[name]!
    /** A stage that needs only the inputs on its wires. */
    const means = <P, S extends Wires, A, E, R>(
      { main, wires }: { readonly main: string; readonly wires: S; readonly schema: { readonly Type: P } },
      stage: (params: P, inputs: Inputs<S>, scope: Scope) => Effect.Effect<A, E, R>,
      made: (of: A) => Made
    ) =>
    (params: P) =>
      inputsOf(artifact, main, wires).pipe(
        Effect.flatMap((inputs) => stage(params, inputs, scope)),
        Effect.map(made)
      )
    const stage = stageOf(artifact)
    if (stage._tag === "Extension") return yield* outside(artifact, stage, scope)
    return yield* match(stage, {
      Input: ({ name }) => Effect.die(new Error(`input ${name} is open`)),
      Cap: () => make(wire("of")),
      Outputs: Effect.fnUntraced(function*() {
        const outputs: Record<string, Made> = {}
        for (const [name, of] of Object.entries(wires)) outputs[name] = yield* make(of)
        return { _tag: "Outputs", outputs } as const
      }),
      Source: ({ role }): Effect.Effect<Made, ExecuteError, ExecuteServices> =>
        Effect.map(dataOf(artifact, role), (dataset) => ({ _tag: "Data", dataset })),
      Checkpoint: Effect.fnUntraced(function*(stage) {
        const loaded = yield* checkpoints.load(stage)
        return model((yield* spoken(engine, loaded, stage)).weights)
      }),
      Pretrain: Effect.fnUntraced(function*(stage) {
        const init = wires["init"] && (yield* weightsOf(wires["init"]))
        return model(yield* pretrain(stage, { text: yield* dataOf(wire("text"), "Text"), init }, scope))
      }),
      Sft: means(definitions.Sft, sft, model),
      Judge: means(definitions.Judge, judge, data("Preferences")),
      Compare: means(definitions.Compare, compare, data("Preferences")),
      RewardModeling: Effect.fnUntraced(function*(stage) {
        const init = yield* weightsOf(wire("init"))
        const preferences = yield* dataOf(wire("preferences"), wire("preferences").node.kind as Dataset["role"], init)
        const held = wires["validation"]
        const validation = held && (yield* dataOf(held, held.node.kind as Dataset["role"], init))
        return model(yield* rewardModeling(stage, { init, preferences, validation }, scope))
      }),
      Ensemble: Effect.fnUntraced(function*({ rule }) {
        const members: Array<Weights> = []
        for (let i = 0; i < Object.keys(wires).length; i++) members.push(yield* weightsOf(wire(`members.${i}`)))
        return model(ensembleOf(members, rule))
      }),
      Reward: () =>
        Effect.map(Effect.forEach(modelsIn(artifact), weightsOf), (models): Made => ({ _tag: "Reward", models })),
      Ppo: means(definitions.Ppo, ppo, model),
      Grpo: means(definitions.Grpo, grpo, model),
      Merge: Effect.fnUntraced(function*(stage) {
        const models: Record<string, Parent> = {}
        for (const [name, of] of Object.entries(groupOf("models", wires))) {
          models[name] = { label: label(initialOf(of)), weights: yield* weightsOf(of) }
        }
        // The first of them reads the rows.
        const inputs = yield* inputsOf(artifact, `models.${Object.keys(models)[0]}`, definitions.Merge.wires)
        return model(yield* merge(stage, { ...inputs, models }, scope))
      }),
      Dpo: means(
        definitions.Dpo,
        Effect.fnUntraced(function*(stage, inputs) {
          const reference = stage.loss.reference ? yield* known(wire("reference")) : null
          return yield* dpo(stage, { ...inputs, reference }, scope)
        }),
        model
      ),
      Kto: Effect.fnUntraced(function*(stage) {
        const { held, reward } = definitions.Kto.wires
        const init = yield* weightsOf(wire("init"))
        return model(
          yield* kto(stage, {
            init,
            reference: yield* known(wire("reference")),
            preferences: wire("preferences").node.kind === "Preferences"
              ? unpaired(yield* rowsOf(wire("preferences"), "Preferences", init))
              : yield* rowsOf(wire("preferences"), "UnpairedPreferences", init),
            ...(yield* inputsOf(artifact, "init", { held, reward }))
          }, scope)
        )
      }),
      Distill: means(definitions.Distill, (stage, { demonstrations, prompts, ...inputs }) => {
        const answers = demonstrations === undefined ? { prompts: prompts! } : { demonstrations }
        return distill(stage, { ...inputs, answers }, scope)
      }, model),
      OnPolicyDistill: means(definitions.OnPolicyDistill, onPolicyDistill, model),
      Evaluate: Effect.fnUntraced(function*(stage) {
        const models: Record<string, Weights> = {}
        for (const [name, of] of modelsOf(artifact, stage.order)) models[name] = yield* weightsOf(of)
        const evaluated = means(
          definitions.Evaluate,
          (stage, inputs) => evaluate(stage, { ...inputs, models }, scope),
          (made): Made => ({ _tag: "Report", ...made })
        )
        return yield* evaluated(stage)
      }),
      Sample: (stage) =>
        stage.makes === "Prompts"
          ? means(definitions.Sample, samplePrompts, data("Prompts"))(stage)
          : means(definitions.Sample, sample, data("Completions"))(stage),
      Score: means(definitions.Score, score, data("ScoredCompletions")),
      Select: means(definitions.Select, select, data("Demonstrations")),
      Pair: means(definitions.Pair, pair, data("Preferences")),
      Difficulty: means(definitions.Difficulty, difficulty, data("Prompts")),
      BestOfN: means(definitions.BestOfN, bestOfN, report),
      Mix: (stage) => dataMade(stage, artifact, scope),
      Filter: (stage) => dataMade(stage, artifact, scope),
      Split: (stage) => dataMade(stage, artifact, scope),
      Deduplicate: (stage) => dataMade(stage, artifact, scope),
      Decontaminate: (stage) => dataMade(stage, artifact, scope),
      Gate: means(definitions.Gate, gate, model)
    })
  })
  return meaning
})
