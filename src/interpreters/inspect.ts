/**
 * Everything that a pipeline reads, looked at before anything is trained: models with their tokenizers, and all rows as their stages will
 * read them, as far as they are known: those of files and built-in tasks, and what operations on data make of them.
 */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import type { Origin } from "../../dsl/Source.ts"
import { fieldsOf, isBuiltIn } from "../../dsl/Stage.ts"
import type { Source } from "../../dsl/Source.ts"
import type { About } from "../data/about.ts"
import { type Dataset, Datasets } from "../data/dataset.ts"
import { type Conversation, conversation } from "../data/conversation.ts"
import type { Tool } from "../data/toolCalls.ts"
import { mostTokens, Unfit } from "../data/encode.ts"
import { encodingOf } from "../data/encodings.ts"
import type { Chat } from "../data/messages.ts"
import { anyChat } from "../data/messages.ts"
import { unpaired } from "../data/rows.ts"
import { type Survey, surveyed, surveyedBefore } from "../data/survey.ts"
import type { Codec, Weights } from "../engine/engine.ts"
import { loadWith } from "../model/adapter.ts"
import { inspect as headers } from "../model/checkpoint.ts"
import { modelConfig } from "../model/config.ts"
import { llamaConfig } from "../model/init.ts"
import { differences } from "../model/sameTokenizer.ts"
import { codec } from "../model/tokenizer.ts"
import { plainWords, wordLevel } from "../model/wordLevel.ts"
import { toolsOf } from "../rewards/environment.ts"
import { changed } from "../stages/data.ts"
import { wordsIn } from "../stages/pretrain.ts"
import type { Problem } from "./check.ts"
import { spoken } from "./checkpoints.ts"
import { isModel, readerOf, readingOf } from "./reading.ts"
import { shapedBy } from "./checks/shapes.ts"
import { streamsIn } from "./streams.ts"

/** The rows on a wire, as the stage will read them. */
export interface Look extends Omit<Survey, "troubles"> {
  readonly stage: string
  readonly wire: string
}

export interface Inspected {
  readonly problems: ReadonlyArray<Problem>
  readonly looks: ReadonlyArray<Look>
  /** The files that were read. */
  readonly files: ReadonlyArray<About>
}

interface InspectOptions {
  /** Only so many rows of each file, as they are, and the headers of weights: what can be told in a moment. */
  readonly first?: number
  /** Ids of the stages that will be made: others read no rows. */
  readonly wanted?: ReadonlySet<string>
}

/** What is known of a model before it is trained, and shared by all that come from it. */
interface Speaker {
  readonly artifact: Artifact.Any
  readonly tokenizer: Weights["tokenizer"]
  readonly codec: Codec
  readonly context: number
}

const dataOperations: ReadonlySet<string> = new Set(["Mix", "Filter", "Split", "Deduplicate", "Decontaminate"])

const unread: Chat = () => {
  throw new Error("these rows are conversations, and no model with a chat template reads them")
}

/** A conversation that the model's chat template can carry, or why it cannot. */
const speakingTo = (codec: Codec, tools: ReadonlyArray<Tool>) =>
  Effect.try({
    try: () => conversation(codec, tools),
    catch: (error) => error instanceof Unfit ? new Error(`${error.message}. ${error.remedy}`) : error as Error
  })

const limited = (origin: Origin, first: number | undefined): Origin =>
  first === undefined || !("offset" in origin)
    ? origin
    : { ...origin, limit: Math.min(first, origin.limit ?? Infinity) }

/** Stages that a message names. */
const named = 3

export const inspect = Effect.fn("inspect")(function*(root: Artifact.Any, { first, wanted }: InspectOptions = {}) {
  const datasets = yield* Datasets
  const streams = streamsIn(root)
  /** The stages that have each problem: what is wrong with rows is wrong for all that read them. */
  const problems = new Map<string, Set<string>>()
  const looks: Array<Look> = []
  const files = new Map<string, About>()
  const say = (artifact: Artifact.Any, problem: string): void => {
    problems.set(problem, (problems.get(problem) ?? new Set()).add(label(artifact)))
  }
  /** The value of an effect; its failure is a problem of the artefact. */
  const trying = <A, E extends { readonly message: string }, R>(of: Artifact.Any, effect: Effect.Effect<A, E, R>) =>
    Effect.catch(
      effect,
      (error): Effect.Effect<undefined> => Effect.as(Effect.sync(() => say(of, error.message)), undefined)
    )

  const speakers = new Map<string, Speaker>()
  const speakerOf = (model: Artifact.Any | undefined): Speaker | undefined =>
    model === undefined ? undefined : speakers.get(shapedBy(model).id)
  const speaks = (
    artifact: Artifact.Any,
    loaded: Weights,
    from: { readonly path?: string; readonly chatTemplate?: string }
  ) =>
    Effect.map(
      spoken({ codec: ({ config, tokenizer }) => codec(tokenizer, modelConfig(config)) }, loaded, from),
      ({ codec, weights: { config, tokenizer } }) => {
        const { family } = artifact.node
        const other = [...speakers.values()].find((one) => one.artifact.node.family === family)
        const differing = other === undefined ? [] : differences(other.tokenizer, tokenizer)
        if (differing.length > 0) {
          say(
            artifact,
            `its tokenizer is not that of ${label(other!.artifact)}, of the same family '${family}': ${
              differing.join(", ")
            } differ; give families with different tokenizers different names`
          )
        }
        speakers.set(artifact.id, { artifact, tokenizer, codec, context: modelConfig(config).context })
      }
    )

  const loaded = new Set<string>()
  const load = (source: Artifact.Any, chat: Chat) => {
    loaded.add(source.id)
    const { origin, role } = stageOf(source) as Source
    // There are no first rows to look at; what reads all of them says so.
    if (first !== undefined && origin._tag === "Described") return Effect.succeed(undefined)
    return Effect.tap(
      datasets.load(role, limited(origin, first), chat),
      ({ about }) => Effect.sync(() => about === undefined || files.set(JSON.stringify(about), about))
    )
  }
  const known = new Map<string, Dataset | undefined>()
  /** Rows as `reader` reads them; undefined where they are made later, or cannot be used. */
  const rowsOf = (of: Artifact.Any, reader: Speaker | undefined): Effect.Effect<Dataset | undefined> =>
    Effect.gen(function*() {
      const key = `${of.id} ${reader?.artifact.id}`
      if (!known.has(key)) {
        const { op } = of.node
        known.set(
          key,
          op === "Source"
            ? yield* trying(of, load(of, reader?.codec.chat ?? unread))
            : dataOperations.has(op)
            ? yield* trying(of, made(of))
            : undefined
        )
      }
      return known.get(key)
    })
  const made = Effect.fnUntraced(function*(of: Artifact.Any) {
    const reader = speakerOf(readerOf(of))
    const wires: Record<string, Dataset> = {}
    let all = first === undefined && (of.node.wires["tokenizer"] === undefined || reader !== undefined)
    for (const [wire, input] of Object.entries(of.node.wires)) {
      if (isModel(input)) continue
      const rows = yield* rowsOf(input, reader)
      if (rows === undefined) all = false
      else wires[wire] = rows
    }
    if (!all) return undefined
    const stage = stageOf(of) as Parameters<typeof changed>[0]
    return yield* changed(stage, wires, { label: label(of), stream: streams(of) }, reader?.codec)
  })

  /** The rows on a wire of a stage, as its reader reads them. */
  const look = Effect.fnUntraced(function*(
    artifact: Artifact.Any,
    wire: string,
    of: Artifact.Any,
    reader: Speaker,
    speaking: Conversation | undefined
  ) {
    const dataset = yield* rowsOf(of, reader)
    if (dataset === undefined || first !== undefined) return
    const [role, rows]: readonly [Dataset["role"], ReadonlyArray<object>] =
      artifact.node.op === "Kto" && dataset.role === "Preferences"
        ? ["UnpairedPreferences", unpaired(dataset.rows)]
        : [dataset.role, dataset.rows]
    const how = readingOf(artifact, wire)
    const encoding = yield* trying(
      artifact,
      Effect.try({ try: () => encodingOf(role, reader.codec, how), catch: (error) => error as Error })
    )
    if (encoding === undefined) return
    const { room = 0 } = encoding
    const context = Math.min(reader.context, speakerOf(artifact.node.wires["teacher"])?.context ?? Infinity)
    const encode: (row: any) => any = role === "Prompts" ? speaking?.prompt ?? encoding.encode : encoding.encode
    const within = {
      ...encoding,
      encode,
      room,
      context,
      most: mostTokens(context, room, how),
      truncation: how.truncation ?? "error"
    }
    // Many stages of a recipe read the same rows in the same way.
    const { survey } = surveyedBefore(rows, within) ?? (yield* surveyed(rows, within, reader.codec))
    const { troubles, ...found } = survey
    for (const { problem, remedy } of troubles) say(artifact, `${wire}: ${problem}. ${remedy}`)
    looks.push({ stage: label(artifact), wire, ...found })
  })

  for (const artifact of Artifact.lineage(root)) {
    const { op, wires } = artifact.node
    const stage = isBuiltIn(op) ? stageOf(artifact) : undefined
    if (stage?._tag === "Checkpoint" && stage.path !== undefined) {
      const model = first === undefined ? loadWith(stage.path, stage.adapter) : headers(stage.path)
      yield* trying(artifact, Effect.flatMap(model, (weights) => speaks(artifact, weights, stage)))
    }
    if (stage?._tag === "Pretrain" && wires["init"] === undefined && first === undefined) {
      const text = yield* rowsOf(wires["text"]!, undefined)
      if (text?.role === "Text") {
        const words = plainWords(wordsIn(text))
        const config = llamaConfig({ ...stage.model!, vocab: words.length + 4, tied: true })
        const untrained = { config, tokenizer: wordLevel(words), tensors: new Map() }
        yield* trying(artifact, speaks(artifact, untrained, stage))
      }
    }
    const reader = speakerOf(readerOf(artifact))
    const made = wanted === undefined || op === "Cap" || wanted.has(artifact.id)
    if (stage === undefined || reader === undefined || !made || dataOperations.has(op)) continue
    const { environment } = fieldsOf(artifact)
    const speaking = environment === undefined
      ? undefined
      : yield* trying(artifact, speakingTo(reader.codec, toolsOf(environment)))
    for (const [wire, of] of Object.entries(wires)) if (!isModel(of)) yield* look(artifact, wire, of, reader, speaking)
  }
  // Rows that no stage above reads: those of stages that were made before, or come from outside Keel.
  for (const artifact of Artifact.lineage(root)) {
    if (artifact.node.op === "Source" && !loaded.has(artifact.id)) yield* trying(artifact, load(artifact, anyChat))
  }
  const all = [...problems].map(([problem, stages]): Problem => {
    const others = stages.size - named
    const shown = [...stages].slice(0, named).join(", ")
    return { stage: others > 0 ? `${shown} and ${others} more` : shown, problem }
  })
  return { problems: all, looks, files: [...files.values()] } satisfies Inspected as Inspected
})
