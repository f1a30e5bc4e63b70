/**
 * Finds what is wrong before anything is trained or written. First every mistake of the description, for which `config.json` is all that
 * is read of a checkpoint; then the memory that each stage needs is held against what the engine can address; then everything that
 * the description names on disk is read: a missing file, truncated weights or a broken row in the last stage's data is found
 * in the first second, with all the others.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import { totalmem } from "node:os"
import * as Artifact from "../../dsl/Artifact.ts"
import { OutOfMemory } from "../../dsl/Errors.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { size } from "../../dsl/Size.ts"
import * as Files from "../data/files.ts"
import type { BadData } from "../data/badData.ts"
import { Datasets } from "../data/dataset.ts"
import type { Chat } from "../data/formats.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import type { Engine, Weights } from "../engine/engine.ts"
import type { Price } from "../store/spent.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import { loadWith } from "../model/adapter.ts"
import { modelConfig } from "../model/config.ts"
import { codec } from "../model/tokenizer.ts"
import { codecOf } from "../interpreters/checkpoints.ts"
import { type Problem, problems, Refused } from "../interpreters/check.ts"
import { type Extensions, lackingExtensions } from "../interpreters/extensions.ts"
import { remedy } from "./advice.ts"
import { fits } from "./fits.ts"
import { fitted, planWith, roomWithin } from "./microBatches.ts"
import { needs } from "./needs.ts"
import type { PlanOptions, StagePlan } from "./plan.ts"
import { lackingPrecisions } from "../interpreters/precisions.ts"
import { lackingPrices } from "../interpreters/prices.ts"
import { shapesIn } from "../interpreters/shapes.ts"

/** Which template will render a conversation does not matter to whether its rows can be read. */
const anyChat: Chat = (messages) => messages.map(({ content }) => content).join("\n")

/** The tokenizer must fit the model too. */
const tokenizerOf = (weights: Weights, path: string) =>
  Effect.asVoid(codecOf({ codec: ({ config, tokenizer }) => codec(tokenizer, modelConfig(config)) }, weights, path))

const doing = {
  load: "opening its models",
  generation: "sampling",
  logps: "computing log-probabilities",
  update: "training",
  copy: "replacing weights",
  save: "saving",
  measure: "measuring KL"
} as const satisfies Record<Phase, string>

/** What would fit where a stage does not; null when it does with smaller micro-batches, which a run makes by itself. */
const remedied = Effect.fnUntraced(function*(
  root: Artifact.Any,
  stage: string,
  available: number,
  { engine: { precisions }, planned: options }: Asked
) {
  // Nobody is refused who might have fitted.
  const { planned } = yield* fitted(
    root,
    (one) => one.stage === stage ? available : Infinity,
    planWith({ ...options, rehearsed: 1, completionLength: 1 })
  )
  if (planned.stages.some((one) => one.stage === stage && one.bytes <= available)) return null
  const { misfits } = yield* fits(root, {
    plan: planWith(options),
    room: roomWithin(available),
    ...(precisions === undefined ? {} : { precisions })
  }, stage)
  const misfit = misfits.find((one) => one.stage === stage)
  return misfit === undefined ? otherwise : `${remedy(misfit)} ${otherwise}`
})

const otherwise = "The native backend has no such limit."

interface Asked {
  readonly engine: Pick<Engine, "precisions" | "addressable" | "packing">
  /** Of every plan. */
  readonly planned: PlanOptions
}

const withinReach = Effect.fnUntraced(function*(root: Artifact.Any, all: ReadonlyArray<StagePlan>, asked: Asked) {
  const { addressable: available = Infinity } = asked.engine
  for (const { bytes, phases, stage, terms } of all) {
    const over = phases.find(({ bytes }) => bytes > available)
    if (over === undefined) continue
    const remedy = yield* remedied(root, stage, available, asked)
    if (remedy === null) continue
    return yield* new OutOfMemory({ stage, phase: doing[over.phase], needed: bytes, available, terms, remedy })
  }
  const most = Math.max(0, ...all.map(({ bytes }) => bytes))
  // The system may swap, or have more than it says: no reason to refuse.
  if (most > totalmem()) {
    yield* Console.error(
      `This takes at least ${size(most)} of memory and the machine has ${size(totalmem())}: ` +
        "it will be very slow, or killed."
    )
  }
})

/**
 * Fails with every mistake of the description and all that the engine, the extensions and the price table lack of it, or else with every
 * input that cannot be read. What is left is the memory that each stage needs at least; one that is `finished` already asks for none.
 */
export const preflight = Effect.fn("preflight")(function*<E = never, R = never>(
  root: Artifact.Any,
  engine: Pick<Engine, "precisions" | "addressable" | "packing"> = {},
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R> = () => Effect.succeed(false),
  extensions: Extensions = {},
  price: Price | null = null
) {
  const mistakes = [
    ...problems(root, { shapes: yield* shapesIn(root) }),
    ...lackingExtensions(root, extensions),
    ...lackingPrecisions(root, engine),
    ...lackingPrices(root, price)
  ]
  if (mistakes.length > 0) return yield* new Refused({ problems: mistakes })
  const planned = { ...extensions, ...(engine.packing === undefined ? {} : { packing: engine.packing }) }
  const memory = yield* needs(root, finished, planned)
  yield* withinReach(root, memory, { engine, planned })
  const datasets = yield* Datasets
  const unread: Array<Problem> = []
  for (const artifact of Artifact.lineage(root)) {
    if (artifact.node.op !== "Source" && artifact.node.op !== "Checkpoint") continue
    const stage = stageOf(artifact)
    const read: Effect.Effect<void, BadData | BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem> =
      stage._tag === "Source"
        ? Effect.asVoid(datasets.load(stage.role, stage.origin, anyChat))
        : stage._tag === "Checkpoint"
        ? Effect.flatMap(loadWith(stage.path, stage.adapter), (weights) => tokenizerOf(weights, stage.path))
        : Effect.void
    yield* Effect.catch(
      read,
      (error) => Effect.sync(() => unread.push({ stage: label(artifact), problem: `${error._tag}: ${error.message}` }))
    )
  }
  if (unread.length > 0) return yield* new Refused({ problems: unread })
  return memory
}, Effect.provide(Files.layer))
