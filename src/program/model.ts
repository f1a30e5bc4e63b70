/** Uses a model in a Hugging Face folder: continues prompts, scores completions. */
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import { encodePrompts } from "../data/encode.ts"
import type { Codec, Engine, Model, Weights } from "../engine/engine.ts"
import { interruptedBySignal, interruptible } from "../engine/interruptible.ts"
import { codecOf } from "../interpreters/checkpoints.ts"
import { known } from "../interpreters/options.ts"
import { BadCheckpoint } from "../model/BadCheckpoint.ts"
import { load } from "../model/checkpoint.ts"
import { Abandoned, Overran } from "../model/foreign.ts"
import { modelConfig } from "../model/config.ts"
import { rewardsOf } from "../rewards/scorer.ts"
import { type BackendName, engine as openEngine } from "./backend.ts"

export interface ModelOptions {
  /** Backend; default `auto`: the fastest that works on this machine. */
  readonly backend?: BackendName
  /** `cpu`, or a GPU, `cuda:N`; by default chosen with the backend. */
  readonly device?: string
}

export interface GenerateOptions extends ModelOptions {
  /** Most new tokens, default 128; the context of the model is a limit too. */
  readonly maxNewTokens?: number
  /** Default 1; with 0 you always get the likeliest token. */
  readonly temperature?: number
  /** Samples from the k likeliest tokens; default 0: all tokens. */
  readonly topK?: number
  /** Samples from the fewest likeliest tokens with this total probability, default 1. */
  readonly topP?: number
  readonly seed?: number
  /** Whether each prompt is a user's message for the model's chat template. */
  readonly chat?: boolean
}

/** One continued prompt. */
export interface Generated {
  /** Prompt and completion. */
  readonly text: string
  readonly completion: string
  readonly promptIds: ReadonlyArray<number>
  readonly ids: ReadonlyArray<number>
  /** Log-probability of each completion token, nats. */
  readonly logps: ReadonlyArray<number>
  /** Whether the completion ended with a stop token. */
  readonly finished: boolean
}

const modelOptions = { backend: true, device: true } as const
const generateOptions = {
  ...modelOptions,
  maxNewTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  seed: true,
  chat: true
} as const

/** Opens the model in the folder `path` for the duration of `use`. */
const opened = <M extends Model, A, E>(
  path: string,
  options: ModelOptions,
  head: "lm" | "score",
  as: (engine: Engine, weights: Weights) => M,
  use: (model: M, codec: Codec) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    yield* head === "lm" ? known("generate", options, generateOptions) : known("score", options, modelOptions)
    const weights = yield* load(path)
    if (modelConfig(weights.config).head !== head) {
      const [problem, remedy] = head === "score"
        ? ["it is a language model and has no score head", "Give the folder of a reward model."]
        : ["it is a reward model and has no language model head", "Give the folder of a policy or base model."]
      return yield* new BadCheckpoint({ path, problem, remedy })
    }
    const { backend = "auto", device } = options
    const { engine } = yield* interruptible(
      (yield* openEngine(backend, device === undefined ? {} : { device })).engine
    )
    const codec = yield* codecOf(engine, weights, path)
    const model = yield* Effect.acquireRelease(
      Effect.sync(() => as(engine, weights)),
      (model) => Effect.sync(() => model.dispose())
    )
    return yield* use(model, codec)
  }).pipe(Effect.scoped, interruptedBySignal, Effect.provide(NodeFileSystem.layer))

const stage = "generate"

/** Continues each of `prompts` with the model in the folder `model`. The same seed gives the same texts. */
export const generate = (
  model: string,
  prompts: ReadonlyArray<string>,
  options: GenerateOptions = {}
) =>
  opened(
    model,
    options,
    "lm",
    (engine, weights) => engine.policy(weights),
    Effect.fnUntraced(function*(policy, codec) {
      const { chat = false, maxNewTokens = 128, seed = 0, temperature = 1, topK = 0, topP = 1 } = options
      const wrong = [
        ...(Number.isInteger(maxNewTokens) && maxNewTokens > 0 ? [] : ["maxNewTokens must be a whole number above 0"]),
        ...(temperature >= 0 && temperature < Infinity ? [] : ["temperature must be 0 or more"]),
        ...(Number.isInteger(topK) && topK >= 0 ? [] : ["topK must be a whole number, 0 or more"]),
        ...(topP > 0 && topP <= 1 ? [] : ["topP must be above 0 and at most 1"])
      ]
      if (wrong.length > 0) {
        return yield* new UnusableData({ stage, problem: wrong.join("; "), remedy: "Change these options." })
      }
      const texts = yield* Effect.try({
        try: () => prompts.map((content) => chat ? codec.chat([{ role: "user", content }]) : content),
        catch: (error) => {
          if (error instanceof Abandoned) throw error
          const { problem, remedy } = error instanceof Overran ? error : {
            problem: error instanceof Error ? error.message : String(error),
            remedy: "Leave out chat (--chat), or take a model with a chat template."
          }
          return new UnusableData({ stage, problem, remedy })
        }
      })
      const encoded = yield* encodePrompts(
        { stage, codec, context: policy.context },
        texts.map((prompt) => ({ prompt }))
      )
      if (encoded.some(({ length }) => length === 0)) {
        return yield* new UnusableData({
          stage,
          problem: "the prompt is empty and this model's tokenizer puts no token in front",
          remedy: "Give it a prompt (--prompt)."
        })
      }
      const seeds = encoded.map((_, i) => i === 0 ? `generate/${seed}` : `generate/${seed}/${i}`)
      return policy.sample(encoded, { maxNewTokens, temperature, topK, topP, stop: codec.stop }, seeds)
        .map(({ completion, finished, logps }, i): Generated => ({
          text: codec.decode(Int32Array.of(...encoded[i]!, ...completion)),
          completion: codec.decode(completion),
          promptIds: [...encoded[i]!],
          ids: [...completion],
          logps: [...logps],
          finished
        }))
    })
  )

/** The score of each completion by the reward model in the folder `model`: larger is better. */
export const score = (
  model: string,
  rows: ReadonlyArray<{ readonly prompt: string; readonly completion: string }>,
  options: ModelOptions = {}
) =>
  opened(
    model,
    options,
    "score",
    (engine, weights) => engine.scorer(weights),
    (scorer, codec) => rewardsOf("score", { model: scorer, codec }, rows)
  )
