/** InstructGPT as small as it gets: every stage, in about a second on the reference backend. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Cause, Effect, Exit, Fiber, type FileSystem, Layer } from "effect"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Budget,
  Compare,
  Evaluate,
  Gold,
  Kl,
  Pipeline,
  Ppo,
  Pretrain,
  RewardModeling,
  Sft,
  Source
} from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import type { ExecuteError } from "../../src/interpreters/execute.ts"
import type { Extensions } from "../../src/interpreters/extensions.ts"
import { judged } from "../../src/interpreters/lacking.ts"
import { capsIn } from "../../src/interpreters/capsOf.ts"
import { run, type RunOptions } from "../../src/interpreters/run.ts"
import { keysIn } from "../../src/interpreters/storeKeys.ts"
import { fitted, planWith, roomWithin } from "../../src/planning/microBatches.ts"
import * as FileStore from "../../src/store/files.ts"
import type { Event } from "../../src/store/runLog.ts"
import { reference } from "../../src/tensor/reference.ts"

const gold = Gold.tales
const maxNewTokens = 6

export interface TinyOptions {
  readonly beta?: number
  readonly learningRate?: number
  readonly cap?: number
  /** `memory` in bytes. */
  readonly limits?: Omit<Pipeline.Limits, "kl" | "from" | "memory"> & { readonly memory?: number }
  readonly measureEvery?: number
  readonly measureMost?: number
  readonly steps?: number
  readonly context?: number
  /** Of PPO. */
  readonly seed?: number
  /** More of PPO's. */
  readonly ppo?: Partial<Parameters<typeof Ppo.make>[1]>
}

export const tiny = (options: TinyOptions = {}) => {
  const cap: number = options.cap ?? 15_000
  const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
  const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
  const base = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
    family: "tales",
    model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: options.context ?? 96 },
    steps: 6,
    batchSize: 2,
    learningRate: 3e-3,
    checkpointEvery: 2
  })
  const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 6 })) }, {
    batchSize: 2,
    learningRate: 1e-3
  })
  const compared = Compare.make({ policy: sft, prompts }, { gold, maxNewTokens })
  const reward = RewardModeling.make({ init: sft, preferences: compared }, { batchSize: 2, learningRate: 5e-4 })
  // With β = 0 there is no reference: the compiler wants one for a β that it does not know.
  const anchor = (options.beta === 0 ? {} : { reference: sft }) as { readonly reference: typeof sft }
  const rl = Ppo.make({ init: sft, ...anchor, reward, value: reward, prompts, held }, {
    allowance: Kl.mnatsPerSequence<number>(Math.min(cap, 1)),
    beta: options.beta ?? 0.05,
    steps: options.steps ?? 4,
    batchSize: 4,
    numPpoEpochs: 2,
    learningRate: options.learningRate ?? 3e-3,
    maxNewTokens,
    measureEvery: options.measureEvery ?? 2,
    measureSamples: 8,
    measureMost: options.measureMost ?? 8,
    seed: options.seed ?? 0,
    checkpointEvery: 3,
    ...options.ppo
  })
  const { memory, ...limits } = options.limits ?? {}
  const most = memory === undefined ? {} : { memory: Budget.bytes(memory) }
  const policy = Pipeline.cap(rl, { ...limits, ...most, kl: Kl.mnatsPerSequence<number>(cap), from: sft })
  const root = Evaluate.make({ initial: sft, reward, prompts: held }, { base, sft, ppo: policy }, {
    gold,
    maxNewTokens
  })
  return { root, base, sft, compared, reward, rl, policy, prompts, held }
}

export const engine = (): Engine => transformer(reference())

export interface Ran {
  readonly exit: Exit.Exit<unknown, ExecuteError>
  readonly events: ReadonlyArray<Event>
}

/** Runs without what `prepare` reads of checkpoints; planned only where memory is capped. */
export const train = Effect.fnUntraced(function*(
  root: Artifact.Any,
  { losses = [], rewards = [], stages = [], ...options }: Extensions & RunOptions
) {
  const { engine } = options
  const { precisions } = engine
  yield* judged(root, {
    extensions: { losses, rewards, stages },
    engine: precisions === undefined ? {} : { precisions },
    price: null
  })
  const limits = capsIn(root)
  const capped = Artifact.lineage(root).some((artifact) => limits(artifact).memory < Infinity)
  const plan = planWith({ losses, stages, ...(engine.packing === undefined ? {} : { packing: engine.packing }) })
  const { microBatches } = capped
    ? yield* Effect.provide(fitted(root, roomWithin(engine.addressable ?? Infinity), plan), NodeFileSystem.layer)
    : { microBatches: new Map() }
  return yield* run({ root, extensions: { losses, rewards, stages }, price: null, microBatches }, options)
})

/** Runs a pipeline on the reference backend; `stopAt` interrupts it when it says so, as Ctrl-C does. */
export const runs = async (root: Artifact.Any, store: string, options: {
  readonly stopAt?: (event: Event) => boolean
  readonly disk?: Layer.Layer<FileSystem.FileSystem>
  readonly engine?: Engine
} = {}): Promise<Ran> => {
  const events: Array<Event> = []
  let stop = () => {}
  const program = train(root, {
    engine: options.engine ?? engine(),
    store,
    onEvent: (event) =>
      Effect.sync(() => {
        events.push(event)
        if (options.stopAt?.(event) === true) stop()
      })
  }).pipe(Effect.provide(options.disk ?? NodeFileSystem.layer))
  const fiber = Effect.runFork(program)
  stop = () => fiber.interruptUnsafe()
  return { exit: await Effect.runPromise(Fiber.await(fiber)), events }
}

export const failed = ({ exit }: Ran): ExecuteError => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag === "Fail") return reason.error
  throw new Error(`no typed failure: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "it succeeded"}`)
}

export const succeeded = (ran: Ran): Ran => {
  if (Exit.isSuccess(ran.exit)) return ran
  throw new Error(Cause.pretty(ran.exit.cause))
}

/** Path and digest of everything that a store has made; half-made things are left out, and how long it took. */
export const contents = (store: string): ReadonlyMap<string, string> =>
  new Map(
    existsSync(store)
      ? readdirSync(store, { recursive: true, withFileTypes: true })
        .filter((file) => file.isFile() && !file.parentPath.includes(".partial") && file.name !== "spent.json")
        .map((file) => join(file.parentPath, file.name)).sort()
        .map((path) => [relative(store, path), createHash("sha256").update(readFileSync(path)).digest("hex")])
      : []
  )

/** The key in a store of the result that `of` has in the pipeline `root`. */
export const keyIn = async (store: string, of: Artifact.Any, root: Artifact.Any = of): Promise<string> => {
  const files = Layer.provide(FileStore.layer(store), NodeFileSystem.layer)
  return (await Effect.runPromise(Effect.provide(keysIn(root), files))).result(of)!
}

/** Its folder. */
export const folderIn = async (store: string, of: Artifact.Any, root?: Artifact.Any): Promise<string> =>
  dirname(FileStore.modelIn(store, await keyIn(store, of, root), label(of)))

/** Anything that was not finished. */
export const leftovers = (store: string): ReadonlyArray<string> =>
  existsSync(store)
    ? readdirSync(store, { recursive: true, withFileTypes: true }).map((file) =>
      relative(store, join(file.parentPath, file.name))
    )
      .filter((path) => path.includes(".partial"))
    : []
