import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { UnusableData } from "../../dsl/Errors.ts"
import { encodePrompts } from "../data/encode.ts"
import { abandonedIsInterrupted, interruptible } from "../engine/interruptible.ts"
import { codecOf } from "../interpreters/checkpoints.ts"
import { load } from "../model/checkpoint.ts"
import { backends, engine as openEngine } from "./backend.ts"
import { device, deviceOption, json } from "./options.ts"

/** Fills up to the end of the context when --max-tokens asks for more. */
export const generate = Command.make(
  "generate",
  {
    model: Argument.String("model").pipe(Argument.withDescription("A Hugging Face folder of the Llama family")),
    prompt: Flag.String("prompt").pipe(Flag.withDescription("Text to continue"), Flag.withDefault("")),
    greedy: Flag.Boolean("greedy").pipe(Flag.withDescription("Always the most likely token"), Flag.withDefault(false)),
    maxTokens: Flag.Int("max-tokens").pipe(
      Flag.withDescription("Most new tokens (default 128)"),
      Flag.withDefault(128)
    ),
    temperature: Flag.Finite("temperature").pipe(Flag.withDescription("Default 1; 0 is greedy"), Flag.withDefault(1)),
    topK: Flag.Int("top-k").pipe(
      Flag.withDescription("Sample from the k likeliest tokens; 0 for all"),
      Flag.withDefault(0)
    ),
    topP: Flag.Finite("top-p").pipe(
      Flag.withDescription("Sample from the likeliest with this probability"),
      Flag.withDefault(1)
    ),
    seed: Flag.Int("seed").pipe(Flag.withDefault(0)),
    chat: Flag.Boolean("chat").pipe(
      Flag.withDescription("Put the prompt into the model's chat template as a user's message"),
      Flag.withDefault(false)
    ),
    backend: Flag.Literals("backend", backends).pipe(Flag.withDefault("auto")),
    device,
    json
  },
  Effect.fn(
    function*(options) {
      const weights = yield* load(options.model)
      const { engine } = yield* interruptible((yield* openEngine(options.backend, deviceOption(options.device))).engine)
      const codec = yield* codecOf(engine, weights, options.model)
      const policy = yield* Effect.acquireRelease(
        Effect.sync(() => engine.policy(weights)),
        (policy) => Effect.sync(() => policy.dispose())
      )
      const messages = [{ role: "user", content: options.prompt }]
      const text = options.chat
        ? yield* Effect.try({
          try: () => codec.chat(messages),
          catch: (error) =>
            new UnusableData({
              stage: "generate",
              problem: error instanceof Error ? error.message : String(error),
              remedy: "Leave out --chat, or take a model with a chat template."
            })
        })
        : options.prompt
      const prompts = yield* encodePrompts({ stage: "generate", codec, context: policy.context }, [{ prompt: text }])
      const prompt = prompts[0]!
      if (prompt.length === 0) {
        return yield* new UnusableData({
          stage: "generate",
          problem: "the prompt is empty and this model's tokenizer puts nothing in front",
          remedy: "Give it a --prompt."
        })
      }
      const [sampled] = policy.sample([prompt], {
        maxNewTokens: options.maxTokens,
        temperature: options.greedy ? 0 : options.temperature,
        topK: options.topK,
        topP: options.topP,
        stop: codec.stop
      }, [`generate/${options.seed}`])
      const { completion, finished, logps } = sampled!
      const all = codec.decode(Int32Array.of(...prompt, ...completion))
      if (!options.json) return yield* Console.log(all)
      yield* Console.log(JSON.stringify({
        text: all,
        completion: codec.decode(completion),
        prompt_ids: [...prompt],
        ids: [...completion],
        logps: [...logps],
        finished
      }))
    },
    Effect.scoped,
    abandonedIsInterrupted
  )
).pipe(Command.withDescription("Continue a text with a model"))
