/**
 * The memory that each stage of a description needs at least, before anything is loaded: its models by their `config.json`,
 * its first batch by the data, and completions that are not made yet by their shortest, one token (the KV cache has its whole
 * length from the start). A need is therefore never more than what the stage will take, and what it takes is more by the
 * activations of completions that are longer.
 */
import { Effect } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { parentsOf, Stage } from "../../dsl/Stage.ts"
import { type Dataset, Datasets, type Role } from "../data/dataset.ts"
import { encodeDemonstrations, encodePairs, encodePrompts, encodeTexts, encodeUnpaired } from "../data/encode.ts"
import type { Codec, Computing, Row, Weights } from "../engine/engine.ts"
import { type Footprint, footprint, type Open, type Work } from "../engine/transformer/footprint.ts"
import { initial } from "../engine/transformer/initial.ts"
import { describe } from "../model/checkpoint.ts"
import { modelConfig } from "../model/config.ts"
import { codec } from "../model/tokenizer.ts"
import { batchAt } from "../training/batches.ts"
import type { Scope } from "../training/scope.ts"
import { keyOf } from "./execute.ts"
import { initialOf, limitsIn } from "./limits.ts"

/** What one stage needs. */
export interface Need {
  readonly stage: string
  readonly footprint: Footprint
}

/** A model without its weights. */
interface Shape {
  readonly config: Weights["config"]
  readonly codec: Codec
}

/** Where a model has its shape from. */
const parentOf = (artifact: Artifact.Any) => parentsOf(artifact)[0]

/** More prompts than are continued at a time change nothing. */
const prompted = 64
const short = (prompt: Int32Array): Row => ({ prompt, completion: Int32Array.of(0) })
const shortest: Row = short(Int32Array.of(0))
const lengthOf = ({ completion, prompt }: Row): number => prompt.length + completion.length

/** The artefacts that making `root` makes: what is finished is not made again, and asks for nothing. */
const unfinished = Effect.fnUntraced(function*<E, R>(
  root: Artifact.Any,
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R>
) {
  const visited = new Set<string>()
  const wanted = new Set<string>()
  const stack = [root]
  while (stack.length > 0) {
    const artifact = stack.pop()!
    if (visited.has(artifact.id)) continue
    visited.add(artifact.id)
    if (yield* finished(artifact)) continue
    wanted.add(artifact.id)
    stack.push(...Object.values(artifact.node.wires))
  }
  return Artifact.lineage(root).filter(({ id }) => wanted.has(id))
})

export const needs = Effect.fn("needs")(function*<E, R>(
  root: Artifact.Any,
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R>
) {
  const datasets = yield* Datasets
  const limits = limitsIn(root)
  const shapes = new Map<string, Shape>()

  const textOf = (wire: Artifact.Any) =>
    Effect.map(rowsOf(wire, "Text", (messages) => messages.map(({ content }) => content).join("\n")), (found) => found!)

  /** The rows of a source; null for rows that a stage is yet to make. */
  const rowsOf = Effect.fnUntraced(function*<R extends Role>(wire: Artifact.Any, role: R, chat: Codec["chat"]) {
    const source = stageOf(wire)
    if (source._tag !== "Source") return null
    return (yield* datasets.load(role, source.origin, chat)) as Extract<Dataset, { readonly role: R }>
  })

  /** Follows a model to where its shape was decided. */
  const shapeOf = Effect.fnUntraced(function*(artifact: Artifact.Any) {
    let of = artifact
    for (let parent = parentOf(of); parent !== undefined; parent = parentOf(of)) of = parent
    const known = shapes.get(of.id)
    if (known !== undefined) return known
    const stage = stageOf(of)
    let model: Pick<Weights, "config" | "tokenizer">
    if (stage._tag === "Checkpoint") model = yield* describe(stage.path)
    else if (stage._tag === "Pretrain") {
      const { rows, vocabulary } = yield* textOf(of.node.wires["text"]!)
      const words = new Set([...vocabulary, ...rows.flatMap(({ text }) => text.split(/\s+/u))])
      words.delete("")
      // One narrow layer, given its real sizes afterwards: the weights need not be made to know the shape.
      const { context, dim, ffn, heads, kvHeads, layers } = stage.model
      const narrow = { layers: 1, heads, kvHeads, dim: 2 * heads, ffn: 1, context }
      const { config, tokenizer } = initial({ ...narrow, words: [...words].sort(), seed: "" })
      model = { config: { ...config, hidden_size: dim, intermediate_size: ffn, num_hidden_layers: layers }, tokenizer }
    } else throw new Error(`${label(of)} makes no model`)
    // A tokenizer that does not fit throws.
    const shape = yield* Effect.try((): Shape => ({
      config: model.config,
      codec: codec(model.tokenizer, modelConfig(model.config))
    }))
    shapes.set(of.id, shape)
    return shape
  })

  /** What is open and what is done in the first step of a stage, as `src/stages` does it; several for one after the other. */
  const plansOf = Effect.fnUntraced(function*(artifact: Artifact.Any) {
    const { wires } = artifact.node
    const wire = (name: string) => wires[name]!
    const stage = label(artifact)
    const key = keyOf(artifact, limits(artifact))
    const open = (name: string, kind: Open["kind"], of: Artifact.Any, computing: Omit<Computing, "lora"> = {}) =>
      Effect.map(shapeOf(of), ({ config }): Open => {
        const { precision, recompute } = computing
        return {
          name,
          kind,
          config,
          computing: {
            ...(precision === undefined ? {} : { precision }),
            ...(recompute === undefined ? {} : { recompute })
          }
        }
      })
    const use = Effect.fnUntraced(function*(of: Artifact.Any) {
      const { codec, config } = yield* shapeOf(of)
      return { stage, codec, context: modelConfig(config).context }
    })
    /** The first batch of a data set. */
    const first = <A>(rows: ReadonlyArray<A>, size: number): ReadonlyArray<A> =>
      batchAt(key, rows.length, size, 0).map((i) => rows[i]!)
    const promptsOf = Effect.fnUntraced(function*(
      name: string,
      reader: Artifact.Any,
      some: <A>(rows: ReadonlyArray<A>) => ReadonlyArray<A>
    ) {
      const by = yield* use(reader)
      const found = yield* rowsOf(wire(name), "Prompts", by.codec.chat)
      return yield* encodePrompts(by, some(found?.rows ?? []))
    })
    /** Gradient steps of one model on its first batch. */
    const training = (model: Open, rows: ReadonlyArray<Row>) => [{
      models: [model],
      work: [{ verb: model.kind === "policy" ? "learn" : "train", model: model.name, rows }] satisfies ReadonlyArray<
        Work
      >
    }]

    /** A stage that samples, scores and trains on what it sampled. */
    const onPolicy = Effect.fnUntraced(function*(
      stage: Omit<Computing, "lora"> & { readonly maxNewTokens: number; readonly measureSamples: number },
      of: { readonly prompts: number; readonly perPrompt: number; readonly mini: number; readonly trains: boolean }
    ) {
      const { maxNewTokens, measureSamples } = stage
      const model = (name: string, kind: Open["kind"], of: string) =>
        wires[of] === undefined ? Effect.succeed([]) : Effect.map(open(name, kind, wires[of], stage), (one) => [one])
      const policy = yield* open("the policy", "policy", wire("init"), stage)
      const value = yield* model("the value model", "scorer", "value")
      const others = [
        ...(yield* model("the reference", "policy", "reference")),
        ...(yield* model("the reward model", "scorer", "reward"))
      ]
      const measured = limits(artifact).kl.map(({ from }) => from)
      const reference = wires["reference"] === undefined ? undefined : initialOf(wires["reference"]).id
      const initials = yield* Effect.forEach(
        measured.filter(({ id }) => id !== reference),
        (from) => open(`the initial model ${label(from)}`, "policy", from, stage)
      )
      const prompts = (yield* promptsOf("prompts", wire("init"), (rows) => first(rows, of.prompts)))
        .flatMap((ids) => Array.from({ length: of.perPrompt }, () => ids))
      const held = yield* promptsOf("held", wire("init"), (rows) => rows.slice(0, measureSamples))
      const rows = prompts.map(short)
      // Which rows meet in a mini-batch depends on the seed: the shortest are no more than any.
      const mini = rows.toSorted((a, b) => lengthOf(a) - lengthOf(b)).slice(0, of.mini)
      const score = (model: Open, rows: ReadonlyArray<Row>) => ({ verb: "score", model: model.name, rows }) as const
      const work: ReadonlyArray<Work> = [
        { verb: "sample", model: policy.name, prompts, maxNewTokens },
        ...[policy, ...others, ...value].map((model) => score(model, rows)),
        ...(of.trains ? [{ verb: "train", model: policy.name, rows: mini } as const] : []),
        ...value.map(({ name }) => ({ verb: "train", model: name, rows: mini }) as const),
        ...(measured.length === 0 ? [] : [
          { verb: "sample", model: policy.name, prompts: held, maxNewTokens } as const,
          ...[policy, ...initials].map((model) => score(model, held.map(short)))
        ])
      ]
      return [{ models: [policy, ...value, ...others, ...initials], work }]
    })

    /** A step on data, then KL from the initial models; the reference was closed before. */
    const aligning = Effect.fnUntraced(function*(
      stage: Omit<Computing, "lora"> & { readonly maxNewTokens: number; readonly measureSamples: number },
      rows: ReadonlyArray<Row>
    ) {
      const policy = yield* open("the policy", "policy", wire("init"), stage)
      const initials = yield* Effect.forEach(
        limits(artifact).kl,
        ({ from }) => open(`the initial model ${label(from)}`, "policy", from, stage)
      )
      const held = yield* promptsOf("held", wire("init"), (rows) => rows.slice(0, stage.measureSamples))
      const work: ReadonlyArray<Work> = [
        { verb: "train", model: policy.name, rows },
        { verb: "sample", model: policy.name, prompts: held, maxNewTokens: stage.maxNewTokens },
        ...[policy, ...initials].map(({ name }) => ({ verb: "score", model: name, rows: held.map(short) }) as const)
      ]
      return [{ models: [policy, ...initials], work }]
    })

    const described = stageOf(artifact)
    // Nobody but its author knows what it opens: it asks for nothing, which is never too much.
    if (described._tag === "Extension") return []
    return yield* Stage.match(described, {
      Input: () => Effect.succeed([]),
      Cap: () => Effect.succeed([]),
      Source: () => Effect.succeed([]),
      Checkpoint: () => Effect.succeed([]),
      Pretrain: Effect.fnUntraced(function*(stage) {
        const { rows } = yield* textOf(wire("text"))
        const documents = yield* encodeTexts(yield* use(artifact), first(rows, stage.batchSize))
        return training(yield* open("the policy", "policy", artifact, stage), documents)
      }),
      Sft: Effect.fnUntraced(function*(stage) {
        const by = yield* use(wire("base"))
        const found = yield* rowsOf(wire("demonstrations"), "Demonstrations", by.codec.chat)
        const rows = found === null
          ? Array.from({ length: stage.batchSize }, () => shortest)
          : yield* encodeDemonstrations(by, first(found.rows, stage.batchSize))
        return training(yield* open("the policy", "policy", wire("base"), stage), rows)
      }),
      RewardModeling: Effect.fnUntraced(function*(stage) {
        const by = yield* use(wire("init"))
        const paired = wire("preferences").node.kind === "Preferences"
        const found = paired ? yield* rowsOf(wire("preferences"), "Preferences", by.codec.chat) : null
        const pairs = found === null
          ? Array.from({ length: stage.batchSize }, () => ({ chosen: shortest, rejected: shortest }))
          : yield* encodePairs(by, first(found.rows, stage.batchSize))
        const rows = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]
        return training(yield* open("the reward model", "scorer", wire("init"), stage), rows)
      }),
      Compare: Effect.fnUntraced(function*({ maxNewTokens }) {
        const model = yield* open("the policy", "policy", wire("policy"))
        const prompts = yield* promptsOf("prompts", wire("policy"), (rows) => rows.slice(0, prompted))
        return [{ models: [model], work: [{ verb: "sample", model: model.name, prompts, maxNewTokens }] as const }]
      }),
      Merge: Effect.fnUntraced(function*({ maxNewTokens = 1, measureSamples }) {
        const held = wires["held"]
        // Reward models are merged outside the engine.
        if (held === undefined) return []
        const parent = parentOf(artifact)!
        const [merged, other] = [yield* open("the merge", "policy", parent), yield* open("a parent", "policy", parent)]
        const prompts = yield* promptsOf("held", parent, (rows) => rows.slice(0, Math.min(measureSamples, prompted)))
        const score = [merged, other].map(({ name }) =>
          ({ verb: "score", model: name, rows: prompts.map(short) }) as const
        )
        return [{
          models: [merged, other],
          work: [{ verb: "sample", model: merged.name, prompts, maxNewTokens }, ...score] as ReadonlyArray<Work>
        }]
      }),
      Evaluate: Effect.fnUntraced(function*({ maxNewTokens }) {
        const initial = yield* open("the initial model", "policy", wire("initial"))
        const reward = wires["reward"] === undefined ? [] : [yield* open("the reward model", "scorer", wires["reward"])]
        const prompts = yield* promptsOf("prompts", wire("initial"), (rows) => rows.slice(0, prompted))
        const rows = prompts.map(short)
        const names = Object.keys(wires).filter((name) => name.startsWith("models."))
        return yield* Effect.forEach(names, (name) =>
          Effect.map(open("the model", "policy", wire(name)), (model) => ({
            models: [initial, ...reward, model],
            work: [
              { verb: "sample", model: model.name, prompts, maxNewTokens },
              ...[...reward, model, initial].map((one) => ({ verb: "score", model: one.name, rows }) as const)
            ] satisfies ReadonlyArray<Work>
          })))
      }),
      Ensemble: () => Effect.succeed([]),
      Distill: () => Effect.succeed([]),
      OnPolicyDistill: () => Effect.succeed([]),
      Dpo: Effect.fnUntraced(function*(stage) {
        const by = yield* use(wire("init"))
        const found = yield* rowsOf(wire("preferences"), "Preferences", by.codec.chat)
        const pairs = found === null
          ? Array.from({ length: stage.batchSize }, () => ({ chosen: shortest, rejected: shortest }))
          : yield* encodePairs(by, first(found.rows, stage.batchSize))
        return yield* aligning(stage, [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)])
      }),
      Kto: Effect.fnUntraced(function*(stage) {
        const by = yield* use(wire("init"))
        const found = wire("preferences").node.kind === "Preferences"
          ? null
          : yield* rowsOf(wire("preferences"), "UnpairedPreferences", by.codec.chat)
        const answers = found === null ? [] : yield* encodeUnpaired(by, first(found.rows, stage.batchSize))
        return yield* aligning(
          stage,
          found === null ? Array.from({ length: stage.batchSize }, () => shortest) : answers.map(({ row }) => row)
        )
      }),
      Sample: Effect.fnUntraced(function*({ batchSize, maxNewTokens }) {
        const model = yield* open("the policy", "policy", wire("policy"))
        const prompts = yield* promptsOf(
          "prompts",
          wire("policy"),
          (rows) => rows.slice(0, Math.min(prompted, batchSize))
        )
        return [{ models: [model], work: [{ verb: "sample", model: model.name, prompts, maxNewTokens }] as const }]
      }),
      Score: Effect.fnUntraced(function*() {
        if (wires["reward"] === undefined) return []
        const model = yield* open("the reward model", "scorer", wires["reward"])
        return [{ models: [model], work: [{ verb: "score", model: model.name, rows: [shortest] }] as const }]
      }),
      Gate: Effect.fnUntraced(function*({ maxNewTokens }) {
        const model = yield* open("the candidate", "policy", wire("candidate"))
        const prompts = yield* promptsOf("held", wire("candidate"), (rows) => rows.slice(0, prompted))
        return [{ models: [model], work: [{ verb: "sample", model: model.name, prompts, maxNewTokens }] as const }]
      }),
      Select: () => Effect.succeed([]),
      Pair: () => Effect.succeed([]),
      BestOfN: () => Effect.succeed([]),
      Mix: () => Effect.succeed([]),
      Filter: () => Effect.succeed([]),
      Split: () => Effect.succeed([]),
      Deduplicate: () => Effect.succeed([]),
      Decontaminate: () => Effect.succeed([]),
      Ppo: (stage) =>
        onPolicy(stage, {
          prompts: stage.batchSize,
          perPrompt: 1,
          mini: Math.ceil(stage.batchSize / stage.numMiniBatches),
          trains: stage.steps > stage.valueWarmupSteps
        }),
      Grpo: (stage) =>
        onPolicy(stage, {
          prompts: stage.batchSize,
          perPrompt: stage.groupSize,
          // Dynamic sampling may leave one group, or none.
          mini: stage.dynamicSampling === undefined
            ? Math.ceil(stage.batchSize / stage.numMiniBatches) * stage.groupSize
            : 1,
          trains: true
        })
    })
  })

  const found: Array<Need> = []
  for (const artifact of yield* unfinished(root, finished)) {
    // What cannot be read is told by the rest of the preflight, or by the stage.
    const plans = yield* Effect.orElseSucceed(plansOf(artifact), () => [])
    const { lora } = artifact.node.params as Pick<Scope, "lora">
    for (const { models, work } of plans) {
      // Only what is trained has adapters.
      const trained = new Set(work.flatMap((one) => one.verb === "train" ? [one.model] : []))
      const opened = models.map((one): Open => ({
        ...one,
        computing: {
          ...one.computing,
          ...(lora !== undefined && trained.has(one.name) ? { lora: { ...lora, seed: "" } } : {})
        }
      }))
      found.push({ stage: label(artifact), footprint: footprint(opened, work) })
    }
  }
  return found as ReadonlyArray<Need>
})
